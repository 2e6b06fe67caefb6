"""Watches whether the store can be written: while it cannot, what acts stalls, and people are told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from phinops.clock import Clock
from phinops.errors import StoreError, StoreLost
from phinops.execute.desk import Alarm
from phinops.pulse import Pulse
from phinops.record.sqlite import Store

PROBE_EVERY = 30.0
"""Seconds between two writes that find out whether the store can be written."""


class StoreWatch:
    """Probes the store. `tell` tells people; `also` is what is to be recorded whenever it can be."""

    def __init__(
        self,
        store: Store,
        tell: Callable[[Alarm], Awaitable[None]],
        also: Callable[[], Awaitable[None]],
        clock: Clock,
        pulse: Pulse,
    ) -> None:
        self._store = store
        self._tell = tell
        self._also = also
        self._clock = clock
        self._pulse = pulse
        self._doubted = anyio.Event()
        self._in_trouble = False

    def doubt(self) -> None:
        """Look at once: something could not be written, or there is something to record."""
        self._doubted.set()

    async def run(self) -> None:
        """Find out whether the store can be written, now and then and whenever there is doubt, until cancelled.

        Raises:
            StoreLost: another process has taken the store over: whatever acts must end.
        """
        while True:
            self._pulse.beat("store", PROBE_EVERY)
            self._doubted = anyio.Event()
            try:
                await self._store.probe()
                await self._turn("")
                await self._also()
            except StoreLost:
                raise
            except StoreError as error:
                await self._turn(str(error))  # the store has said so in the log, and readiness tells it
            with anyio.move_on_after(self._clock.real(PROBE_EVERY)):
                await self._doubted.wait()

    async def _turn(self, trouble: str) -> None:
        """Tell people once that it cannot be written, and once that it can again."""
        if bool(trouble) == self._in_trouble:
            return
        self._in_trouble = bool(trouble)
        await self._tell(_alarm(trouble))


def _alarm(trouble: str) -> Alarm:
    if not trouble:
        return Alarm("store-mended", "phinops can write its store again", "It goes on where it was held up.")
    message = f"{trouble}. Nothing is written to Dataphin until it can; then it goes on by itself."
    return Alarm("store", "phinops cannot write its store", message)
