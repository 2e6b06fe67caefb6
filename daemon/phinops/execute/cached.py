"""Facts that hold for a while: read once for all who ask within that time, and never twice at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import anyio

from phinops.clock import Clock

LIMIT = 20_000
"""Facts that are kept at most; the oldest goes first."""

Fact = TypeVar("Fact")


@dataclass(slots=True, eq=False)
class _Kept(Generic[Fact]):
    """A fact, or the wait for it; `until` is on the clock's monotonic seconds."""

    until: float = float("inf")
    known: anyio.Event = field(default_factory=anyio.Event)
    facts: list[Fact] = field(default_factory=list)


class Cached(Generic[Fact]):
    """Keeps what was read for so many seconds from when it was known. What could not be read is not kept."""

    def __init__(self, clock: Clock, seconds: float, limit: int = LIMIT) -> None:
        self._clock = clock
        self._seconds = seconds
        self._limit = limit
        self._kept: dict[Hashable, _Kept[Fact]] = {}

    async def get(self, key: Hashable, read: Callable[[], Awaitable[Fact]]) -> Fact:
        """The fact of that name, by `read` where it is not known. Raises what `read` does."""
        while (kept := self._kept.get(key)) is not None and self._clock.monotonic() < kept.until:
            await kept.known.wait()
            if kept.facts:
                return kept.facts[0]
        kept = _Kept()
        self._put(key, kept)
        try:
            kept.facts.append(await read())
            kept.until = self._clock.monotonic() + self._seconds
        finally:
            if not kept.facts and self._kept.get(key) is kept:
                del self._kept[key]
            kept.known.set()
        return kept.facts[0]

    def _put(self, key: Hashable, kept: _Kept[Fact]) -> None:
        self._kept.pop(key, None)
        if len(self._kept) >= self._limit:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = kept
