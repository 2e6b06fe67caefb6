"""The timer wheel: apscheduler's, turned by a clock of ours.

Its one job is given as a wait, worked out anew after every tick; and the job does nothing but say that it is time to
look. So the wheel needs no wall clock: it goes by the seconds of our clock that never go back, and turns as well for a
clock that runs faster and in a loop in virtual time.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from types import TracebackType
from typing import Any, Self

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from phinops.clock import Clock

SHORTEST = 0.001
"""Seconds; apscheduler asks for the next run until it lies in the future."""

_JOB = "look"

_BEGIN = datetime(2000, 1, 1, tzinfo=UTC)
"""What the wheel takes for the beginning of the clock's seconds: only differences count."""

# apscheduler ships no types.
_SCHEDULER: Any = AsyncIOScheduler


class _Hours(tzinfo):
    """The zone of the wheel: apscheduler asks `datetime.now` in its zone for the time, and is told the clock's."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def fromutc(self, _: datetime) -> datetime:
        return (_BEGIN + timedelta(seconds=self._clock.monotonic())).replace(tzinfo=self)

    def utcoffset(self, _: datetime | None) -> timedelta:
        return timedelta()

    def dst(self, _: datetime | None) -> None:
        return None

    def tzname(self, _: datetime | None) -> str:
        return "wheel"


class _Scheduler(_SCHEDULER):  # type: ignore[misc]  # of no type, as said
    """Waits for the seconds of the clock in those of the loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Late is better than never, and once is enough: what is due is found by looking.
        super().__init__(
            timezone=_Hours(clock), job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
        )

    def _start_timer(self, wait_seconds: float | None) -> None:
        super()._start_timer(None if wait_seconds is None else self._clock.real(wait_seconds))


class _Wait(BaseTrigger):
    def __init__(self, wait: Callable[[], float]) -> None:
        self._wait = wait

    def get_next_fire_time(self, _previous: datetime | None, now: datetime) -> datetime:
        return now + timedelta(seconds=max(SHORTEST, self._wait()))


class Wheel:
    """Calls `tick` whenever the seconds that `wait` gives, of `clock`, have passed."""

    def __init__(self, clock: Clock, wait: Callable[[], float], tick: Callable[[], None]) -> None:
        self._trigger = _Wait(wait)
        self._tick = tick
        self._scheduler = _Scheduler(clock)

    def turn(self) -> None:
        """Work out the wait anew."""
        self._scheduler.reschedule_job(_JOB, trigger=self._trigger)

    async def __aenter__(self) -> Self:
        self._scheduler.start()
        self._scheduler.add_job(self._run, self._trigger, id=_JOB)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scheduler.shutdown(wait=False)

    async def _run(self) -> None:
        self._tick()
