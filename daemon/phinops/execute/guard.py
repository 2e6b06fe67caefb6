"""What may leave: the one judgement that every write passes, in the transaction that commits its intent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from fnmatch import fnmatchcase

from phinops.firing import Ask, Guard, Objection, Tally, WriteFacts

HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Protected:
    """Globs of what is not written to: over ids and names, of nodes and of projects. Case matters."""

    nodes: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.nodes or self.projects)

    def match(self, nodes: frozenset[str], projects: frozenset[str]) -> str:
        """The first of them that is protected with the glob that says so, or ""."""
        for kind, globs, names in (("node", self.nodes, nodes), ("project", self.projects, projects)):
            for glob in globs:
                found = next((name for name in sorted(names) if fnmatchcase(name, glob)), None)
                if found is not None:
                    return f"{kind} {found} is protected by «{glob}»"
        return ""


@dataclass(frozen=True, slots=True)
class Breakers:
    """After so many failures in a row a rule, or a target, is left alone for a time."""

    rule: int = 10
    target: int = 3
    open_for: timedelta = HOUR


@dataclass(frozen=True, slots=True)
class Rails:
    """`[safety]`: what holds for the writes of all rules. `zone` is that of times in reasons."""

    max_writes_per_hour: int
    protected: Protected = Protected()
    breakers: Breakers = Breakers()
    zone: tzinfo = UTC


@dataclass(slots=True)
class _Batch:
    """What of a batch is judged together: the targets of each rule, and the tallies that one write of it probes."""

    targets: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    probed: set[tuple[str, str]] = field(default_factory=set)


def write_guard(rails: Rails) -> Guard:
    """The guard for one batch.

    Over the ceiling none of the batch leaves, and over the targets of a rule none of that rule's new ones; everything
    else judges each write for itself.
    """

    def judge(asked: Sequence[tuple[Ask, WriteFacts]]) -> Sequence[Objection | None]:
        batch = _Batch()
        cases = [_Case(ask, facts, rails, batch) for ask, facts in asked]
        found = [next((no for check in _CHECKS if (no := check(case))), None) for case in cases]
        for case, objection in zip(cases, found, strict=True):
            if objection is None:
                batch.targets.setdefault(case.ask.rule, set()).update(case.facts.targets, {case.target})
        found = [objection or _over_targets(case) for case, objection in zip(cases, found, strict=True)]
        leaving = found.count(None)
        before = asked[0][1].writes_last_hour if asked else 0
        if leaving and before + leaving > rails.max_writes_per_hour:
            return [objection or _over_ceiling(before, leaving, rails) for objection in found]
        return found

    return judge


def standing_objection(ask: Ask, rails: Rails) -> Objection | None:
    """What speaks against the write whatever happened before: also told of one that is only rendered."""
    return _protected(ask, rails) or _too_much_below(ask)


def breaker_subject(scope: str, name: str) -> str:
    """What people are told of, once, when a breaker opens and when it holds writes back."""
    return f"breaker of {scope} {name}"


def open_until(tally: Tally, failures: int, breakers: Breakers) -> datetime | None:
    """Until when the breaker of a tally that allows so many failures is open; None: it is closed."""
    if tally.failures < failures or tally.failed_at is None:
        return None
    return tally.failed_at + breakers.open_for


def breaker_reason(scope: str, name: str, tally: Tally, until: datetime, zone: tzinfo) -> str:
    """Why a breaker holds writes back, for people."""
    when = until.astimezone(zone).isoformat(sep=" ", timespec="seconds")
    return (
        f"{breaker_subject(scope, name)}: {tally.failures} writes in a row were refused by Dataphin or not done, "
        f"so there is none until {when}; the last: {tally.reason}"
    )


@dataclass(frozen=True, slots=True)
class _Case:
    """One write of a batch, with what it is judged by."""

    ask: Ask
    facts: WriteFacts
    rails: Rails
    batch: _Batch

    @property
    def target(self) -> tuple[str, str]:
        return self.ask.intent.target_kind, self.ask.intent.target_id


def _paused(case: _Case) -> Objection | None:
    pause = case.facts.pause
    if pause is None:
        return None
    return Objection(f"writes are {pause.told(case.rails.zone)}", passing=not case.ask.person)


def _standing(case: _Case) -> Objection | None:
    return standing_objection(case.ask, case.rails)


def _unsettled(case: _Case) -> Objection | None:
    facts = case.facts
    if facts.unsettled is None:
        return None
    if facts.settling:
        return Objection(f"the target has a write that is being read back ({facts.unsettled})", passing=True)
    return Objection(
        f"the target has a write of unknown outcome ({facts.unsettled}); it takes no other until that is settled"
    )


def _rule_breaker(case: _Case) -> Objection | None:
    return _breaker(case, "rule", case.ask.rule, case.facts.of_rule, case.rails.breakers.rule)


def _target_breaker(case: _Case) -> Objection | None:
    return _breaker(case, "target", case.ask.intent.target_id, case.facts.of_target, case.rails.breakers.target)


def _breaker(case: _Case, scope: str, name: str, tally: Tally, failures: int) -> Objection | None:
    """Whether so many failures in a row hold it back; when the time is over the first write is the probe."""
    until = open_until(tally, failures, case.rails.breakers)
    if until is None or case.ask.person or case.ask.intent.target_kind == "http":
        return None
    if case.facts.now < until:
        subject = breaker_subject(scope, name)
        return Objection(breaker_reason(scope, name, tally, until, case.rails.zone), subject=subject)
    if tally.under_way or (scope, name) in case.batch.probed:
        return Objection(f"{breaker_subject(scope, name)}: another write finds out whether it closes", passing=True)
    case.batch.probed.add((scope, name))
    return None


_CHECKS = (_paused, _standing, _unsettled, _rule_breaker, _target_breaker)


def _protected(ask: Ask, rails: Rails) -> Objection | None:
    """A write on what is protected, or of which it cannot be known; requests that do not go to Dataphin are free."""
    if not rails.protected or ask.override or ask.intent.target_kind == "http":
        return None
    known = ask.identity
    found = rails.protected.match(known.nodes, known.projects) if known else ""
    if not found:
        unknown = known.unknown if known else "who the target is was not found out"
        found = unknown and f"whether the target is protected is not known: {unknown}"
    return Objection(f"safety.protected: {found}", subject=f"protected from {ask.rule}") if found else None


def _too_much_below(ask: Ask) -> Objection | None:
    reach = ask.reach
    if reach is None or reach.below <= reach.max:
        return None
    return Objection(
        f"limits.downstream: {reach.below} nodes hang below {ask.intent.target_id}, {reach.max} are allowed",
        subject=f"downstream of {ask.rule}",
    )


def _over_targets(case: _Case) -> Objection | None:
    limit, targets = case.ask.targets, case.batch.targets.get(case.ask.rule, set())
    if limit is None or case.target in case.facts.targets or len(targets) <= limit.max:
        return None
    return Objection(
        f"limits.targets: the rule has written to {len(case.facts.targets)} targets within its window, and "
        f"{len(targets - case.facts.targets)} more would pass {limit.max}; none of them was sent",
        subject=f"targets of {case.ask.rule}",
    )


def _over_ceiling(before: int, now: int, rails: Rails) -> Objection:
    return Objection(
        f"safety.max_writes_per_hour: {before} writes in the last hour and {now} more would pass "
        f"{rails.max_writes_per_hour}; none of the batch was sent",
        subject="ceiling",
    )
