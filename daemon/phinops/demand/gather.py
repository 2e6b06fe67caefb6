"""Everything in a config and its rules that is known beforehand to ask for calls."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cache
from itertools import takewhile

from cronsim import CronSim

from phinops.arrive.lasting import WAITING, Asked
from phinops.arrive.ration import CHECKS, LISTS, polls_of_day
from phinops.catalog.catalog import load_catalog
from phinops.catalog.quotas import allowed
from phinops.config import Config, SourceSettings, Tenant
from phinops.decide.rule import Rule, RuleStep
from phinops.demand.ask import DAY, Firings, Polls, Spot, Vigils
from phinops.execute.steps.kind import Step
from phinops.execute.steps.table import STEPS

VERIFY_READS = 2
"""A verification reads at least so often: soon after the write, and at its end."""

_DOWNSTREAM = {"instance": "GetInstanceDownStream", "node": "ListNodeDownStream"}
_READ_BACK = {"instance": "GetPhysicalInstance", "node": "ListNodes"}
_SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)

Key = tuple[str | int, ...]
SpotOf = Callable[[Key], Spot]
"""Where a key of the config stands."""


@dataclass(frozen=True, slots=True)
class Source:
    """A source of one tenant: its events begin with `family`, a poll is one call of `api` for each project."""

    tenant: Tenant
    name: str
    family: str
    api: str
    settings: SourceSettings
    noun: str
    projects: int | None
    key: Key

    def polls(self, interval: timedelta, spot: Spot, rule: str = "") -> Polls:
        """What polling it that often asks for."""
        return Polls(self.tenant, spot, rule, self.name, self.api, interval, self.noun, self.projects)


def sources_of(tenant: Tenant, index: int) -> Iterator[Source]:
    """The sources that the tenant has, which is the config's `index`-th."""
    settings = tenant.sources
    at: Key = ("tenants", index, "sources")
    yield Source(tenant, "alerts", "alert.", "ListAlertEvents", settings.alerts, "", 1, (*at, "alerts", "every"))
    projects = _count(tenant.projects)
    if projects != 0:
        key = (*at, "instances", "every")
        yield Source(tenant, "instances", "instance.", "ListInstances", settings.instances, "project", projects, key)
    served = _count(tenant.served_projects)
    api = "GetDataServiceApiCallSummary"
    if served != 0 and allowed(load_catalog().require(api), tenant.edition):
        noun, key = "data service project", (*at, "impacts", "every")
        yield Source(tenant, "impacts", "impact.", api, settings.impacts, noun, served, key)


def _count(projects: str | tuple[str, ...]) -> int | None:
    return None if isinstance(projects, str) else len(projects)


def firings_of(config: Config, tenant: Tenant, rules: Iterable[Rule]) -> Iterator[Firings]:
    """What rules with a schedule ask for. One whose own `if` decides when it fires is not known beforehand."""
    for rule in rules:
        if rule.cron and rule.mode != "off" and not rule.condition:
            shadow = rule.mode == "shadow" or config.rules.at_most == "shadow"
            each = _calls_of(rule, shadow=shadow)
            times = _times_a_day(rule, config.timezone)
            if each and times:
                yield Firings(tenant, spot_of(rule), rule.id, times, each)


def vigils_of(tenant: Tenant, rules: Iterable[Rule]) -> Iterator[Vigils]:
    """What looking for instances that wait may cost, where a rule asks how long they do: once for all such rules."""
    polls = polls_of_day(tenant)
    for rule in rules:
        asked = rule.lasting and Asked(rule.types[0], rule.lasting.state, rule.lasting.after_s)
        if asked and WAITING in asked.states and polls is not None:
            yield Vigils(tenant, spot_of(rule), rule.id, round((LISTS + CHECKS) * polls))
            return


def spot_of(rule: Rule) -> Spot:
    """Where the rule stands."""
    return rule.file, rule.line, 1


def _calls_of(rule: Rule, *, shadow: bool) -> Counter[str]:
    """The calls that one firing makes at least: those of steps that have no `if`; in shadow no writes."""
    found: Counter[str] = Counter()
    for step in rule.steps:
        if not step.condition:
            found += _step_calls(step, STEPS[step.kind], shadow=shadow, downstream=rule.limits.downstream is not None)
    return found


def _step_calls(step: RuleStep, kind: Step, *, shadow: bool, downstream: bool) -> Counter[str]:
    params = kind.params.model_validate(step.params)
    writes = kind.writes(params)
    if shadow and writes:
        return Counter()
    found = Counter(kind.apis(params))
    if writes and kind.target:
        found[_DOWNSTREAM[kind.target]] += downstream
        found[_READ_BACK[kind.target]] += VERIFY_READS * (step.verify is not None)
    if writes and kind.probe_key in step.params:
        found[kind.apis(params)[-1]] += VERIFY_READS * (step.verify is not None)
    return +found


def _times_a_day(rule: Rule, zone: tzinfo) -> int:
    """How often a day the rule fires at most, on the busiest day of a week."""
    cooldown = rule.cooldown if rule.cooldown and not rule.key else timedelta()
    times = _busiest(rule.cron, zone, cooldown)
    if rule.limits.firings:
        times = min(times, rule.limits.firings.max * math.ceil(DAY / rule.limits.firings.per))
    return times


@cache
def _busiest(cron: str, zone: tzinfo, cooldown: timedelta) -> int:
    first = next(CronSim(cron, _SOME_DAY.replace(tzinfo=zone)), None)
    if first is None:
        return 0
    end = first + timedelta(days=7)
    last, days = first, Counter[date]({first.date(): 1})
    for due in takewhile(lambda due: due < end, CronSim(cron, first)):
        if due - last >= cooldown:
            days[due.date()] += 1
            last = due
    return max(days.values())
