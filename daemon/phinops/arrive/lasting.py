"""What lasts too long: from what was seen of instances to the moments at which to look again, and to the events.

Pure functions and values. A timer is set for what rules ask, when an instance is seen in the state that they ask
about; it says since when, and when that will be too long. Whoever then sees the instance in that state still, in the
same run, has the event. Its identity is the instance, the run or the due time, the state and the time that was asked
for, so that it is told once, whoever sees it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from phinops.arrive.arrival import Standing
from phinops.arrive.sift import dated, seconds
from phinops.event import NOT_STARTED, Event, Instance, JsonObject, Lasting, Project, event_id

OVERDUE, STUCK = "instance.overdue", "instance.stuck"

WAITING = "WAITING"
"""The one state that a night's whole plan is in: it is listed rarely."""


class Asked(NamedTuple):
    """What some rule calls too long: the event's type, the state ("" for overdue), and the seconds."""

    type: str
    state: str
    after_s: int

    @property
    def states(self) -> tuple[str, ...]:
        """The states of an instance of which it may come true."""
        return NOT_STARTED if self.type == OVERDUE else (self.state,)

    @property
    def name(self) -> str:
        """What it is kept under, beside its instance."""
        return f"{self.type} {self.state} {self.after_s}"


def states_of(asked: Iterable[Asked]) -> frozenset[str]:
    """Every state that an instance must be seen in for the sake of what is asked."""
    return frozenset(state for each in asked for state in each.states)


@dataclass(frozen=True, slots=True)
class Timer:
    """When an instance will have been in a state for too long.

    `run` names its run, "" where it has not started. `told` says that the event was told, or is too old to be: the
    timer is kept until the state is left, so that nothing is told twice. `attempts` and `previous` are what was known
    of the instance's earlier runs when it was set.
    """

    tenant: str
    object_id: str
    asked: Asked
    project: Project
    since: datetime
    run: str = ""
    biz_date: str = ""
    attempts: int = 0
    previous: str = ""
    told: bool = False

    @property
    def due(self) -> datetime:
        """The moment from which on it is too long."""
        return self.since + timedelta(seconds=self.asked.after_s)

    @property
    def place(self) -> tuple[str, str]:
        """Tenant and project: what is looked at together."""
        return self.tenant, self.project.id

    def is_same(self, other: Timer) -> bool:
        """Whether it is about the same run; a start that was not told at first is still that of the same run."""
        if self.asked.type == OVERDUE:
            return self.since == other.since
        return not (self.run and other.run) or self.run == other.run

    def to_json(self) -> JsonObject:
        """What `timer_of` reads back."""
        return {
            "asked": list(self.asked),
            "project": [self.project.id, self.project.name],
            "since": self.since.isoformat(),
            "run": self.run,
            "biz_date": self.biz_date,
            "attempts": self.attempts,
            "previous": self.previous,
            "told": self.told,
        }


def timer_of(tenant: str, object_id: str, document: Mapping[str, Any]) -> Timer:
    """The timer that `Timer.to_json` wrote."""
    return Timer(
        tenant,
        object_id,
        Asked(*document["asked"]),
        Project(*document["project"]),
        datetime.fromisoformat(document["since"]),
        document["run"],
        document["biz_date"],
        document["attempts"],
        document["previous"],
        document["told"],
    )


def timers_of(asked: Iterable[Asked], tenant: str, seen: Standing, entered: datetime) -> Iterator[Timer]:
    """What is asked of an instance that was seen so; `entered` is when it came to its state.

    One that was rerun has started once, and is not overdue any more.
    """
    instance = seen.instance
    for each in asked:
        since: datetime | None = entered
        if instance.status not in each.states:
            continue
        if each.type == OVERDUE:
            since = None if instance.started_at or instance.attempts else instance.due_time
        if since is not None:
            yield Timer(
                tenant,
                instance.id,
                each,
                seen.project,
                since,
                str(seconds(instance.started_at) or ""),
                instance.biz_date,
                instance.attempts or 0,
                instance.previous_status,
            )


def event_of(timer: Timer, seen: Standing) -> Event:
    """That it has lasted too long."""
    asked = timer.asked
    occurrence = timer.run if timer.run and asked.type == STUCK else str(seconds(timer.since))
    return Event(
        id=event_id(
            "instances", timer.tenant, timer.object_id, occurrence, f"{asked.type}/{asked.state}/{asked.after_s}"
        ),
        type=asked.type,
        time=timer.due,
        tenant=timer.tenant,
        source="instances",
        project=timer.project,
        raw=seen.raw,
        instance=replace(seen.instance, attempts=timer.attempts, previous_status=timer.previous),
        node=seen.node,
        lasting=Lasting(seen.instance.status, asked.after_s, timer.since),
    )


def entered_at(instance: Instance, seen_at: datetime) -> datetime:
    """When the service says that it came to its state, else when it was seen."""
    return dated(instance) or seen_at


@dataclass(slots=True)
class Plan:
    """What is to become of timers: kept anew, dropped; and the events of those that are due, in order."""

    put: list[Timer] = field(default_factory=list)
    drop: list[Timer] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether nothing changes."""
        return not (self.put or self.drop)


def settled(
    before: Collection[Timer], wanted: Iterable[Timer], seen: Standing, now: datetime, old: datetime | None, plan: Plan
) -> None:
    """Put into `plan` what follows for one instance from its timers and from those that it is seen to want.

    What became too long before `old` is no news, and told at once without an event.
    """
    left = {timer.asked: timer for timer in before}
    for fresh in wanted:
        known = left.pop(fresh.asked, None)
        timer = known if known and known.is_same(fresh) else fresh
        if timer.told:
            continue
        if timer is fresh and old and timer.due < old:
            plan.put.append(replace(timer, told=True))
        elif timer.due <= now:
            plan.put.append(replace(timer, told=True))
            plan.events.append(event_of(timer, seen))
        elif timer is fresh:
            plan.put.append(timer)
    plan.drop.extend(left.values())


def asked_anew(timers: Collection[Timer], asked: Collection[Asked], plan: Plan) -> None:
    """Put into `plan` what follows for one instance when other things are asked.

    What nobody asks for is dropped. A new time for a state that was asked about before counts from the same moment.
    """
    plan.drop.extend(timer for timer in timers if timer.asked not in asked)
    known = {timer.asked: timer for timer in timers}
    for each in asked:
        like = next((timer for timer in timers if timer.asked[:2] == each[:2]), None)
        if each not in known and like is not None:
            plan.put.append(replace(like, asked=each, told=False))
