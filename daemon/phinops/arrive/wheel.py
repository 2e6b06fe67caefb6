"""The timer wheel: apscheduler's, turned by a clock of ours.

Its one job is given as a wait, worked out anew after every tick; and the job does nothing but say that it is time to
look. So the wheel needs no wall clock: it goes by the seconds of the loop, which never go back, and turns as well for a
clock that runs faster and in a loop in virtual time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from types import TracebackType
from typing import Self

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from phinops.clock import Clock

SHORTEST = 0.001
"""Seconds of the loop; apscheduler asks for the next run until it lies in the future."""

_JOB = "look"

_BEGIN = datetime(2000, 1, 1, tzinfo=UTC)
"""What the wheel takes for the beginning of the loop's seconds: only differences count."""


class _Hours(tzinfo):
    """The zone of the wheel: apscheduler asks `datetime.now` in its zone for the time, and is told the loop's."""

    def fromutc(self, _: datetime) -> datetime:
        return (_BEGIN + timedelta(seconds=asyncio.get_running_loop().time())).replace(tzinfo=self)

    def utcoffset(self, _: datetime | None) -> timedelta:
        return timedelta()

    def dst(self, _: datetime | None) -> None:
        return None

    def tzname(self, _: datetime | None) -> str:
        return "wheel"


class _Wait(BaseTrigger):
    def __init__(self, clock: Clock, wait: Callable[[], float]) -> None:
        self._clock = clock
        self._wait = wait

    def get_next_fire_time(self, _previous: datetime | None, now: datetime) -> datetime:
        return now + timedelta(seconds=max(SHORTEST, self._clock.real(self._wait())))


class Wheel:
    """Calls `tick` whenever the seconds that `wait` gives, of `clock`, have passed."""

    def __init__(self, clock: Clock, wait: Callable[[], float], tick: Callable[[], None]) -> None:
        self._trigger = _Wait(clock, wait)
        self._tick = tick
        # Late is better than never, and once is enough: what is due is found by looking.
        self._scheduler = AsyncIOScheduler(
            timezone=_Hours(), job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
        )

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
