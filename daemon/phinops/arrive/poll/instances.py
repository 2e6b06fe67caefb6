"""The source `instances`: failures, what becomes of them, and every state that a loaded rule names.

The service lists the instances of one project a call and has no filter by the time of a change. So a window of
business dates is listed with the statuses that are listened to, and compared with what was seen. An instance that
was seen to fail and has left the list is looked at until it has succeeded, unless somebody else looks at it meanwhile:
then what he sees is told as if a poll had seen it.

For rules on what lasts too long the states that they ask about are listed too, and told as `Arrival.standing`. Those
that wait may be thousands, a night's whole plan: where they fill more than a page they are listed apart, as often as a
ration of the day's calls allows.

Instances that were started by hand (ScheduleType MANUAL) are not polled: whoever starts one is there to see its end,
and they would double the calls.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import date, datetime, timedelta, tzinfo

from phinops.arrive.arrival import Arrival, Fault, Memory, Part, ReadApi, Roll, Standing
from phinops.arrive.lasting import Asked
from phinops.arrive.paging import PAGE_SIZE, Listing, read_all
from phinops.arrive.poll.aftermath import follow
from phinops.arrive.poll.instancelist import InstanceList, Row, Span
from phinops.arrive.poll.outlook import list_waiting, outlook, roll_of, standing_of
from phinops.arrive.progress import Forgetting, Progress, in_order, read_progress
from phinops.arrive.projects import ProjectList
from phinops.arrive.ration import Ration
from phinops.arrive.sift import InstanceSeen, Sifted, Sight, recall, sift_instance
from phinops.event import STATE_EVENTS, Project

NEAR_DAYS = 3
"""A run's business date is the day before it: the window reaches this many days back behind the last good poll."""

FAR_DAYS = 15
"""How long the service keeps scheduled instances (user manual, operation centre): a far window has them all."""

FAR_EVERY = timedelta(hours=1)
"""How often a far window is read when it takes a call of its own, or more."""


@dataclass(frozen=True, slots=True)
class _Look:
    """One project's part of a poll."""

    progress: Progress
    sifted: Mapping[str, Sifted]
    faults: tuple[Fault, ...]
    calls: int
    follow_ups: int
    apart: int = 0
    standing: tuple[Standing, ...] = ()
    roll: Roll | None = None


@dataclass(frozen=True, slots=True)
class _Past:
    """What is known of one project: its progress, and the failures whose end was not seen."""

    progress: Progress | None
    tracked: Mapping[str, InstanceSeen]


@dataclass(slots=True)
class InstanceSource:
    """The scheduled instances of the watched projects.

    `wanted` tells the event types that rules listen to; failures are always among them. `lasting` tells what they call
    too long, and `ration` is for lists of all that wait. `followed` are the instances of a project that somebody else
    looks at now, who brings their recovery to `recovered`. `biz_date_format` is the partition format of the business
    unit, in which the service wants business dates. `lookback` bounds the age of what is news to an empty store; `zone`
    is that of the service's texts.
    """

    tenant: str
    reader: ReadApi
    memory: Memory
    projects: ProjectList
    wanted: Callable[[], frozenset[str]]
    _: KW_ONLY
    zone: tzinfo
    lasting: Callable[[], Collection[Asked]] = frozenset
    followed: Callable[[str], Set[str]] = lambda _: frozenset()
    ration: Ration | None = None
    biz_date_format: str = "%Y-%m-%d"
    lookback: timedelta = timedelta(hours=1)
    forgetting: Forgetting = field(default_factory=Forgetting)
    name: str = "instances"

    async def parts(self, now: datetime) -> Sequence[Part]:
        """The watched projects. Raises ApiError, QuotaSpent: they are not known and cannot be read."""
        return [Part(project.id, project.name) for project in await self.projects.watched(now)]

    async def poll(self, now: datetime, part: Part) -> Arrival:
        """What changed in a project since its last poll that was committed.

        Raises:
            ApiError: it was not answered; nothing has moved, so that nothing of it is lost.
            QuotaSpent: the day has no call left for polls.
        """
        progress = read_progress(await self.memory.cursor(f"{self.name}/{part.id}"))
        tracked = await self.memory.tracked(self.name, part.id)
        states = {key: state for key, document in tracked.items() if (state := recall(InstanceSeen, document))}
        look = await self._look(now, Project(part.id, part.name), _Past(progress, states))
        return Arrival(
            source=self.name,
            tenant=self.tenant,
            events=in_order(look.sifted.values()),
            seen={key: one.state for key, one in look.sifted.items() if one.state is not None},
            cursor=look.progress.to_json(),
            forget_before=self.forgetting.before(progress.good if progress else None, now),
            faults=tuple(replace(fault, where=part.name or part.id) for fault in look.faults),
            calls=look.calls,
            follow_ups=look.follow_ups,
            apart=look.apart,
            part=part.id,
            standing=look.standing,
            roll=look.roll,
            old=None if progress else now - self.lookback,
        )

    async def recovered(self, now: datetime, project_id: str, rows: Mapping[str, Row]) -> Arrival:
        """What it means that somebody has just read of these instances of a project that they succeeded.

        It is the same event that a poll would make of it. Told are only those that the source follows; with others the
        arrival is empty.

        Raises:
            ApiError, QuotaSpent: the projects are not known and cannot be read.
        """
        seen = await self.memory.seen(self.name, list(rows))
        known = {
            key: state for key, document in seen.items() if (state := recall(InstanceSeen, document)) and state.open
        }
        project = await self.projects.numbered(project_id, now) if known else None
        sight = Sight(self.tenant, now.astimezone(self.zone), now, stock=False)
        sifted = {
            key: sift_instance(sight, project, row.instance, row.node, row.raw, seen[key])
            for key, row in rows.items()
            if project and key in known and row.instance.status == "SUCCESS"
        }
        return Arrival(
            source=self.name,
            tenant=self.tenant,
            events=in_order(sifted.values()),
            seen={key: one.state for key, one in sifted.items() if one.state is not None},
        )

    async def _look(self, now: datetime, project: Project, past: _Past) -> _Look:
        sights = self._sights(now, past.progress)
        view = outlook(self.lasting(), sights.keys(), past.progress)
        states = set(sights) | view.together
        # What is listed for what lasts too long is little: a far window has it with the failures, in one call.
        alone = len(sights) == 1
        far = past.progress is None or past.progress.far_is_due(now, FAR_EVERY, PAGE_SIZE if alone else -1)
        today = now.astimezone(self.zone).date()
        oldest = today - timedelta(days=FAR_DAYS)
        near = Span(self._near(now, past.progress), today)
        span = Span(min(near.first, oldest), today) if far else near
        instances = InstanceList(self.reader, project.id, self.zone, self.biz_date_format)
        if any(state.status == "RUNNING" for state in past.tracked.values()):
            # Those that run again after a failure come with the same call.
            states.add("RUNNING")
        listing = await self._list(instances, states, near, span, alone=alone)
        waiting = await list_waiting(self.reader, instances, near, self.ration) if view.apart else None
        followed = self.followed(project.id)
        others = {key: state for key, state in past.tracked.items() if key not in followed}
        after = await follow(self.reader, instances, others, listing.values, span, oldest)
        rows = {key: row for key, row in listing.values.items() if _is_meant(key, row, sights, past)} | after.rows
        sifted = await self._sift(project, rows, sights)
        ended = {key: Sifted(state=state) for key, state in after.ended.items()}
        far_at, far_rows = now, listing.total
        if past.progress and not far:
            far_at, far_rows = past.progress.far_at, past.progress.far_rows
        since = {state: sight.since for state, sight in sights.items()}
        queue = waiting.values if waiting else {}
        count = view.waiting(queue if view.apart else listing.values, past.progress)
        return _Look(
            Progress(now, since, far_at, far_rows, count),
            {**ended, **sifted},
            (*listing.faults, *after.faults, *(waiting.faults if waiting else ())),
            listing.calls + after.calls + (waiting.calls if waiting else 0),
            after.calls,
            waiting.calls if waiting else 0,
            standing_of({**queue, **listing.values, **after.rows}, view.watched, project, past.tracked),
            roll_of(project, states, span if alone else near, near, listing, waiting),
        )

    async def _list(self, instances: InstanceList, states: Set[str], near: Span, span: Span, *, alone: bool) -> Listing:
        """What is in `states`: failures in all of `span`, other states that are listened to in `near` only.

        A fortnight of successes is a long list, and tells nothing: what is older than the last poll is no news.
        """
        if alone or span.first == near.first:
            return await read_all(self.reader, instances.listed(span, states))
        listing = await read_all(self.reader, instances.listed(near, states))
        older = Span(span.first, near.first - timedelta(days=1))
        more = await read_all(self.reader, instances.listed(older, {"FAILED"}))
        return Listing(
            values=more.values | listing.values,
            total=listing.total + more.total,
            calls=listing.calls + more.calls,
            faults=listing.faults + more.faults,
        )

    def _sights(self, now: datetime, progress: Progress | None) -> dict[str, Sight]:
        """How each state that is listened to is looked at: what a new rule asks for is news from the last poll on."""
        wanted = self.wanted()
        states = {"FAILED"} | {state for state, event in STATE_EVENTS.items() if event in wanted}
        known = progress.since if progress else {}
        begin = progress.good if progress else now - self.lookback
        here = now.astimezone(self.zone)
        return {state: Sight(self.tenant, here, known.get(state, begin), state not in known) for state in states}

    def _near(self, now: datetime, progress: Progress | None) -> date:
        last = min(progress.good, now) if progress else now
        return last.astimezone(self.zone).date() - timedelta(days=NEAR_DAYS)

    async def _sift(self, project: Project, rows: Mapping[str, Row], sights: Mapping[str, Sight]) -> dict[str, Sifted]:
        before = await self.memory.seen(self.name, list(rows))
        return {
            key: sift_instance(
                sights.get(row.instance.status, sights["FAILED"]),
                project,
                row.instance,
                row.node,
                row.raw,
                before.get(key),
            )
            for key, row in rows.items()
        }


def _is_meant(key: str, row: Row, sights: Mapping[str, Sight], past: _Past) -> bool:
    """Not one of those that run, and that nobody listens to, listed for the sake of those that run again."""
    return row.instance.status in sights or key in past.tracked
