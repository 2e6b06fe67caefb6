"""The rules in force: read at the start and at every reload, the last good version kept of what is broken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from phinops.config import ZONE, Config
from phinops.decide.diff import RuleChange, differences
from phinops.decide.language import Language
from phinops.decide.load import Loaded, load_rules, with_last_good
from phinops.decide.rule import RuleSet, Setting
from phinops.event import Event, QuarantinedRule, event_id
from phinops.execute.steps.table import STEPS
from phinops.problem import Problem
from phinops.recording import InForce


@dataclass(frozen=True, slots=True)
class Reload:
    """What became of a reload. It is accepted when nothing that was read has a mistake. `diff` is in `changed` as JSON.

    What is sound is in force in any case, and what is broken stays as it was last good; only a config that cannot be
    read changes nothing at all. `changed` lists rules added, removed and changed by id, what a restart would need, as
    `diff` each change key by key, and as `carried` what became of what waited.
    """

    accepted: bool
    problems: Sequence[Problem] = ()
    changed: Mapping[str, Any] = field(default_factory=dict)
    diff: Sequence[RuleChange] = ()


@dataclass(frozen=True, slots=True)
class Edition:
    """Rules that were read and may be put in force; `reload` is what becomes of them then."""

    loaded: Loaded
    in_force: InForce
    reload: Reload


Read = Callable[[Config, Language], Loaded]


def read_rules(config: Config, language: Language) -> Loaded:
    """The rules of the config's paths."""
    return load_rules(config.rules.paths, setting_of(config), language)


class Rulebook:
    """Holds the rules in force, as `read` reads them. `language` compiles what they say."""

    def __init__(self, config: Config, language: Language, *, shadow: bool, read: Read = read_rules) -> None:
        self.language = language
        self._reads = read
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
        edition = self.read(config)
        self.put_in_force(edition)
        return edition.reload

    def read(self, config: Config) -> Edition:
        """The rules of the config's paths with the last good version of what is broken; nothing is in force yet."""
        loaded = self._reads(config, self.language)
        rules = with_last_good(loaded, self.in_force.rules)
        # A folder that is not there holds no rules, and none at all is allowed; `check` is stricter.
        mistakes = [problem for problem in loaded.errors if problem.code != "none-found"]
        in_force = InForce(rules, self._shadow or config.rules.at_most == "shadow")
        diff = _differences(self.in_force, in_force)
        return Edition(loaded, in_force, Reload(not mistakes, loaded.problems, _changes(diff), diff))

    def put_in_force(self, edition: Edition) -> None:
        """From now on every event is decided by these."""
        self._loaded = edition.loaded
        self.in_force = edition.in_force

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


def setting_of(config: Config | None) -> Setting:
    """What the config's rules are checked against, or rules without a config. Where tenants have several editions, each
    call is checked later.
    """
    if config is None:
        return Setting(STEPS, ZONE)
    editions = {tenant.edition for tenant in config.tenants}
    return Setting(
        kinds=STEPS,
        zone=config.timezone,
        edition=editions.pop() if len(editions) == 1 else None,
        notifiers=tuple(config.notifiers),
        hooks=tuple(config.hooks),
    )


def _differences(before: InForce, after: InForce) -> list[RuleChange]:
    """What differs in what rules say; where `at_most` or `--shadow` came or went, in what they may do."""
    if before.shadow == after.shadow:
        return differences(before.rules, after.rules)
    return differences(_allowed(before), _allowed(after))


def _allowed(in_force: InForce) -> RuleSet:
    return RuleSet(replace(rule, mode=in_force.mode_of(rule)) for rule in in_force.rules)


def _changes(diff: Sequence[RuleChange]) -> dict[str, Any]:
    names = {kind: [each.rule for each in diff if each.change == kind] for kind in ("added", "removed", "changed")}
    return {**names, "diff": [each.to_json() for each in diff]}
