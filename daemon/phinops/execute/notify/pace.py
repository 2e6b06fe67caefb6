"""When a channel takes another message: so many in any span of time as its service counts them, and no more.

A message holds one of the places from before it is sent until a span after it was answered, as calls of Dataphin do:
then no span, wherever it begins, has more arrivals than there are places. Half of them may be used at once; the others
are spread over the span, so that after a burst people hear something every few seconds and not nothing for a minute.
"""

from __future__ import annotations

from collections.abc import Iterable

from phinops.clock import Clock
from phinops.execute.notify.note import Pace

MARGIN = 0.05
"""Seconds beyond the span for which a place is held: clocks differ in how fast they go."""


class Places:
    """The places of one address. `Pace` says how many there are, and for how long each is held."""

    def __init__(self, pace: Pace, clock: Clock) -> None:
        self._pace = pace
        self._clock = clock
        self._free_at: list[float] = []
        self._under_way = 0
        self._last = self._answered = float("-inf")

    def used_before(self, ages: Iterable[float]) -> None:
        """Messages of an earlier process that were answered so many seconds ago."""
        now = self._clock.monotonic()
        self._free_at += [now - age + self._pace.per + MARGIN for age in ages]

    def wait(self) -> float:
        """Seconds until the next message may leave."""
        now = self._clock.monotonic()
        self._free_at = sorted(at for at in self._free_at if at > now)
        free = self._free()
        if free <= 0:
            # Whoever has one under way gives its place back no sooner than a span from now.
            return self._free_at[0] - now if self._free_at else self._pace.per
        apart = self._answered + self._pace.gap - now if self._pace.gap else 0.0
        if free > self._pace.most // 2:
            return max(0.0, apart)
        return max(0.0, apart, self._last + self._gap() - now)

    def backlog(self, count: int) -> float:
        """Seconds that it takes, at least, until `count` messages have left one by one."""
        at_once = max(1, self._free() - self._pace.most // 2)
        return max(count * self._pace.gap, max(0, count - at_once) * self._gap())

    def take(self) -> None:
        """A message leaves."""
        self._under_way += 1
        self._last = self._clock.monotonic()

    def give_back(self) -> None:
        """It was answered, or given up."""
        self._under_way -= 1
        self._answered = self._clock.monotonic()
        self._free_at.append(self._answered + self._pace.per + MARGIN)

    def _free(self) -> int:
        return self._pace.most - len(self._free_at) - self._under_way

    def _gap(self) -> float:
        return self._pace.per / max(1, self._pace.most - self._pace.most // 2)
