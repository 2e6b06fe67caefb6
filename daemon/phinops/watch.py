"""The sources of a tenant, each polled at its pace, and what can be said of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable
from zoneinfo import ZoneInfo

import anyio
import structlog

from phinops.arrive.arrival import Arrival, Part
from phinops.arrive.pace import Pacer
from phinops.arrive.planner import Care, Left, Planner
from phinops.arrive.polling import Polled, SourceState
from phinops.catalog.quotas import plan_for
from phinops.clock import Clock
from phinops.config import Tenant
from phinops.decide.rule import Cares
from phinops.errors import PhinopsError
from phinops.event import Event
from phinops.forecast import seconds_left
from phinops.lookout import Recoveries
from phinops.pipeline import Taken
from phinops.pulse import Pulse
from phinops.spending import Spender, spending
from phinops.tenant import Serving, Source
from phinops.vendor import Message

log = structlog.get_logger(__name__)

Take = Callable[[Arrival], Awaitable[Taken]]

_LEVELS: Mapping[str, tuple[int, ...]] = {"alerts": (1,), "instances": (1,), "impacts": (1, 2)}
"""The levels of the calls that each source makes (throttling tiers page)."""

_FAMILIES: Mapping[str, str] = {"alerts": "alert.", "instances": "instance.", "impacts": "impact."}

LONGEST_CALL = 600.0
"""Seconds that a poll may be silent within: one call that waits for its turn, is repeated and answered."""

POLITE = 0.02
"""The part of what a pool's rate would give in a day that polls are planned with where the day has no limit."""

DAY = 86_400.0

_FAILED_RUN = frozenset({"VDM_BATCH_ERROR", "KGB_TASK_ERROR"})
"""The reasons of alerts that tell of a run which failed (reasons of ListAlertEvents)."""

EASED = 4.0
"""How many times longer the intervals of polls are whose changes are pushed."""

Hint = Callable[[Event], None]


@dataclass(slots=True)
class Pushes:
    """Whether the changes of a source are pushed to us, as far as can be told.

    They are from the first message on, until a poll finds a change that should have been pushed before it.
    """

    flow: bool = False

    def came(self) -> None:
        """A message was taken."""
        self.flow = True

    def missed(self, tenant: str, source: str, events: Sequence[Event]) -> None:
        """A poll was the first to tell of these events."""
        late = [event for event in events if event.type in _PUSHED]
        if self.flow and late:
            self.flow = False
            log.warning("pushes.stopped", tenant=tenant, source=source, missed=late[0].id)


_PUSHED = ("alert.opened", "alert.repeated")
"""What Dataphin's message channels tell of; that an alert is muted or over, they do not."""


@dataclass(slots=True)
class Watch:
    """One source being watched. `hint` is told of every new event of the source."""

    tenant: str
    source: Source
    pacer: Pacer
    pulse: Pulse
    take: Take
    clock: Clock
    past: Past
    recoveries: Recoveries | None = None
    pushes: Pushes = field(default_factory=Pushes)
    hint: Hint = field(default=lambda _: None)
    _telling: anyio.Lock = field(default_factory=anyio.Lock)

    async def run(self) -> None:
        """Poll, and tell what others saw, until cancelled."""
        try:
            async with anyio.create_task_group() as group:
                if self.recoveries:
                    group.start_soon(self._tell_recoveries, self.recoveries)
                await self.pacer.run(self, self._tell)
        finally:
            self.pulse.gone(loop_of(self.tenant, self.source.name))

    async def _tell_recoveries(self, recoveries: Recoveries) -> None:
        """Whatever of it is not recorded, the next poll sees by itself."""
        while True:
            for project, rows in (await recoveries.sightings.take()).items():
                try:
                    with spending(Spender(self.source.name)):
                        arrival = await recoveries.arrival(self.clock.now(), project, rows)
                    if arrival.seen:
                        await self.take(arrival)
                except PhinopsError as error:
                    log.warning("recovery.untold", tenant=self.tenant, project=project, reason=str(error))
                except Exception:
                    # What one project trips over must not stop the others.
                    log.exception("recovery.broken", tenant=self.tenant, project=project)

    async def parts(self) -> Sequence[Part]:
        """What there is to poll."""
        with self._under_way("projects"):
            return await self.source.parts(self.clock.now())

    async def last_good(self) -> Mapping[str, datetime]:
        """When each part was last polled."""
        return await self.past.last_good(self.source.name)

    async def found(self) -> Mapping[tuple[str, datetime], int]:
        """How many changes polls found first, by part and hour."""
        return await self.past.changes(self.source.name)

    async def once(self, part: Part, hinted: frozenset[str]) -> Polled:
        """Poll one part, and commit what it brings."""
        # What is pushed meanwhile waits: it is compared with what this poll has seen.
        async with self._telling if isinstance(self.source, Told) else nullcontext():
            with self._under_way(part.id):
                arrival = replace(await self.source.poll(self.clock.now(), part), hinted=hinted)
                taken = await self.take(arrival)
        for event in taken.new:
            self.hint(event)
        self.pushes.missed(self.tenant, self.source.name, taken.new)
        return Polled(arrival, taken.found)

    async def told(self, message: Message) -> None:
        """Take what was pushed about an object of this source; what is new is an event, as it would be of a poll.

        Raises:
            PhinopsError: it could not be taken; a poll will find it.
        """
        if not isinstance(self.source, Told):
            return
        async with self._telling:
            with spending(Spender(self.source.name)):
                taken = await self.take(await self.source.told(self.clock.now(), message))
        for event in taken.new:
            self.hint(event)
        if not self.pushes.flow:
            log.info("pushes.flow", tenant=self.tenant, source=self.source.name)
        self.pushes.came()

    @contextmanager
    def _under_way(self, what: str) -> Iterator[None]:
        """All calls meanwhile are the source's own, those for lists that it shares with other sources too."""
        work = f"{loop_of(self.tenant, self.source.name)}/{what}"
        with self.pulse.under_way(work, LONGEST_CALL), spending(Spender(self.source.name)):
            yield

    async def _tell(self, event: Event) -> None:
        await self.take(Arrival(self.source.name, self.tenant, (event,)))

    def state(self) -> SourceState:
        """How the source is now."""
        return self.pacer.state()

    def obstacle(self) -> str:
        """Why the daemon is not ready because of this source, or "". One that rests for want of calls is no obstacle,
        also before it took stock: a start on a spent day must be ready for what hooks and schedules ask."""
        state = self.state()
        name = f"source {self.source.name} of {self.tenant}"
        if state.state == "stale":
            return f"{name} is stale: {state.reason or 'no good poll for too long'}"
        if state.state == "starting" or (state.state == "failing" and state.last_good is None):
            return f"{name} has not taken stock yet{': ' + state.reason if state.reason else ''}"
        return ""


def loop_of(tenant: str, source: str) -> str:
    """What the pulse calls a source's loop."""
    return f"{tenant}/{source}"


@runtime_checkable
class Told(Protocol):
    """A source whose changes may be pushed as well."""

    async def told(self, now: datetime, message: Message) -> Arrival:
        """What a message says that is new. Raises PhinopsError: nothing moved."""
        ...


class Past(Protocol):
    """What the store knows of a tenant's sources. Raises StoreError."""

    async def last_good(self, source: str) -> Mapping[str, datetime]:
        """When each part of the source was last polled."""
        ...

    async def changes(self, source: str) -> Mapping[tuple[str, datetime], int]:
        """How many changes polls of the source found first, by part and hour."""
        ...


def watches_of(
    servings: Iterable[Serving],
    clock: Clock,
    zone: ZoneInfo,
    pulse: Pulse,
    cares: Callable[[str], Cares | None],
    take: Take,
) -> list[Watch]:
    """A watch for each source of each tenant; those of one account divide its quota."""
    found: list[Watch] = []
    planners: dict[int, Planner] = {}
    for serving in servings:
        planner = planners.get(id(serving.limiter))
        if planner is None:
            planner = planners[id(serving.limiter)] = Planner(_left(serving, clock, zone), clock, zone)
        watches = {}
        for source in serving.sources:
            pushes = Pushes()
            watches[source.name] = Watch(
                serving.config.name,
                source,
                _pacer(serving, source.name, planner, pulse, cares, pushes),
                pulse,
                take,
                clock,
                serving.past,
                serving.recoveries if source.name == "instances" else None,
                pushes,
            )
        if "alerts" in watches and "instances" in watches:
            watches["alerts"].hint = _hinting(watches["instances"].pacer)
        if "instances" in watches:
            watches["instances"].hint = _heard_by(serving)
        found += watches.values()
    return found


def _heard_by(serving: Serving) -> Hint:
    """That a run ended whoever verifies it need not find out later."""

    def hint(event: Event) -> None:
        if event.instance and event.type in ("instance.failed", "instance.succeeded"):
            serving.hands.settler.heard(event.project.id, event.instance.id)

    return hint


def _hinting(instances: Pacer) -> Hint:
    """An alert of a failed run tells where to look at once."""

    def hint(event: Event) -> None:
        alert = event.alert
        if alert is None or event.type not in ("alert.opened", "alert.repeated") or alert.reason not in _FAILED_RUN:
            return
        instances.hint(event.project.id, alert.unique_key, event.time)

    return hint


def _pacer(
    serving: Serving,
    source: str,
    planner: Planner,
    pulse: Pulse,
    cares: Callable[[str], Cares | None],
    pushes: Pushes,
) -> Pacer:
    loop = loop_of(serving.config.name, source)

    def care() -> Care | None:
        found = cares(_FAMILIES[source])
        return None if found is None else Care(found.within, EASED if pushes.flow else 1.0)

    return Pacer(
        source,
        serving.config.name,
        planner,
        levels=_LEVELS[source],
        every=_every(serving.config, source),
        cares=care,
        beat=lambda silent: pulse.beat(loop, silent),
    )


def _every(tenant: Tenant, source: str) -> timedelta | None:
    settings = {
        "alerts": tenant.sources.alerts,
        "instances": tenant.sources.instances,
        "impacts": tenant.sources.impacts,
    }
    every = settings[source].every
    return None if every == "auto" else every


def _left(serving: Serving, clock: Clock, zone: ZoneInfo) -> Callable[[], Left]:
    """What polls of the account may still use: its day less what is kept for actions."""
    quota = serving.config.quota
    plan = plan_for(serving.config.edition, quota.qps, quota.daily)

    def left() -> Left:
        seconds = seconds_left(clock.now().astimezone(zone))
        uses = {use.pool: use for use in serving.limiter.usage()}
        used = {pool: use.used for pool, use in uses.items()}
        calls: dict[str, float] = {}
        endless = set()
        for pool, use in uses.items():
            if use.limit is not None:
                calls[pool] = 0.0 if use.spent else max(0.0, use.limit - use.reserve - use.used)
            elif (rated := plan.rate_pool(int(pool[0]))) is not None:
                endless.add(pool)
                a_second = POLITE * plan.rates[rated] * quota.share
                calls[pool] = max(a_second * seconds / 2, a_second * DAY - use.used)
        return Left(calls, seconds, used, frozenset(endless))

    return left
