"""The warnings of `check` about the quota: what it cannot serve, and what would be needed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from phinops.catalog.catalog import Edition
from phinops.config import Config, Tenant
from phinops.decide.build import POLLED
from phinops.decide.rule import Rule, RuleSet
from phinops.demand.ask import Ask, Firings, Polls
from phinops.demand.day import Day, Lack
from phinops.demand.gather import Source, SpotOf, firings_of, sources_of, spot_of, vigils_of
from phinops.durations import format_duration
from phinops.problem import Problem

_EDITIONS: Sequence[Edition] = ("personal", "agile", "basic", "intelligent")


def quota_warnings(config: Config, rules: RuleSet, where: SpotOf) -> list[Problem]:
    """What the tenants' quotas cannot grant of what the rules and the config's sources ask for.

    `where` tells where a key of the config stands. Nothing is read and nothing asked: the number of projects is known
    where the config lists them, and a project of `projects = "all"` is counted once.
    """
    listening = [rule for rule in rules if rule.mode != "off"]
    sources = [source for index, tenant in enumerate(config.tenants) for source in sources_of(tenant, index)]
    found = [*_never_fired(listening, sources, config)]
    accounts: dict[str, list[Ask]] = {}
    for tenant in config.tenants:
        teller = _Teller(Day(tenant.quota, tenant.edition), _where(tenant, config))
        mine = [source for source in sources if source.tenant is tenant]
        asks: list[Ask] = []
        for source in mine:
            found += _unmet(source, listening, teller)
            asks += _polls_of(source, listening, where, teller, found)
        if any(source.family == "instance." for source in mine):
            asks += vigils_of(tenant, listening)
        for firings in firings_of(config, tenant, listening):
            asks += _alone([firings], "quota-schedule", teller, found)
        accounts.setdefault(tenant.account, []).extend(asks)
    for asks in accounts.values():
        found += _together(asks, config)
    return sorted(found)


@dataclass(frozen=True, slots=True)
class _Teller:
    """What a tenant's day has; `where` names the tenant where there are several."""

    day: Day
    where: str

    def short(self, asks: Sequence[Ask]) -> Lack | None:
        return next(iter(self.day.lacks(asks)), None)


def _where(tenant: Tenant, config: Config) -> str:
    return f" of tenant {tenant.name}" if len(config.tenants) > 1 else ""


def _polls_of(source: Source, rules: Iterable[Rule], where: SpotOf, teller: _Teller, found: list[Problem]) -> list[Ask]:
    """What polling the source asks for, if that fits for itself; if not, it is a warning in `found`."""
    every = source.settings.every
    if isinstance(every, timedelta):
        return _alone([source.polls(every, where(source.key))], "quota-polls", teller, found)
    wishes = [
        source.polls(rule.within, spot_of(rule), rule.id)
        for rule in rules
        if rule.within and any(kind.startswith(source.family) for kind in rule.types)
    ]
    wishes.sort(key=lambda polls: polls.interval)
    return _alone(wishes, "quota-polls", teller, found)


def _alone(asks: Sequence[Polls | Firings], code: str, teller: _Teller, found: list[Problem]) -> list[Ask]:
    """Of asks that one poll serves the strictest, which comes first, if it fits for itself; else it is a warning."""
    if not asks:
        return []
    ask = asks[0]
    lack = teller.short([ask])
    if lack is None:
        return [ask]
    others = [f"«{other.rule}»" for other in asks[1:] if teller.short([other])]
    more = f"; so do{'es' if len(others) == 1 else ''} {', '.join(others)}" if others else ""
    text = f"{ask.head} {ask.told(teller.where)}{more}; {lack.told}{_needed(ask, [])}"
    found.append(Problem(*ask.spot, code, text, "warning"))
    return []


def _together(asks: Sequence[Ask], config: Config) -> Iterator[Problem]:
    """Asks of one account that fit each for itself."""
    if len(asks) < 2:
        return
    teller = _Teller(Day(asks[0].tenant.quota, asks[0].tenant.edition), "")
    lack = teller.short(asks)
    if lack is None:
        return
    ask = max(asks, key=lambda each: sum(each.calls.values()))
    rest = [each for each in asks if each is not ask]
    names = ", ".join(dict.fromkeys(f"{each.name}{_where(each.tenant, config)}" for each in rest))
    total = f"together with {names} it comes to {lack.need:,}, and {lack.told}"
    text = f"{ask.head} {ask.told(_where(ask.tenant, config))}; {total}{_needed(ask, rest)}"
    yield Problem(*ask.spot, "quota-together", text, "warning")


def _needed(ask: Ask, rest: Sequence[Ask]) -> str:
    cures = [*_easings(ask, rest), *_editions(ask, rest), *_shares(ask, rest)]
    listed = ", ".join(cures[:-1]) + " or " + cures[-1] if len(cures) > 1 else "".join(cures)
    return f": needed would be {listed}" if cures else ""


def _easings(ask: Ask, rest: Sequence[Ask]) -> Iterator[str]:
    day = Day(ask.tenant.quota, ask.tenant.edition)
    for easing in ask.easings():
        enough = next((told for less, told in easing if not day.lacks([less, *rest])), None)
        if enough:
            yield enough


def _editions(ask: Ask, rest: Sequence[Ask]) -> Iterator[str]:
    """The smallest edition above the present one that would do; a quota that the config states is no edition's."""
    tenant = ask.tenant
    if tenant.edition not in _EDITIONS or tenant.quota.daily is not None:
        return
    larger = _EDITIONS[_EDITIONS.index(tenant.edition) + 1 :]
    for edition in larger:
        if not Day(tenant.quota, edition).lacks([ask, *rest]):
            yield f"the {edition} edition"
            return


def _shares(ask: Ask, rest: Sequence[Ask]) -> Iterator[str]:
    quota, edition = ask.tenant.quota, ask.tenant.edition
    for percent in range(math.floor(quota.share * 100) + 1, 101):
        if not Day(quota, edition, percent / 100).lacks([ask, *rest]):
            yield f"share = {percent / 100:g}"
            return


def _unmet(source: Source, rules: Iterable[Rule], teller: _Teller) -> Iterator[Problem]:
    """Rules that want to hear sooner than the interval of the config allows."""
    every = source.settings.every
    if not isinstance(every, timedelta):
        return
    for rule in rules:
        if rule.within and rule.within < every and any(kind.startswith(source.family) for kind in rule.types):
            wish, kept = format_duration(rule.within), format_duration(every)
            fits = source.projects is not None and not teller.short([source.polls(rule.within, spot_of(rule))])
            cure = f'every = "{wish}" there or ' if fits else ""
            text = (
                f"{rule.id}: «within: {wish}» cannot be kept: the config has {source.name}{teller.where} polled "
                f"every {kept}: needed would be {cure}«within: {kept}»"
            )
            yield Problem(*spot_of(rule), "within-unmet", text, "warning")


def _never_fired(rules: Iterable[Rule], sources: Iterable[Source], config: Config) -> Iterator[Problem]:
    """Rules all of whose events come from sources that no tenant has."""
    had = {source.family for source in sources}
    for rule in rules:
        missing = [kind for kind in rule.types if kind.startswith(POLLED) and not kind.startswith(tuple(had))]
        if missing and len(missing) == len(rule.types):
            whys = dict.fromkeys(_why_missing(kind, config) for kind in missing)
            text = f"{rule.id}: {', '.join(missing)} never comes: {', '.join(whys)}"
            yield Problem(*spot_of(rule), "never-fires", text, "warning")


def _why_missing(kind: str, config: Config) -> str:
    if kind.startswith("instance."):
        return "`projects` names none"
    below = all(tenant.edition in ("personal", "agile") for tenant in config.tenants)
    return "data services begin with the basic edition" if below else "`data_service_projects` names none"
