"""The kill switch as those see it who act: while it is pulled no write leaves, and whoever has one to make waits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, tzinfo

import anyio

from phinops.execute.walk import Walk
from phinops.firing import Pause


class Brake:
    """One for the whole daemon. `pause` says who pulled it, None while writes may leave; times in texts are in `zone`.

    It only spares vain attempts: what may leave is judged by the guard, from the store.
    """

    def __init__(self, pause: Pause | None = None, zone: tzinfo = UTC) -> None:
        self.pause = pause
        self._zone = zone
        self._released = anyio.Event()

    def pull(self, pause: Pause) -> None:
        """From now on no write leaves."""
        self.pause = pause

    def release(self) -> None:
        """Writes may leave again: those who wait go on."""
        self.pause = None
        self._released.set()
        self._released = anyio.Event()

    async def clear(self, walk: Walk, waits: Callable[[str], Awaitable[object]]) -> bool:
        """Wait until writes may leave; `waits` hears why they may not. Whether there was anything to wait for.

        Raises:
            Stopped: the firing was asked to stop.
        """
        waited = False
        while self.pause is not None:
            waited = True
            await waits(f"step {walk.planned.id} waits: writes are {self.pause.told(self._zone)}")
            with walk.stop.safe():
                await self._released.wait()
        return waited
