"""In what order firings begin when many are ready at once: the most urgent node's first, so many a second."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from phinops.clock import Clock
from phinops.event import Event
from phinops.execute.desk import Starter

A_SECOND = 50
"""Firings that begin in a second while others wait; as many may begin at once when none has for a second."""

TOGETHER = 8
"""Firings that begin at one moment while others wait: so they share reads and calls."""

OLDEST = 5
"""Each so many-th is the one that has waited longest, however urgent the others are."""

_URGENCY = {"HIGHEST": 2, "HIGH": 1, "MIDDLE": 0, "LOW": -1, "LOWEST": -2}


def urgency_of(event: Event) -> int:
    """How urgent the event's node is as Dataphin tells it: higher is sooner; what has no priority is in the middle."""
    return _URGENCY.get(event.node.priority.upper(), 0) if event.node else 0


@dataclass(order=True, slots=True)
class _Waiting:
    """One that waits; `rank` is smaller the more urgent, `number` the order in which they came."""

    rank: int
    number: int
    go: Callable[[], object] = field(compare=False)
    gone: bool = field(default=False, compare=False)


class Starts:
    """The line of those that may begin. What is asked while nobody waits goes at once, and no task is kept for it."""

    def __init__(self, clock: Clock, group: Starter) -> None:
        self._clock = clock
        self._group = group
        self._by_urgency: list[_Waiting] = []
        self._by_age: deque[_Waiting] = deque()
        self._came = 0
        self._went = 0
        self._waiting = 0
        self._free = float(A_SECOND)
        self._counted_at = clock.monotonic()

    def __len__(self) -> int:
        return self._waiting

    def ask(self, urgency: int, go: Callable[[], object]) -> None:
        """Call `go`, which must not wait, when its turn has come: now, if it may be."""
        self._count()
        if not self._waiting and self._free >= 1:
            self._free -= 1
            go()
            return
        self._came += 1
        waiting = _Waiting(-urgency, self._came, go)
        heapq.heappush(self._by_urgency, waiting)
        self._by_age.append(waiting)
        self._waiting += 1
        if self._waiting == 1:
            self._group.start_soon(self._call)

    async def _call(self) -> None:
        while self._waiting:
            self._count()
            together = min(TOGETHER, self._waiting)
            if self._free < together:
                await self._clock.sleep((together - self._free) / A_SECOND)
                continue
            for _ in range(together):
                self._free -= 1
                self._next().go()

    def _next(self) -> _Waiting:
        """The next to go; what is gone already does not stay in either line."""
        self._went += 1
        self._waiting -= 1
        found = self._by_age[0] if self._went % OLDEST == 0 else self._by_urgency[0]
        found.gone = True
        while self._by_age and self._by_age[0].gone:
            self._by_age.popleft()
        while self._by_urgency and self._by_urgency[0].gone:
            heapq.heappop(self._by_urgency)
        return found

    def _count(self) -> None:
        """What has become free since it was counted last."""
        now = self._clock.monotonic()
        self._free = min(float(A_SECOND), self._free + (now - self._counted_at) * A_SECOND)
        self._counted_at = now
