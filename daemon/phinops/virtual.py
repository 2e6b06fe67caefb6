"""An event loop in virtual time: instead of sleeping until a timer is due, it sets its clock to it.

A day of waiting takes seconds and is exact to 0.1 µs a step. For code that waits by timers only; with `LoopClock` all
of phinops is that, as long as its store is in memory and its calls go through no socket.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# aiolimiter sets a timer for a moment that rounding may have put just before its need: time must move a little at every
# step, or it would set the same timer for ever.
STEP = 1e-7


class FastLoop(asyncio.SelectorEventLoop):
    """`asyncio.run` with it by `run`. `stall` lets time pass in which nothing could run."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._quiet: tuple[float, asyncio.Future[None]] | None = None
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self._now

    def stall(self, seconds: float) -> None:
        """Let the clock move on at once, as when the process was not scheduled."""
        self._now += seconds

    async def still(self, within: float) -> None:
        """Let everything happen that happens now or, one thing after the other, less than `within` seconds apart.

        Returns when nothing is ready and the next timer is further away. For one caller at a time.
        """
        quiet: asyncio.Future[None] = self.create_future()
        self._quiet = (within, quiet)
        try:
            await quiet
        finally:
            self._quiet = None

    def is_awaited_still(self, timeout: float | None) -> bool:
        """Whether somebody waits for stillness and it is there: the next timer is `timeout` seconds away, or none is.

        They go on then.
        """
        if self._quiet is None or (timeout is not None and timeout <= self._quiet[0]):
            return False
        _, quiet = self._quiet
        self._quiet = None
        if not quiet.done():
            quiet.set_result(None)
        return True

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Call `func` here and now, and give what is done: beside a thread at work time would run away."""
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it is the caller's, who awaits it
            done.set_exception(error)
        return done


class _Jumping(selectors.DefaultSelector):
    def __init__(self, loop: FastLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if not ready and self._loop.is_awaited_still(timeout):
            return ready
        if timeout is None and not ready:
            raise RuntimeError("nothing is ready and no timer is set: everything waits for ever")
        self._loop.stall(max(STEP, timeout or 0.0) if not ready else STEP)
        return ready


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end in virtual time."""
    with asyncio.Runner(loop_factory=FastLoop) as runner:
        return runner.run(main)
