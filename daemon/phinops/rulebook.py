"""The rules in force: read at the start and at every reload, the last good version kept of what is broken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from phinops.config import Config
from phinops.decide.language import Language
from phinops.decide.load import Loaded, load_rules, with_last_good
from phinops.decide.rule import RuleSet, Setting
from phinops.event import Event, QuarantinedRule, event_id
from phinops.execute.steps.table import STEPS
from phinops.pipeline import InForce
from phinops.problem import Problem


@dataclass(frozen=True, slots=True)
class Reload:
    """What became of a reload. It is accepted when nothing that was read has a mistake.

    What is sound is in force in any case, and what is broken stays as it was last good; only a config that cannot be
    read changes nothing at all. `changed` lists rules added, removed and changed by id, and what a restart would need.
    """

    accepted: bool
    problems: Sequence[Problem] = ()
    changed: Mapping[str, Any] = field(default_factory=dict)


Read = Callable[[Config, Language], Loaded]


def read_rules(config: Config, language: Language) -> Loaded:
    """The rules of the config's paths."""
    return load_rules(config.rules.paths, setting_of(config), language)


class Rulebook:
    """Holds the rules in force, as `read` reads them. `language` compiles what they say."""

    def __init__(self, config: Config, language: Language, *, shadow: bool, read: Read = read_rules) -> None:
        self.language = language
        self._read = read
        self._shadow = shadow
        self._loaded = Loaded(RuleSet())
        self.in_force = InForce(RuleSet())
        self.load(config)

    @property
    def quarantined(self) -> int:
        """How many rules are left out or kept as they were before their mistake."""
        return len(self._loaded.quarantined)

    @property
    def problems(self) -> Sequence[Problem]:
        """Everything that the last reading found."""
        return self._loaded.problems

    def load(self, config: Config) -> Reload:
        """Read the rules of the config's paths and put them in force, all at once."""
        before = self.in_force.rules
        self._loaded = self._read(config, self.language)
        rules = with_last_good(self._loaded, before)
        self.in_force = InForce(rules, self._shadow or config.rules.at_most == "shadow")
        # A folder that is not there holds no rules, and none at all is allowed; `check` is stricter.
        mistakes = [problem for problem in self._loaded.errors if problem.code != "none-found"]
        return Reload(not mistakes, self._loaded.problems, _changes(before, rules))

    def quarantine_events(self, tenants: Sequence[str], now: datetime) -> list[Event]:
        """One `rule.quarantined` a tenant for each rule that was left out; the same mistake is the same event."""
        return [
            Event(
                id=event_id("rules", tenant, each.file, each.id, each.reason),
                type="rule.quarantined",
                time=now,
                tenant=tenant,
                source="rules",
                rule=QuarantinedRule(each.id, each.file, each.reason),
            )
            for each in self._loaded.quarantined
            for tenant in tenants
        ]


def setting_of(config: Config) -> Setting:
    """What the config's rules are checked against. Where tenants have several editions, each call is checked later."""
    editions = {tenant.edition for tenant in config.tenants}
    return Setting(
        kinds=STEPS,
        zone=config.timezone,
        edition=editions.pop() if len(editions) == 1 else None,
        notifiers=tuple(config.notifiers),
        hooks=tuple(config.hooks),
    )


def _changes(before: RuleSet, after: RuleSet) -> dict[str, list[str]]:
    # The hash leaves `within` out, but who edits it wants to see that it was read.
    old = {rule.id: (rule.hash, rule.within) for rule in before}
    new = {rule.id: (rule.hash, rule.within) for rule in after}
    return {
        "added": sorted(new.keys() - old.keys()),
        "removed": sorted(old.keys() - new.keys()),
        "changed": sorted(name for name in new.keys() & old.keys() if new[name] != old[name]),
    }
