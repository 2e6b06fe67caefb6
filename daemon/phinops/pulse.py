"""Whether every loop of the daemon moves: what health checks and the watchdog go by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from phinops.clock import Clock

GRACE = 60.0
"""Seconds that a loop may be late before it counts as stuck: longer than any single step of one."""


_CURRENT: ContextVar[str] = ContextVar("phinops_under_way", default="")
"""What the present task said that it does."""


class Pulse:
    """The last sign of life of each loop, with how long it said that it would be silent."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._beats: dict[str, tuple[float, float]] = {}
        self._works: dict[str, tuple[float, float]] = {}

    def beat(self, loop: str, silent_for: float = 0.0) -> None:
        """The loop moves; the next sign comes within `silent_for` seconds and a grace."""
        self._beats[loop] = (self._clock.monotonic(), silent_for)

    @contextmanager
    def under_way(self, work: str, silent_for: float) -> Iterator[None]:
        """The task does something that ends: its next sign, by `moves` or its end, comes within so many seconds."""
        token = _CURRENT.set(work)
        self._works[work] = (self._clock.monotonic(), silent_for)
        try:
            yield
        finally:
            _CURRENT.reset(token)
            self._works.pop(work, None)

    def moves(self, silent_for: float) -> None:
        """What the task said that it does moves."""
        work = _CURRENT.get()
        if work in self._works:
            self._works[work] = (self._clock.monotonic(), silent_for)

    def gone(self, loop: str) -> None:
        """The loop has ended on purpose."""
        self._beats.pop(loop, None)

    def ages(self) -> Mapping[str, float]:
        """Seconds since the last sign of each loop."""
        now = self._clock.monotonic()
        return {loop: now - at for loop, (at, _) in self._beats.items()}

    def stuck(self) -> list[str]:
        """What should have moved by now, each with its age."""
        now = self._clock.monotonic()
        both = {**self._beats, **self._works}
        late = ((loop, now - at) for loop, (at, silent) in both.items() if now - at > silent + GRACE)
        return [f"loop {loop} has not moved for {age:.0f} s" for loop, age in late]
