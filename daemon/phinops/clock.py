"""Time as an argument: nothing else in phinops asks the machine what time it is."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

import anyio


class Clock(Protocol):
    """A wall clock and a monotonic clock that may both run `speed` times as fast as the machine's.

    Seconds passed in and out are the clock's own; only `real` gives the machine's. Network time-outs are real.
    """

    speed: float

    def now(self) -> datetime:
        """The wall clock, aware, in UTC. It may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` of this clock pass; less than zero is no wait."""
        ...

    def real(self, seconds: float) -> float:
        """How many seconds of the machine's clock `seconds` of this clock are."""
        ...


class SystemClock:
    """The machine's clock."""

    speed = 1.0

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(max(0.0, seconds))

    def real(self, seconds: float) -> float:
        return seconds


class ScaledClock:
    """A clock that runs `speed` times as fast from the moment it is made, for demonstrations."""

    def __init__(self, speed: float, start: datetime | None = None) -> None:
        self.speed = speed
        self._began = time.monotonic()
        self._start = start or datetime.now(UTC)

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return (time.monotonic() - self._began) * self.speed

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(max(0.0, seconds) / self.speed)

    def real(self, seconds: float) -> float:
        return seconds / self.speed


class LoopClock:
    """A clock that follows the event loop's, so that a loop in virtual time carries everything with it.

    A thread without a loop (the store's writer) reads the loop in which the clock was last read.
    """

    speed = 1.0

    def __init__(self, start: datetime) -> None:
        self._start = start
        self._loop: asyncio.AbstractEventLoop | None = None
        self.jumped = timedelta()

    def now(self) -> datetime:
        return self._start + self.jumped + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            if self._loop is None:
                raise
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))

    def real(self, seconds: float) -> float:
        return seconds


LOOK_AGAIN = 60.0
"""Seconds after which whoever waits for a moment of the wall clock looks at it again: it may have been set."""


async def sleep_until(clock: Clock, moment: datetime) -> None:
    """Let time pass until the wall clock has passed the moment."""
    while (left := (moment - clock.now()).total_seconds()) > 0:
        await clock.sleep(min(left, LOOK_AGAIN))
