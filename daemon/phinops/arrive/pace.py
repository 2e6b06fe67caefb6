"""When to ask a source next, and what to say of it when it does not answer.

A source is polled part by part: each project at its own pace, which the planner of the account works out.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

import anyio
import structlog

from phinops.arrive.arrival import Part
from phinops.arrive.planner import Care, Planner, Unit
from phinops.arrive.polling import PacedSource, PartState, Polled, Polling, SourceState, State
from phinops.arrive.rates import rates
from phinops.errors import PhinopsError, QuotaSpent, Refused, Throttled
from phinops.event import Event

log = structlog.get_logger(__name__)

LOOK_EVERY = 60.0
"""Seconds after which the pacer looks again in any case: the plan changes, rules change."""

AT_ONCE = 4
"""So many parts of a source are polled at the same time."""

ROLL_EVERY = 3600.0
"""Seconds after which a source is asked anew for its parts, and the store for how often they change."""

BACK_OFF = 5.0
BACK_OFF_MOST = 60.0
"""Seconds until a part that failed is asked again: the first time, and at most where it is polled more often."""

REFUSED_MOST = 3600.0
"""The most seconds until a part is asked again that Dataphin refuses: it will not change its mind by the minute."""

DOWN_AFTER = 3
"""After so many polls in a row without an answer, of whatever parts, only one part at a time is asked."""

REST = 600.0
"""Seconds until a source whose budget is spent looks whether it still is; that costs no call."""

STALE_AFTER = 90.0
STALE_INTERVALS = 3
"""A source is stale when its last good poll is longer ago than the larger of these seconds and intervals."""

SPENT = "the day's calls for polls are spent"


class Pacer:
    """Keeps one source polled.

    `every` is a fixed interval, or None for what the budget allows. `cares` tells whether and how a loaded rule
    listens to the source: one that the budget decides for and that nobody listens to is idle. `beat` is told at every
    turn for how many seconds the pacer will be silent.
    """

    def __init__(
        self,
        name: str,
        tenant: str,
        planner: Planner,
        *,
        levels: tuple[int, ...],
        every: timedelta | None,
        cares: Callable[[], Care | None],
        chance: random.Random | None = None,
        beat: Callable[[float], None] = lambda _: None,
    ) -> None:
        self.name = name
        self._tenant = tenant
        self._clock = planner.clock
        self._planner = planner
        self._levels = levels
        self._every = every.total_seconds() if every else None
        self._cares = cares
        self._chance = chance or random.Random(random.random())  # whoever seeds the one has the other again
        self._beat = beat
        self._parts: dict[str, Polling] = {}
        self._roll_at = float("-inf")
        self._roll_failures = 0
        self._unanswered = 0
        self._reason = ""
        self._resting_until = float("-inf")
        self._rested = False  # and has not been answered since: one rest after the other is told once
        self._silent_since: float | None = None
        self._told_stale = False
        self._nudged = asyncio.Event()

    # What others say and ask

    def nudge(self, *, look: bool = False) -> None:
        """The rules are other ones; with `look` they ask for what was not asked before, and every part is polled."""
        self._planner.changed()
        for each in self._parts.values():
            if look and not each.failures:
                each.hinted.add("")
        self._nudged.set()

    def hint(self, part: str, object_id: str, at: datetime) -> None:
        """Something else told that the object, in that part, changed at that time: the part is polled at once.

        Not where it was polled since, nor while it does not answer.
        """
        polling = self._parts.get(part)
        if polling and not polling.failures and not (polling.last_good and polling.last_good > at):
            polling.hinted.add(object_id)
            self._nudged.set()

    def state(self) -> SourceState:
        """How the source is now."""
        state = self._state()
        at_rest = state in ("idle", "resting")
        return SourceState(
            self.name,
            state,
            max((each.last_good for each in self._parts.values() if each.last_good), default=None),
            None if at_rest else self._shortest(),
            "no rule listens to it" if state == "idle" else self._said(),
            tuple(
                PartState(each.unit.part, each.last_good, each.unit.interval, each.reason)
                for each in self._parts.values()
                if each.unit.part.id
            ),
        )

    # The loop

    async def run(self, source: PacedSource, tell: Callable[[Event], Awaitable[object]]) -> None:
        """Poll until cancelled. `tell` takes `source.stale` and `source.recovered`.

        Whatever `source` raises makes the part fail, not its neighbours; it is asked again later and later.
        """
        self._silent_since = self._clock.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch(tell))
                while True:
                    self._nudged.clear()
                    wait = await self._turn(source, tell, group)
                    self._beat(wait)
                    with anyio.move_on_after(self._clock.real(wait)):
                        await self._nudged.wait()
        finally:
            self._idle()

    async def _turn(
        self, source: PacedSource, tell: Callable[[Event], Awaitable[object]], group: asyncio.TaskGroup
    ) -> float:
        """Start the polls that are due; the seconds until there is something to do."""
        now = self._clock.monotonic()
        care = self._cares()
        if self._is_idle():
            self._idle()
            return LOOK_EVERY
        if self._is_resting():
            return min(LOOK_EVERY, self._resting_until - now)
        wait = await self._call_roll(source)
        if self._is_resting():
            return LOOK_EVERY
        self._pace(care or Care())
        for each in self._due():
            if self._planner.is_spent(each.unit):
                self._rest(SPENT)
                break
            each.busy = True
            group.create_task(self._poll(each, source, tell))
        return min(wait, LOOK_EVERY, self._next_due())

    def _pace(self, care: Care) -> None:
        """Let every part go at the pace of the plan; one that an earlier process polled is as near to its next poll."""
        for each in self._parts.values():
            each.unit.care = care
            self._planner.enter(each.unit)
        self._planner.look()
        for each in self._parts.values():
            if each.ago is not None:
                each.unit.goal, each.unit.progress, each.ago = 1.0, each.ago / each.unit.interval, None

    def _due(self) -> list[Polling]:
        now = self._clock.monotonic()
        busy = sum(each.busy for each in self._parts.values())
        room = (1 if self._unanswered >= DOWN_AFTER else AT_ONCE) - busy
        waiting = [(each.due_in(now), n, each) for n, each in enumerate(self._parts.values()) if not each.busy]
        return [each for late, _, each in sorted(waiting)[: max(0, room)] if late <= 0]

    def _next_due(self) -> float:
        """Seconds until a part is due; one that is due already waits for those that are polled, which nudge."""
        now = self._clock.monotonic()
        waits = (each.due_in(now) for each in self._parts.values() if not each.busy)
        return min((wait for wait in waits if wait > 0), default=LOOK_EVERY)

    async def _call_roll(self, source: PacedSource) -> float:
        """Learn what there is to poll and how often it changes, when it is time; seconds until that is due again."""
        now = self._clock.monotonic()
        if now < self._roll_at:
            return self._roll_at - now
        try:
            parts = await source.parts()
            await self._keep(parts, source)
        except QuotaSpent as error:
            self._rest(str(error))
            return REST
        except PhinopsError as error:
            self._roll_failures += 1
            wait = self._again(self._roll_failures, error)
            self._unanswered += 0 if self._parts else 1
            self._reason = self._reason if self._parts else str(error)
            self._roll_at = now + wait
            log.warning(
                "source.unlisted", source=self.name, tenant=self._tenant, reason=str(error), again_in_s=round(wait, 1)
            )
            return wait
        if self._roll_failures and not any(each.tried for each in self._parts.values()):
            self._unanswered, self._reason = 0, ""
        self._roll_failures, self._roll_at = 0, now + ROLL_EVERY
        return ROLL_EVERY

    async def _keep(self, parts: Sequence[Part], source: PacedSource) -> None:
        """Poll these parts, and no others; a part that is new here goes on from its last poll."""
        good = await source.last_good() if any(part.id not in self._parts for part in parts) else {}
        known = rates(await source.found(), [part.id for part in parts], self._clock.now(), self._planner.zone)
        for gone in self._parts.keys() - {part.id for part in parts}:
            self._planner.leave(self._parts.pop(gone).unit)
        for part in parts:
            polling = self._parts.get(part.id)
            if polling is None:
                polling = self._parts[part.id] = self._begin(part, good.get(part.id))
            polling.unit.rates = known[part.id]
        self._planner.changed()

    def _begin(self, part: Part, last_good: datetime | None) -> Polling:
        unit = Unit(part, self._levels, self._every, at=self._clock.monotonic())
        if self._every:
            unit.interval = self._every
        ago = max(0.0, (self._clock.now() - last_good).total_seconds()) if last_good else None
        return Polling(unit, last_good, ago)

    # One poll

    async def _poll(self, polling: Polling, source: PacedSource, tell: Callable[[Event], Awaitable[object]]) -> None:
        began = self._clock.monotonic()
        hinted, polling.hinted = frozenset(polling.hinted), set()
        try:
            polled = await source.once(polling.unit.part, hinted)
        except QuotaSpent as error:
            self._rest(str(error))
        except PhinopsError as error:
            self._failed(polling, error)
        except Exception as error:
            log.exception("source.broken", source=self.name, tenant=self._tenant, part=polling.name)
            self._failed(polling, error)
        else:
            self._good(polling, polled, began, hinted=bool(hinted))
        finally:
            polling.busy = False
            self._nudged.set()
        if self._told_stale and self._state() != "stale":
            self._told_stale = not await self._report("source.recovered", tell)

    def _good(self, polling: Polling, polled: Polled, began: float, *, hinted: bool) -> None:
        now = self._clock.monotonic()
        if self._unanswered or self._rested:
            log.info("source.answers", source=self.name, tenant=self._tenant, after_failures=self._unanswered)
        if not self._is_resting():  # a poll that began before the rest does not end it
            self._reason, self._rested = "", False
        self._unanswered = 0
        polling.failures, polling.failing_since = 0, None
        polling.last_good, polling.good_at, self._silent_since = self._clock.now(), now, now
        plain = polled.arrival.calls - polled.arrival.follow_ups
        # Nor is a list that is read now and then what a poll costs.
        polling.unit.polled(began, plain - polled.arrival.apart, self._chance)
        # What changes cause is planned for by changes, and so is a poll that one caused.
        self._planner.others.polled(0 if hinted else plain, polled.found)
        polling.patience = polling.unit.interval
        if polled.found:
            polling.unit.shaken(polled.found, now)
            self._planner.changed()
        faults = polled.arrival.faults
        reason = "; ".join(f"{fault.where}: {fault.reason}" for fault in faults[:3])
        if reason and reason != polling.reason:
            log.warning(
                "source.incomplete",
                source=self.name,
                tenant=self._tenant,
                part=polling.name,
                faults=len(faults),
                reason=reason,
            )
        polling.reason = reason

    def _failed(self, polling: Polling, error: Exception) -> None:
        now = self._clock.monotonic()
        polling.failures += 1
        polling.failing_since = now if polling.failing_since is None else polling.failing_since
        polling.reason = str(error) or type(error).__name__
        wait = self._again(polling.failures, error, polling.unit.interval)
        polling.again_at = now + wait
        # A refusal is an answer: that of this part alone, as long as others are answered.
        if not isinstance(error, Refused) or len(self._parts) == 1:
            self._unanswered += 1
            self._reason = polling.reason
        log.warning(
            "source.failed",
            source=self.name,
            tenant=self._tenant,
            part=polling.name,
            reason=polling.reason,
            failures=polling.failures,
            again_in_s=round(wait, 1),
        )

    def _again(self, failures: int, error: Exception, interval: float = 0.0) -> float:
        """Seconds until what failed is asked again. A failure costs calls too: where polls are rare, so is this."""
        wait = max(BACK_OFF * 2.0 ** min(failures - 1, 12), interval / 4)
        most = REFUSED_MOST if isinstance(error, Refused) else BACK_OFF_MOST
        wait = min(wait, max(most, interval)) * self._chance.uniform(0.75, 1.25)
        if isinstance(error, Throttled) and error.retry_after:
            wait = max(wait, error.retry_after)
        return wait

    def _rest(self, reason: str) -> None:
        if not self._rested:
            log.warning("source.resting", source=self.name, tenant=self._tenant, reason=reason)
        now = self._clock.monotonic()
        ends = self._planner.until_reset()
        rest = min(REST, ends + self._chance.uniform(0.0, 30.0)) if ends > 0 else REST
        self._resting_until, self._rested, self._silent_since = now + rest, True, now
        self._unanswered, self._reason = 0, reason
        self._planner.changed()

    def _is_resting(self) -> bool:
        return self._rested and self._clock.monotonic() < self._resting_until

    def _idle(self) -> None:
        self._silent_since = self._clock.monotonic()
        for each in self._parts.values():
            self._planner.leave(each.unit)

    # How it is

    def _is_idle(self) -> bool:
        return self._every is None and self._cares() is None

    def _state(self) -> State:
        if self._is_idle():
            return "idle"
        if self._is_resting():
            return "resting"
        if self._silence() > self._patience():
            return "stale"
        if self._unanswered:
            return "failing"
        stocked = self._parts and all(each.tried for each in self._parts.values())
        return "ok" if stocked or (self._roll_at > float("-inf") and not self._parts) else "starting"

    def _said(self) -> str:
        if self._reason and (self._unanswered or self._is_resting()):
            return self._reason
        said = [(each.name, each.reason) for each in self._parts.values() if each.reason]
        return "; ".join(f"{name}: {reason}" if name else reason for name, reason in said[:3])

    def _shortest(self) -> float | None:
        intervals = [each.unit.interval for each in self._parts.values()]
        return min(intervals, default=self._every)

    def _silence(self) -> float:
        return 0.0 if self._silent_since is None else self._clock.monotonic() - self._silent_since

    def _patience(self) -> float:
        """Of parts that fail while others are answered nothing is expected."""
        last = max((each.good_at for each in self._parts.values() if each.good_at is not None), default=None)
        expected = [
            each.interval()
            for each in self._parts.values()
            if each.failing_since is None or last is None or last <= each.failing_since
        ]
        return max(STALE_AFTER, STALE_INTERVALS * min(expected, default=self._every or 0.0))

    async def _watch(self, tell: Callable[[Event], Awaitable[object]]) -> None:
        while True:
            await self._clock.sleep(max(1.0, self._patience() - self._silence() + 0.001))
            if self._state() == "stale" and not self._told_stale:
                log.warning("source.stale", source=self.name, tenant=self._tenant, reason=self._said())
                self._told_stale = await self._report("source.stale", tell)

    async def _report(self, kind: str, tell: Callable[[Event], Awaitable[object]]) -> bool:
        """Whether it could be told; else it is tried again."""
        try:
            await tell(self.state().event(kind, self._tenant, self._clock.now()))
        except PhinopsError as error:
            log.warning("source.untold", source=self.name, tenant=self._tenant, reason=str(error))
            return False
        return True
