"""Is it new? What was seen of an object before, and what the service says of it now, give the events in between.

Pure functions: the same record a second time gives nothing, in whatever window, page or process it is seen. The state
that goes in and out is JSON. An event's identity is its source, tenant, object, occurrence and state, so that whoever
else sees the same change makes the same event of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from typing import Any, TypeVar

from phinops.event import (
    STATE_EVENTS,
    Alert,
    Api,
    Event,
    Impact,
    Instance,
    JsonObject,
    Node,
    Project,
    event_id,
)

MUTED = frozenset({"SILENCING", "DO_NOT_DISTURB"})
"""The statuses of an alert that goes on without telling anybody: between two of its repetitions, or because a person
said so."""

FINISHED = "FINISH"

TOLD_WITHIN = 45
"""Seconds by which what is pushed about an alert and the list may differ in when it fired. Alerts repeat once a minute
at most (Dataphin's monitoring rules), so two firings are never so near."""

S = TypeVar("S", "AlertSeen", "InstanceSeen", "ImpactSeen")


@dataclass(frozen=True, slots=True)
class Sight:
    """Who looks, when, and from which moment on a change is news.

    An object that was never seen is old when the service dates it before `since`, and, while stock is taken, also
    when it bears no date. What is old is remembered without an event; its next change is one.
    """

    tenant: str
    now: datetime
    since: datetime
    stock: bool

    def is_old(self, dated: datetime | None) -> bool:
        """Whether an object that was never seen, and that the service dates so, is no news."""
        return self.stock if dated is None else dated < self.since


@dataclass(frozen=True, slots=True)
class Sifted:
    """The events of one record, in order, and the object's new state (None: as before)."""

    events: tuple[Event, ...] = ()
    state: JsonObject | None = None


NOTHING = Sifted()


@dataclass(frozen=True, slots=True)
class AlertSeen:
    """What was last seen of an alert. Times are epoch seconds; `told` counts the events of each kind."""

    status: str = ""
    times: int | None = None
    first: int | None = None
    latest: int | None = None
    told: Mapping[str, int] = field(default_factory=dict)
    open: bool = False


@dataclass(frozen=True, slots=True)
class InstanceSeen:
    """What was last seen of an instance.

    `run` names the present run: its start in epoch seconds, or the n-th time without one. `entered` counts how often
    each state was entered in this run, `failed_run` is the last one that failed.
    """

    status: str = ""
    started: int | None = None
    ended: int | None = None
    run: str = ""
    waits: int = 0
    entered: Mapping[str, int] = field(default_factory=dict)
    attempts: int = 0
    failed_run: str = ""
    project: str = ""
    biz_date: str = ""
    node: str = ""
    open: bool = False


@dataclass(frozen=True, slots=True)
class ImpactSeen:
    """What was last seen of a failing API; `window` is the start, in epoch seconds, of the window last told of."""

    project: str = ""
    name: str = ""
    window: int = 0
    errors: int = 0
    changed: bool = False
    open: bool = False


def sift_alert(sight: Sight, alert: Alert, project: Project, raw: object, before: Mapping[str, Any] | None) -> Sifted:
    """Opened, repeated (its count rose, once a look), silenced, closed, or nothing new.

    An alert that came and went between two looks is opened and closed; one that is open again after its end is
    opened again. A copy older than what was seen tells nothing. What was pushed bears no count, and may be dated some
    seconds later than the list dates the same firing: whichever comes first tells of it.
    """
    remembered = known = recall(AlertSeen, before)
    first, latest = seconds(alert.first_time), seconds(alert.latest_time)
    first = known.first if first is None and known else first
    if known and _is_twin(alert.times, latest, known):
        if alert.times is None:
            return NOTHING  # the list has told more than that
        # The list's own dating is kept: by it a later look at the list is told from an older one.
        known = replace(known, times=alert.times, latest=latest)
    elif known and _is_older(alert.times, latest, known):
        return NOTHING
    kinds = _alert_changes(sight, alert, known)
    told = dict(known.told) if known else {}
    events = []
    for kind in kinds:
        told[kind] = told.get(kind, 0) + 1
        nth = f"{alert.times}@{latest}" if kind == "repeated" else str(told[kind])
        events.append(
            Event(
                id=event_id("alerts", sight.tenant, alert.id, f"{first}/{nth}", kind),
                type=f"alert.{kind}",
                # The service dates an alert's firing, not its muting nor its end.
                time=(alert.latest_time or sight.now) if kind in ("opened", "repeated") else sight.now,
                tenant=sight.tenant,
                source="alerts",
                project=project,
                raw=raw,
                alert=alert,
            )
        )
    state = AlertSeen(alert.status, alert.times, first, latest, told, open=alert.status != FINISHED)
    return Sifted(tuple(events), _changed(state, remembered))


def _alert_changes(sight: Sight, alert: Alert, known: AlertSeen | None) -> Iterable[str]:
    if known is None and sight.is_old(alert.latest_time or alert.first_time):
        return
    rose = known is not None and _rose(alert.times, seconds(alert.latest_time), known)
    finished = alert.status == FINISHED
    opened = known is None or (known.status == FINISHED and (rose or not finished))
    if opened:
        yield "opened"
    elif rose:
        yield "repeated"
    was = "" if opened or known is None else known.status
    if alert.status in MUTED and was not in MUTED:
        yield "silenced"
    if finished and was != FINISHED:
        yield "closed"


def _is_twin(times: int | None, latest: int | None, known: AlertSeen) -> bool:
    """Whether one of the two was pushed and the other listed, and both are of the same firing of the alert."""
    if latest is None or known.latest is None or (times is None) == (known.times is None):
        return False
    return abs(latest - known.latest) <= TOLD_WITHIN


def _is_older(times: int | None, latest: int | None, known: AlertSeen) -> bool:
    if latest is not None and known.latest is not None and latest != known.latest:
        return latest < known.latest
    return times is not None and known.times is not None and times < known.times


def _rose(times: int | None, latest: int | None, known: AlertSeen) -> bool:
    if times is not None and known.times is not None and times >= known.times:
        return times > known.times
    # The count is not told, or began anew: then only a later firing says so.
    return latest is not None and latest > (known.latest or 0)


def sift_instance(
    sight: Sight,
    project: Project,
    instance: Instance,
    node: Node,
    raw: object,
    before: Mapping[str, Any] | None,
) -> Sifted:
    """The state that the instance is seen to enter, or nothing new.

    Runs of one instance differ in when they began, to the second (the service's styles differ below that). A status
    that is not known, and a copy of an earlier run, tell nothing.
    """
    known = recall(InstanceSeen, before)
    started, ended = seconds(instance.started_at), seconds(instance.ended_at)
    if instance.status not in STATE_EVENTS or _earlier_run(started, known):
        return NOTHING
    entered = known is None or _entered(instance.status, started, known)
    state = _follow(known or InstanceSeen(), instance.status, started, entered=entered)
    state = replace(state, ended=ended, project=project.id, biz_date=instance.biz_date, node=node.id)
    if not entered or (known is None and sight.is_old(dated(instance))):
        return Sifted((), _changed(state, known))
    nth = state.entered[instance.status]
    event = Event(
        id=event_id(
            "instances", sight.tenant, instance.id, state.run + (f"#{nth}" if nth > 1 else ""), instance.status
        ),
        type=STATE_EVENTS[instance.status],
        time=_fresh_date(instance, known) or sight.now,
        tenant=sight.tenant,
        source="instances",
        project=project,
        raw=raw,
        instance=replace(instance, previous_status=known.status if known else "", attempts=state.attempts),
        node=node,
    )
    return Sifted((event,), _changed(state, known))


def _earlier_run(started: int | None, known: InstanceSeen | None) -> bool:
    return known is not None and None not in (started, known.started) and (started or 0) < (known.started or 0)


def _entered(status: str, started: int | None, known: InstanceSeen) -> bool:
    if status != known.status:
        return True
    if started is None or started == known.started:
        return False
    # RUNNING whose start was not told at first is still the same run.
    return status in ("FAILED", "SUCCESS") or (status == "RUNNING" and known.started is not None)


def _follow(known: InstanceSeen, status: str, started: int | None, *, entered: bool) -> InstanceSeen:
    """The state in the record's run; a run that is new has entered nothing yet."""
    waits = known.waits + (1 if started is None and known.started is not None else 0)
    run = f"w{waits}" if started is None else str(started)
    counts = known.entered
    if run != known.run:
        # The start of a run that was seen without one: what was entered counts for it.
        counts = {} if entered else {status: 1}
    state = replace(known, status=status, started=started, run=run, waits=waits, entered=counts)
    return _enter(state, status) if entered else state


def _enter(state: InstanceSeen, status: str) -> InstanceSeen:
    attempts, failed_run = state.attempts, state.failed_run
    if status == "FAILED" and failed_run != state.run:
        attempts, failed_run = attempts + 1, state.run
    return replace(
        state,
        attempts=attempts,
        failed_run=failed_run,
        entered={**state.entered, status: state.entered.get(status, 0) + 1},
        # What became of a failure is worth following until it has succeeded.
        open=attempts > 0 and status != "SUCCESS",
    )


def dated(instance: Instance) -> datetime | None:
    """When the service says that the instance came to its state; None of a state that it does not date."""
    if instance.status in ("FAILED", "SUCCESS"):
        return instance.ended_at or instance.started_at
    return instance.started_at if instance.status == "RUNNING" else None


def _fresh_date(instance: Instance, known: InstanceSeen | None) -> datetime | None:
    """When the service says that it happened, unless it said the same of the state before."""
    told = dated(instance)
    return None if known and seconds(told) in (known.started, known.ended) else told


@dataclass(frozen=True, slots=True)
class Impacted:
    """What an API's errors did in one window, which its `impact.window_start` names.

    `whole` says that the window is over, so that nothing more will be counted in it.
    """

    impact: Impact
    whole: bool
    last_bad: datetime | None = None
    raw: Any = None


def sift_impact(sight: Sight, project: Project, api: Api, found: Impacted, before: ImpactSeen | None) -> Sifted:
    """Opened at its first errors; changed once a window, when a whole one has more than was told; closed after a
    whole window without any.
    """
    window = seconds(found.impact.window_start) or 0
    kind = impact_change(before, window, found.impact.errors or 0, whole=found.whole)
    if not kind:
        return NOTHING
    state = ImpactSeen(project.id, api.name, window, found.impact.errors or 0, kind == "changed", kind != "closed")
    event = Event(
        id=event_id("impacts", sight.tenant, f"{project.id}/{api.id}", str(window), kind),
        type=f"impact.{kind}",
        time=found.last_bad or found.impact.window_end or sight.now,
        tenant=sight.tenant,
        source="impacts",
        project=project,
        raw=found.raw,
        api=api,
        impact=found.impact,
    )
    return Sifted((event,), asdict(state))


def impact_change(known: ImpactSeen | None, window: int, errors: int, *, whole: bool) -> str:
    """Which event `sift_impact` would make: opened, changed, closed or, for none, ""."""
    if known is None or not known.open:
        return "opened" if errors and (known is None or window > known.window) else ""
    if not whole:
        return ""
    if not errors:
        return "closed" if window > known.window else ""
    more = errors > known.errors if window == known.window else window > known.window
    return "changed" if more and not (window == known.window and known.changed) else ""


def seconds(moment: datetime | None) -> int | None:
    """Epoch seconds, the finest that all of the service's styles share."""
    return None if moment is None else int(moment.timestamp())


def recall(kind: type[S], before: Mapping[str, Any] | None) -> S | None:
    """The remembered state as a value; what another version of phinops wrote beside it is left out."""
    if before is None:
        return None
    return kind(**{item.name: before[item.name] for item in fields(kind) if item.name in before})


def _changed(state: AlertSeen | InstanceSeen, known: object) -> JsonObject | None:
    return None if state == known else asdict(state)
