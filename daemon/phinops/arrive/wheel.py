"""The timer wheel: apscheduler's, turned by a clock of ours.

apscheduler knows the machine's clock only. So its one job is given as a wait in the machine's seconds, worked out
anew after every tick; and the job does nothing but say that it is time to look.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

SHORTEST = 0.001
"""Seconds; apscheduler asks for the next run until it lies in the future."""

_JOB = "look"

# apscheduler ships no types.
_SCHEDULER: Any = AsyncIOScheduler


class _Wait(BaseTrigger):
    def __init__(self, wait: Callable[[], float]) -> None:
        self._wait = wait

    def get_next_fire_time(self, _previous: datetime | None, now: datetime) -> datetime:
        return now + timedelta(seconds=max(SHORTEST, self._wait()))


class Wheel:
    """Calls `tick` whenever the seconds that `wait` gives, of the machine's clock, have passed."""

    def __init__(self, wait: Callable[[], float], tick: Callable[[], None]) -> None:
        self._trigger = _Wait(wait)
        self._tick = tick
        # Late is better than never, and once is enough: what is due is found by looking.
        self._scheduler = _SCHEDULER(
            timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
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
