"""What lasts too long is found out: timers are set and dropped with all that arrives, and looked after when due."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta, tzinfo

import anyio
import structlog

from phinops.arrive.arrival import Arrival, Standing
from phinops.arrive.lasting import WAITING, Asked, Plan, Timer, timer_of
from phinops.arrive.paging import PAGE_SIZE
from phinops.arrive.timerbook import Place, TimerBook
from phinops.clock import Clock
from phinops.errors import ApiError, PhinopsError, QuotaSpent, StoreError, StoreLost, Throttled, Transient
from phinops.execute.steps.kind import InstanceView
from phinops.lookout import Eyes, Watched
from phinops.pipeline import Pipeline, Taken
from phinops.record.sqlite import Store
from phinops.record.timers import TimerRow, all_timers, drop_timers, put_timers
from phinops.record.tx import Tx
from phinops.spending import Spender, spending

log = structlog.get_logger(__name__)

LONGEST_SLEEP = 60.0
"""Seconds after which due times are looked at in any case: the wall clock may have been set meanwhile."""

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0
"""Seconds until what could not be read is read again: the first time, and at most."""

KEPT = timedelta(days=30)
"""How long it is remembered that something was told, where nobody ever saw the state left."""

SPENDER = "timers"


@dataclass(slots=True)
class _Group:
    """Timers of one project that are due, to be looked after together."""

    timers: list[Timer] = field(default_factory=list)
    busy: bool = False
    pause: float = 0.0
    again_at: float = float("-inf")


class Timers:
    """Stands before the pipeline: what arrives goes through `take`. `run` looks after what is due."""

    def __init__(
        self,
        store: Store,
        pipeline: Pipeline,
        watched: Mapping[str, Watched],
        asked: Callable[[], Collection[Asked]],
        clock: Clock,
        zone: tzinfo,
        beat: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._pipeline = pipeline
        self._watched = watched
        self._asked = asked
        self._clock = clock
        self._beat = beat
        self._book = TimerBook(zone)
        self._groups: defaultdict[tuple[Place, bool], _Group] = defaultdict(_Group)
        self._adopted = True
        self._look = asyncio.Event()
        self._book.sooner = self._look.set

    async def load(self) -> None:
        """Know what the store has, and set and drop what the rules in force ask and do not ask. Raises StoreError."""
        rows = await self._store.read(all_timers)
        timers = [timer_of(row.tenant, row.object_id, row.body) for row in rows]
        self._book.keep(Plan(put=timers))
        long_ago = self._clock.now() - KEPT
        await self._change(Plan(drop=[each for each in timers if each.told and each.due < long_ago]))
        await self._change(self._book.asked_anew(self._asked()))

    def changed(self) -> None:
        """The rules are other ones than before: `run` sets and drops what that means, as soon as the store lets it."""
        self._adopted = False
        self._look.set()

    async def take(self, arrival: Arrival) -> Taken:
        """What `Pipeline.take` does, with what the arrival means for timers; what is too long by now is in it.

        Raises:
            StoreError: nothing was recorded; the same arrival may be brought again.
        """
        plan = self._book.plan(arrival, self._asked(), self._clock.now())
        if plan.empty:
            return await self._pipeline.take(arrival)
        arrival = replace(arrival, events=(*arrival.events, *plan.events))
        taken = await self._pipeline.take(arrival, also=lambda tx: _record(tx, plan))
        self._book.keep(plan)
        return taken

    async def _change(self, plan: Plan) -> None:
        if not plan.empty:
            await self._store.write(lambda tx: _record(tx, plan))
            self._book.keep(plan)

    # What is due

    async def run(self) -> None:
        """Look after timers when they are due, until cancelled."""
        # Half of a start's imports, and only needed by who runs for long.
        from phinops.arrive.wheel import Wheel

        async with anyio.create_task_group() as group, Wheel(self._clock, self._wait, self._look.set) as wheel:
            while True:
                self._look.clear()
                await self._adopt()
                for timer in self._book.take_due(self._clock.now()):
                    self._groups[timer.place, WAITING in timer.asked.states].timers.append(timer)
                for key, each in list(self._groups.items()):
                    if self._may_look(key, each):
                        each.busy = True
                        group.start_soon(self._look_after, key, each)
                self._beat(2 * LONGEST_SLEEP)
                wheel.turn()
                await self._look.wait()

    async def _adopt(self) -> None:
        if self._adopted:
            return
        try:
            await self._change(self._book.asked_anew(self._asked()))
        except StoreLost:
            raise
        except StoreError as error:
            log.warning("timers.unchanged", reason=str(error))
        else:
            self._adopted = True

    def _wait(self) -> float:
        """Seconds until something is due, or may be read."""
        waits = [LONGEST_SLEEP if self._adopted else FIRST_PAUSE]
        if due := self._book.next_due():
            waits.append((due - self._clock.now()).total_seconds())
        waits += [self._wait_of(key, each) for key, each in self._groups.items() if not each.busy]
        return max(0.0, min(waits))

    def _may_look(self, key: tuple[Place, bool], group: _Group) -> bool:
        return not group.busy and self._wait_of(key, group) <= 0

    def _wait_of(self, key: tuple[Place, bool], group: _Group) -> float:
        (tenant, _), costly = key
        wait = group.again_at - self._clock.monotonic()
        if not costly or tenant not in self._watched:
            return wait
        watched = self._watched[tenant]
        return max(wait, watched.ration.wait() if watched.spare() else LONGEST_PAUSE)

    async def _look_after(self, key: tuple[Place, bool], group: _Group) -> None:
        (tenant, project), costly = key
        timers, group.timers = self._share(key, group)
        try:
            if timers and tenant in self._watched:
                with spending(Spender(SPENDER)):
                    await self._read(tenant, project, timers, costly=costly)
        except StoreLost:
            raise
        except PhinopsError as error:
            self._put_off(group, timers)
            log.warning("timers.unread", tenant=tenant, project=project, reason=str(error), wait_s=group.pause)
        except Exception:
            # What one project trips over must not stop the others.
            self._put_off(group, timers)
            log.exception("timers.broken", tenant=tenant, project=project, wait_s=group.pause)
        else:
            group.pause = 0.0
        finally:
            group.busy = False
            if not group.timers:
                self._groups.pop(key, None)
            self._look.set()

    def _put_off(self, group: _Group, timers: Sequence[Timer]) -> None:
        group.timers += timers
        group.pause = min(2 * group.pause, LONGEST_PAUSE) if group.pause else FIRST_PAUSE
        group.again_at = self._clock.monotonic() + group.pause

    def _share(self, key: tuple[Place, bool], group: _Group) -> tuple[list[Timer], list[Timer]]:
        """Those that may be looked after now, and those that wait."""
        place, costly = key
        timers = [each for each in group.timers if self._book.is_set(each)]
        if not costly or place[0] not in self._watched:
            return timers, []
        pages = 1 + self._book.count(place) / PAGE_SIZE
        many = self._watched[place[0]].ration.part(len(timers), pages)
        return timers[:many], timers[many:]

    async def _read(self, tenant: str, project: str, timers: Sequence[Timer], *, costly: bool) -> None:
        """Raises PhinopsError: what was not read is to be read again."""
        watched = self._watched[tenant]
        ids = tuple(dict.fromkeys(timer.object_id for timer in timers))
        before = watched.made()
        try:
            views = await _views(watched.eyes, project, ids)
        finally:
            if costly:
                watched.ration.spend(watched.made() - before)
        standing = tuple(
            Standing(replace(timers[0].project, name=""), view.instance, view.node, view.raw) for view in views.values()
        )
        gone = frozenset(ids) - views.keys()
        await self.take(Arrival("instances", tenant, standing=standing, gone=gone))


async def _views(eyes: Eyes, project: str, ids: Sequence[str]) -> Mapping[str, InstanceView]:
    """What can be read of them. One that Dataphin will not show is as if it were not there."""
    try:
        return await eyes.instances(project, ids)
    except (Throttled, Transient, QuotaSpent):
        raise
    except ApiError as error:
        if len(ids) == 1:
            log.warning("timers.unreadable", project=project, instance=ids[0], reason=str(error))
            return {}
    found: dict[str, InstanceView] = {}
    for each in ids:  # one of them spoils the answer for all
        found |= await _views(eyes, project, (each,))
    return found


def _record(tx: Tx, plan: Plan) -> None:
    drop_timers(tx, ((each.tenant, each.object_id, each.asked.name) for each in plan.drop))
    put_timers(
        tx, (TimerRow(each.tenant, each.object_id, each.asked.name, each.due, each.to_json()) for each in plan.put)
    )
