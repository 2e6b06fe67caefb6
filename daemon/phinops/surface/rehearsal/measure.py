"""What a day cost, and how soon things were seen and done: the simulator's truth against the daemon's record."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from phinops.catalog.catalog import load_catalog
from phinops.catalog.quotas import LEVELS, UNPUBLISHED_LEVEL, level_of
from phinops.event import JsonObject
from phinops.execute.priority import Priority
from phinops.record.timing import Attempt, Received
from phinops.simulate import Simulator
from phinops.simulate.invent import DAY, Invented
from phinops.surface.rehearsal.pacing import equal_delay, hindsight_delay, optimum_delay

LATE = 60.0
"""Seconds between event and intent from which on an action counts as delayed."""

Calls = Mapping[tuple[str, str], int]
"""Calls by action and priority."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the store has of the day, oldest first."""

    events: Sequence[Received]
    attempts: Sequence[Attempt]


@dataclass(frozen=True, slots=True)
class _Failed:
    """A run that failed: the n-th of its instance, at the seconds since the epoch `at`."""

    instance: str
    project: int
    alerted: bool
    number: int
    at: float


def report(
    invented: Invented, simulator: Simulator, seen: Seen, calls: Calls, quota: Sequence[JsonObject], midnight: datetime
) -> JsonObject:
    """The figures of a day that began at `midnight`; `calls` are those of that day, `quota` is what `status` shows."""
    failed = list(_failed(simulator, midnight.timestamp() + DAY))
    delays = _delays(simulator, seen.events, failed, midnight.timestamp() + DAY)
    sources = _by_source(calls)
    return {
        "calls": {str(level): count for level, count in _by_level(calls).items()},
        "sources": sources,
        "polls": _polls(calls, quota),
        "refused": {"rate": 0, "day": 0, **simulator.refusals},
        "delays": {name: _spread(each) for name, each in delays.items()},
        "actions": _actions(failed, seen.attempts),
        "pacing": _pacing(invented, sources.get("instances", 0), delays["instances_plain"]),
    }


# Calls


def source_of(api: str, priority: str) -> str:
    """What a call was made for: one of the sources, or a word for what is no poll."""
    if priority == Priority.ALERTS.name:
        return "alerts"
    if priority == Priority.POLL.name:
        return "impacts" if "DataService" in api else "instances"
    return {"VERIFY": "verify", "WRITE": "write", "DECIDE": "decide"}.get(priority, "other")


def _by_source(calls: Calls) -> dict[str, int]:
    found: Counter[str] = Counter()
    for (api, priority), count in calls.items():
        found[source_of(api, priority)] += count
    return dict(sorted(found.items()))


def _by_level(calls: Calls) -> dict[int, int]:
    found = dict.fromkeys(LEVELS, 0)
    for (api, _), count in calls.items():
        found[_level(api)] += count
    return found


def _level(api: str) -> int:
    spec = load_catalog().get(api)
    return level_of(spec) if spec else UNPUBLISHED_LEVEL


def _polls(calls: Calls, quota: Sequence[JsonObject]) -> list[JsonObject]:
    """The polls of each pool that has a day, and the most that the reserve leaves them."""
    found: Counter[str] = Counter()
    for (api, priority), count in calls.items():
        if priority and Priority[priority].polls:
            found[str(_level(api))] += count
    return [
        {
            "pool": each["pool"],
            "calls": sum(found[level] for level in each["pool"].split("+")),
            "most": each["limit"] - each["reserve"],
        }
        for each in quota
        if each["limit"] is not None
    ]


# Delays


def _failed(simulator: Simulator, until: float) -> Iterator[_Failed]:
    for instance in simulator.tenant.instances.values():
        ends = [run.end for run in instance.runs if run.state == "FAILED" and run.end is not None]
        for number, at in enumerate(ends, start=1):
            # A first failure of the day after is none of this day's; there is none.
            if number > 1 or at < until:
                yield _Failed(instance.id, instance.project.id, instance.node.alert is not None, number, at)


def _delays(
    simulator: Simulator, events: Sequence[Received], failed: Sequence[_Failed], until: float
) -> dict[str, list[float]]:
    """Seconds until each thing was on record, infinite for what never was."""
    by_instance = _by_object(events, "instance.failed")
    by_alert = _by_object(events, "alert.opened")
    by_api = _by_object(events, "impact.opened")
    found: dict[str, list[float]] = {"instances_alerted": [], "instances_plain": [], "again": []}
    for each in failed:
        name = "again" if each.number > 1 else "instances_alerted" if each.alerted else "instances_plain"
        found[name].append(_until(by_instance[each.instance], each.at))
    alerts = [alert for alert in simulator.tenant.alerts.rows.values() if alert.first < until]
    found["alerts"] = [_until(by_alert[str(alert.id)], alert.first) for alert in alerts]
    found["impacts"] = [
        _until(by_api[str(api.id)], start)
        for _, api in simulator.tenant.served_apis()
        for start in {trouble.start for stream in api.streams for trouble in stream.troubles}
    ]
    return found


def _by_object(events: Iterable[Received], kind: str) -> defaultdict[str, list[float]]:
    """When events of that type were on record, by the id of what they are about."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for each in events:
        about = each.event.instance or each.event.alert or each.event.api
        if each.event.type == kind and about is not None:
            found[about.id].append(each.at.timestamp())
    return found


def _until(moments: Sequence[float], at: float) -> float:
    return min((moment - at for moment in moments if moment >= at), default=math.inf)


def _spread(delays: Sequence[float]) -> JsonObject:
    """Mean, 95th percentile and maximum of what was seen, in seconds, and how many never were."""
    seen = sorted(delay for delay in delays if delay < math.inf)
    if not seen:
        return {"count": len(delays), "missed": len(delays), "mean": None, "p95": None, "max": None}
    return {
        "count": len(delays),
        "missed": len(delays) - len(seen),
        "mean": round(sum(seen) / len(seen), 1),
        "p95": round(seen[math.ceil(0.95 * len(seen)) - 1], 1),
        "max": round(seen[-1], 1),
    }


# Actions


def _actions(failed: Sequence[_Failed], attempts: Sequence[Attempt]) -> JsonObject:
    """What became of the failures: a rerun each, in time and with success, or not."""
    reruns: defaultdict[str, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        if attempt.kind == "rerun_instance" and attempt.state != "absent":
            reruns[attempt.target].append(attempt)
    answered = Counter(_answer(each, reruns[each.instance]) for each in failed)
    sent = [attempt for each in reruns.values() for attempt in each]
    return {
        "failures": len(failed),
        "sent": len(sent),
        "verified": sum(attempt.outcome == "verified" for attempt in sent),
        "delayed": sum((attempt.intended - attempt.decided).total_seconds() > LATE for attempt in sent),
        "dropped": answered["dropped"],
    }


def _answer(failed: _Failed, reruns: Sequence[Attempt]) -> str:
    """Whether the failure got a rerun that took place. That the rerun failed in turn is no fault of ours."""
    after = [each for each in reruns if each.intended.timestamp() >= failed.at]
    done = any(each.outcome not in ("refused", "unknown", "") for each in after)
    return "done" if done else "dropped"


# Pacing


def _pacing(invented: Invented, calls: int, delays: Sequence[float]) -> JsonObject:
    """The failures without an alert rule: how late they were seen, and how late with equal and with the best intervals.

    Ratios are to equal intervals that use the same calls.
    """
    seen = [delay for delay in delays if delay < math.inf]
    if not calls or not seen:
        return {"calls": calls, "failures": len(seen), "mean": None, "equal": None, **dict.fromkeys(_RATIOS)}
    equal = equal_delay(len(invented.rates), calls)
    mean = sum(seen) / len(seen)
    today, *history = (
        [(failure.project, failure.at) for failure in day.failures if not failure.alerted]
        for day in (invented.today, *invented.history)
    )
    known = [*today, *(failure for day in history for failure in day)]
    return {
        "calls": calls,
        "failures": len(seen),
        "mean": round(mean, 1),
        "equal": round(equal, 1),
        "ratio": round(mean / equal, 3),
        "optimum": round(optimum_delay(invented.rates, calls) / equal, 3),
        "hindsight": round(hindsight_delay(today, known, tuple(invented.rates), calls) / equal, 3),
    }


_RATIOS = ("ratio", "optimum", "hindsight")
