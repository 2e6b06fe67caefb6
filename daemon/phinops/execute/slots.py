"""Never above a rate, as the server counts it.

A call takes one of N slots before it is sent and gives it back one period after its answer was read. That bounds
what the server can see, however long calls are under way. Suppose N + 1 arrived within one period. Whichever was sent
last needed a free slot; but each of the others arrived less than a period before it did, so its answer was read less
than a period ago or is still awaited, and its slot was taken. There was none left. Slots freed a period after the
sending would not do: what leaves well spread may arrive in a bunch.

A call that was sent and never answered may still arrive until the time-out has passed, so its slot is held until
then and a period more. aiolimiter paces in front and spreads a burst; the slots are what guarantees.

To use less than the rate, some of the slots are withheld: one is given out only while more than these are free.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from aiolimiter import AsyncLimiter

from phinops.clock import Clock
from phinops.execute.allowance import Allowance
from phinops.execute.line import Line
from phinops.execute.priority import Priority

MARGIN = 0.004
"""Seconds beyond the period: two machines' seconds differ a little (a clock being slewed, by 0.05 %)."""

IN_FLIGHT = 16
"""Calls under way at once; httpx becomes slower with more."""

KEPT = 4
"""Of these, how many only VERIFY and WRITE may use."""

LONGEST_BACK_OFF = 60.0


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `calls` within any `period` seconds."""

    calls: int
    period: float

    @classmethod
    def of(cls, qps: float, share: float = 1.0) -> Rate:
        """The part `share` of `qps`, in whole calls; below one call a second the period becomes longer."""
        allowed = qps * share
        if allowed < 1:
            return cls(1, 1 / allowed)
        return cls(math.floor(allowed + 1e-9), 1.0)


class Flights:
    """Calls under way, over all pools."""

    def __init__(self) -> None:
        self.total = 0
        self.others = 0
        self._listeners: list[Callable[[], None]] = []

    def listen(self, told: Callable[[], None]) -> None:
        """Call `told` whenever a call has ended."""
        self._listeners.append(told)

    def room(self, urgent: bool) -> bool:
        """Whether one more call may be under way; `urgent` ones may use what is kept."""
        return self.total < IN_FLIGHT and (urgent or self.others < IN_FLIGHT - KEPT)

    def enter(self, urgent: bool) -> None:
        """A call is under way."""
        self.total += 1
        self.others += not urgent

    def leave(self, urgent: bool) -> None:
        """A call has ended; those who listen are told."""
        self.total -= 1
        self.others -= not urgent
        for told in self._listeners:
            told()


@dataclass(slots=True, eq=False)
class Slot:
    """The right to send one call. `sent` and `answered` are on the clock's monotonic seconds, None until then.

    `paid` is what its class was owed less for it.
    """

    priority: Priority
    paid: int = 0
    sent: float | None = None
    answered: float | None = None

    @property
    def urgent(self) -> bool:
        return self.priority.urgent


@dataclass(slots=True, eq=False)
class _Waiter:
    priority: Priority
    level: int
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    slot: Slot | None = None
    refusal: Exception | None = None


class RatePool:
    """The slots of one pool, and who waits for them. `rate` None: only the calls under way are limited.

    One of the waiters leads: it waits for pacing and a slot, gives them to whoever is next by then, and goes on until
    it has its own. So no task runs beside the callers, and one who gives up has taken nothing from the others.
    """

    def __init__(self, name: str, rate: Rate | None, flights: Flights, clock: Clock, hold: float) -> None:
        """`hold`: how many of the clock's seconds a call may take to arrive once it was sent."""
        self.name = name
        self.rate = rate
        self._flights = flights
        self._clock = clock
        self._hold = hold
        self._allowance = Allowance(rate.calls, rate.period) if rate else None
        self._line: Line[_Waiter] = Line()
        self._led = False
        self._changed = asyncio.Event()
        self._free_at = [0.0] * (rate.calls if rate else 0)
        self._unanswered = 0
        self._abandoned: list[float] = []
        self._pacing = _pacing(rate, clock) if rate else None
        self._paced_for = self.allowed
        self._pacing_wait: asyncio.Timeout | None = None
        self._paced = False
        self._rest_until = 0.0
        self._throttles = 0
        flights.listen(self._changed.set)

    @property
    def period(self) -> float:
        """Seconds of the clock for which an answered call keeps its slot."""
        return self.rate.period if self.rate else 1.0

    @property
    def allowed(self) -> int:
        """How many calls a period may have now: those of the rate, or fewer since a throttle. 0 without a rate."""
        return self._allowance.calls if self._allowance else 0

    async def take(self, priority: Priority, level: int) -> Slot:
        """A slot, when it is this caller's turn. Whoever takes one must give it back by `release`.

        Raises what `expel` was told to raise.
        """
        waiter = _Waiter(priority, level)
        self._line.join(waiter)
        self._changed.set()
        try:
            return await self._called(waiter)
        except BaseException:
            self._withdraw(waiter)
            raise

    def release(self, slot: Slot) -> None:
        """Give the slot back. What it says about sending and the answer decides when another may have it."""
        if slot.sent is None:
            self._line.refund(slot.priority, slot.paid)
            self._return_at(0.0)
            self._paced = True
            self._interrupt_pacing()
        elif slot.answered is not None:
            self._return_at(slot.answered + self.period + MARGIN)
        else:
            # Later only when the process was stopped between the two: the connection is closed by now.
            arrives_by = max(slot.sent + self._hold, self._clock.monotonic())
            self._return_at(arrives_by + self.period + MARGIN)
            if not slot.urgent:
                heapq.heappush(self._abandoned, arrives_by)
        self._unanswered -= not slot.urgent
        self._flights.leave(slot.urgent)

    def rest(self, seconds: float) -> None:
        """Send nothing for so many seconds from now, unless a longer rest is under way."""
        self._rest_until = max(self._rest_until, self._clock.monotonic() + seconds)

    def back_off(self) -> bool:
        """Rest after a throttle that named no wait, twice as long each time in a row.

        False when the pool was resting: the answer belongs to a call sent before, and tells nothing new.
        """
        if self._clock.monotonic() < self._rest_until:
            return False
        self.rest(min(LONGEST_BACK_OFF, self.period * 2.0**self._throttles))
        self._throttles = min(self._throttles + 1, 30)
        return True

    def shrink(self) -> bool:
        """A call was throttled: use half of what was used. Whether the whole rate was allowed until now."""
        if self._allowance is None:
            return False
        now = self._clock.monotonic()
        used = self._allowance.full - sum(free_at <= now for free_at in self._free_at)
        began = self._allowance.shrink(used, now, self._rest_until)
        self._follow()
        return began

    def served(self) -> bool:
        """A call was answered without throttling: the next back-off starts anew. Whether all is allowed again."""
        self._throttles = 0
        if self._allowance is None:
            return False
        ended = self._allowance.grow(self._clock.monotonic())
        self._follow()
        return ended

    def expel(self, refusal: Callable[[Priority, int], Exception | None]) -> None:
        """Let those who wait in vain know it: `refusal` gives the reason, or None."""
        for waiter in self._line:
            waiter.refusal = refusal(waiter.priority, waiter.level)
            if waiter.refusal is not None:
                waiter.woken.set()
        self._changed.set()
        self._interrupt_pacing()

    async def _called(self, waiter: _Waiter) -> Slot:
        while waiter.slot is None:
            if waiter.refusal is not None:
                raise waiter.refusal
            if self._led:
                await waiter.woken.wait()
                waiter.woken.clear()
            else:
                await self._lead(waiter)
        return waiter.slot

    async def _lead(self, leader: _Waiter) -> None:
        self._led = True
        try:
            while leader.slot is None and leader.refusal is None:
                if self._pacing and not self._paced:
                    await self._pace(self._pacing)
                    continue
                waits = self._waits()
                if min(waits.values()) > 0:
                    await self._change(min(waits.values()))
                else:
                    self._grant(waits)
        finally:
            self._led = False
            self._appoint()

    async def _pace(self, pacing: AsyncLimiter) -> None:
        """Wait for the pace, or until `_interrupt_pacing`."""
        try:
            async with asyncio.timeout(None) as self._pacing_wait:
                await pacing.acquire()
                self._paced = True
        except TimeoutError:
            return  # interrupted
        finally:
            self._pacing_wait = None

    def _follow(self) -> None:
        """Let the pace be that of what is allowed."""
        if self.rate is None or self.allowed == self._paced_for:
            return
        self._paced_for = self.allowed
        self._pacing = _pacing(Rate(self.allowed, self.rate.period), self._clock)
        self._interrupt_pacing()
        self._changed.set()

    def _interrupt_pacing(self) -> None:
        """The leader has something better to do: somebody gave back what it waits for, or it must not wait at all."""
        if self._pacing_wait is not None:
            self._pacing_wait.reschedule(asyncio.get_running_loop().time())
            self._pacing_wait = None

    def _waits(self) -> dict[bool, float]:
        """How long until those who wait may have a slot: the urgent (True) and the others."""
        return {urgent: self._wait_of(urgent) for urgent in {each.urgent for each in self._line.classes()}}

    def _wait_of(self, urgent: bool) -> float:
        """How long until one may have a slot, as far as is known: 0 at once, infinite until something changes."""
        if not self._flights.room(urgent):
            return math.inf
        now = self._clock.monotonic()
        wait = self._rest_until - now
        if self._allowance:
            wait = max(wait, self._free_beyond(self._allowance.withheld) - now)
            wait = max(wait, self._wait_of_others(now, self._allowance.calls) if not urgent else 0.0)
        return max(0.0, wait)

    def _free_beyond(self, withheld: int) -> float:
        """When more slots are free than are withheld."""
        if len(self._free_at) <= withheld:
            return math.inf
        return heapq.nsmallest(withheld + 1, self._free_at)[-1] if withheld else self._free_at[0]

    def _wait_of_others(self, now: float, calls: int) -> float:
        """Calls without an answer may not use the last slot either, so that hung reads leave one to the urgent.

        It costs nothing in ordinary times: most slots then wait for their period to pass, not for an answer.
        """
        while self._abandoned and self._abandoned[0] <= now:
            heapq.heappop(self._abandoned)
        if calls == 1 or self._unanswered + len(self._abandoned) < calls - 1:
            return 0.0
        return self._abandoned[0] - now if self._abandoned else math.inf

    def _grant(self, waits: Mapping[bool, float]) -> None:
        """Give a slot to the next of those who need not wait for one."""
        waiter, paid = self._line.next(lambda priority: waits.get(priority.urgent, math.inf) <= 0)
        if self.rate:
            heapq.heappop(self._free_at)
            self._paced = False
        self._unanswered += not waiter.priority.urgent
        self._flights.enter(waiter.priority.urgent)
        waiter.slot = Slot(waiter.priority, paid)
        waiter.woken.set()

    def _return_at(self, when: float) -> None:
        if self.rate:
            heapq.heappush(self._free_at, when)

    def _withdraw(self, waiter: _Waiter) -> None:
        """Undo the wait of one who gave up, even if the slot came at the same moment."""
        if waiter.slot is not None:
            self.release(waiter.slot)
        else:
            self._line.leave(waiter)
            self._changed.set()
        self._appoint()

    def _appoint(self) -> None:
        if not self._led and self._line:
            next(iter(self._line)).woken.set()

    async def _change(self, seconds: float) -> None:
        """Wait until something changed, at most so many of the clock's seconds."""
        self._changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(None if math.isinf(seconds) else self._clock.real(seconds)):
                await self._changed.wait()


def _pacing(rate: Rate, clock: Clock) -> AsyncLimiter:
    # A bucket of a tenth: a timer that is late by less than that costs nothing, and a burst stays a small one.
    burst = max(1.0, rate.calls / 10)
    return AsyncLimiter(burst, clock.real(burst * rate.period / rate.calls))
