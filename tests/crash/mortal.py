"""A process that can die: at any step of its journal, on the way of any call, or at a moment, by a real SIGKILL.

Its store is a file with the real thread that writes it, its time is virtual: the loop jumps from timer to timer, but
stands still while that thread is at work. So a life of hours takes milliseconds, and is the same again for the same
seed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVarTuple

from crash.cases import ASLEEP, Death
from phinops.clock import LoopClock
from phinops.record.sqlite import Store
from phinops.record.tx import T, Tx, WriteOp
from phinops.virtual import STEP, FastLoop

Ts = TypeVarTuple("Ts")

JOURNAL_STEPS = (
    ("put_firing", "born"),
    ("put_event", "event"),
    ("end_firing", "ended"),
    ("settle_step", "settled"),
    ("judge_step", "judged"),
    ("close_wait", "waited"),
    ("answer_approval", "asked and answered"),
    ("end_lease", "lease ended"),
    ("close_look", "looked again"),
    ("put_step", "recorded"),
    ("advance_firing", "advanced"),
    ("start_firing", "started"),
    ("move_firing", "moved"),
    ("put_notice", "to be told"),
    ("notice_sent", "told"),
)
"""What a transaction is called in the figures: by the first of these queries that it runs."""

BESIDE = frozenset(
    {"kv_put", "ledger_lease", "ledger_give_back", "put_change", "put_cursor", "put_rule_set", "put_rule_version"}
    | {"put_seen", "put_spend", "seen_forget", "forget_changes"}
    | {"spend_forget", "spend_forget_details", "spend_total", "notice_retry"}
)
"""Queries of transactions that are no part of an action's way."""


class StandingLoop(FastLoop):
    """Virtual time that does not pass while somebody is `at_work` in a thread."""

    def __init__(self) -> None:
        self.at_work = 0
        self._woken = threading.Event()
        super().__init__()

    def stall(self, seconds: float) -> None:
        """Let the clock move on, or wait for the thread that is at work."""
        if self.at_work and seconds > STEP:
            self._woken.wait()
            self._woken.clear()
        else:
            super().stall(seconds)

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """As in any loop; it is how threads say that something was done."""
        handle = super().call_soon_threadsafe(callback, *args, context=context)
        self._woken.set()
        return handle


@dataclass(slots=True)
class Reaper:
    """Ends this process by its `death`. `tell` hears of the point before; `passed` are the names of all so far."""

    death: Death
    tell: Callable[[str], None]
    passed: list[str] = field(default_factory=list)

    def passes(self, point: str) -> None:
        """The process is at this point now."""
        self.passed.append(point)
        name, number = self.death
        if number == (self.passed.count(point) if name == point else not name and len(self.passed)):
            self.kill(point)

    def sleeps(self, loop: asyncio.AbstractEventLoop) -> None:
        """The process begins to wait for whatever comes; its death may be to come then."""
        name, seconds = self.death
        if name == ASLEEP:
            loop.call_later(seconds, self.kill, ASLEEP)

    def kill(self, point: str) -> NoReturn:
        """kill -9, of the process itself, here and now."""
        self.tell(point)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("the dead go on")


class MortalStore(Store):
    """A store on disk whose process may die within a transaction, and between the commit and the answer."""

    def mortal(self, loop: StandingLoop, reaper: Reaper) -> MortalStore:
        """The same store, in the hands of the reaper."""
        self._loop, self._reaper = loop, reaper
        return self

    async def write(self, op: WriteOp[T]) -> T:
        """As `Store.write`, past two points where it is a step of the journal."""
        step = ""

        def watched(tx: Tx) -> T:
            nonlocal step
            heard = Heard(tx)
            value = op(heard)
            step = heard.step
            if step:
                self._reaper.passes(f"{step}: in the transaction")
            return value

        self._loop.at_work += 1
        try:
            value = await super().write(watched)
        finally:
            self._loop.at_work -= 1
        if step:
            self._reaper.passes(f"{step}: committed")
        return value


class Heard(Tx):
    """A transaction that keeps the names of the queries that change something."""

    __slots__ = ("changed", "sent")

    def __init__(self, tx: Tx) -> None:
        super().__init__(tx._connection, tx.now, tx.epoch)
        self.changed: list[str] = []
        self.sent = False

    def run(self, name: str, /, **params: object) -> int:
        self.changed.append(name)
        self.sent = self.sent or (name == "put_step" and params["state"] == "intent")
        return super().run(name, **params)

    def many(self, name: str, rows: Any, /) -> int:
        self.changed.append(name)
        return super().many(name, rows)

    @property
    def step(self) -> str:
        """Which step of the journal it is, or "" when none."""
        if self.sent:
            return "intended"
        for query, name in JOURNAL_STEPS:
            if query in self.changed:
                return name
        return next((name for name in self.changed if name not in BESIDE), "")


@asynccontextmanager
async def mortal_store(path: Path, clock: LoopClock, loop: StandingLoop, reaper: Reaper) -> AsyncGenerator[MortalStore]:
    """The store at `path`, as `Store.open` opens it; its process ends before it is closed."""
    loop.at_work += 1
    async with MortalStore.open(path, clock) as store:
        loop.at_work -= 1
        assert isinstance(store, MortalStore)
        yield store.mortal(loop, reaper)
