"""Asking until an answer comes, for what must not be lost because Dataphin is away or the day is spent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

import structlog

from phinops.clock import Clock
from phinops.durations import format_duration
from phinops.errors import ApiError, QuotaSpent, Throttled, Transient
from phinops.execute.steps.kind import BadStep

log = structlog.get_logger(__name__)

T = TypeVar("T")

PATIENCE = timedelta(hours=24)
"""How long something is asked for, or a write waits for its turn, over all attempts of one process."""

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0


async def patiently(
    clock: Clock, ask: Callable[[], Awaitable[T]], what: str, told: Callable[[str], Awaitable[object]]
) -> T:
    """What `ask` gives, asked again with growing pauses while the answer may yet come; before each `told` hears why.

    Raises:
        BadStep: Dataphin said no, its answer cannot be understood, or none came for `PATIENCE`.
        Exception: whatever else `ask` raised.
    """
    end = clock.monotonic() + PATIENCE.total_seconds()
    pause = FIRST_PAUSE
    while True:
        try:
            return await ask()
        except (Throttled, Transient, QuotaSpent) as error:
            if clock.monotonic() + pause > end:
                raise BadStep(f"{what} could not be read for {format_duration(PATIENCE)}: {error}") from error
            log.warning("read.again", what=what, reason=str(error), wait_s=pause)
            await told(f"{what} cannot be read yet: {error}")
        except ApiError as error:
            raise BadStep(f"{what} could not be read: {error}") from error
        await clock.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)
