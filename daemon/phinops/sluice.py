"""A gate that many pass at once, and that one may close while nobody is inside."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio


class Sluice:
    """Open from the start."""

    def __init__(self) -> None:
        self._inside = 0
        self._changed = anyio.Condition()
        self._closing = anyio.Lock()

    @asynccontextmanager
    async def passing(self) -> AsyncGenerator[None]:
        """Be inside; waits while it is closed."""
        async with self._closing:
            self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1
            if not self._inside:
                with anyio.CancelScope(shield=True):
                    async with self._changed:
                        self._changed.notify_all()

    @asynccontextmanager
    async def closed(self) -> AsyncGenerator[None]:
        """Keep everybody out; waits until those who are inside have left."""
        async with self._closing:
            async with self._changed:
                while self._inside:
                    await self._changed.wait()
            yield
