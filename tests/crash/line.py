"""The line between a process that will die and the Dataphin that outlives it.

The dying one carries its requests over a pipe, one after the other, each with the time that it is for it; the other
side sets its clock by that and answers. What has arrived there is done, whoever lives.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from multiprocessing.connection import Connection

import httpx

from crash.mortal import Reaper
from phinops.catalog.catalog import is_read
from phinops.clock import Clock
from phinops.simulate.signature import Request
from phinops.simulate.wire import Answer
from phinops.surface.rehearsal.wire import arrived
from phinops.surface.socketless import reset, tell_sent

ROUND_TRIP = 0.06


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that has arrived."""

    at: datetime
    request: Request


@dataclass(frozen=True, slots=True)
class Held:
    """A request that the gateway holds: ask for its answer at that time."""

    until: datetime
    ticket: int


@dataclass(frozen=True, slots=True)
class Collected:
    """The answer of a request that was held is asked for."""

    at: datetime
    ticket: int


@dataclass(frozen=True, slots=True)
class Died:
    """The process kills itself now."""

    at: datetime
    point: str


@dataclass(frozen=True, slots=True)
class Rested:
    """Nothing is left to do, or `trouble` says why it is given up; these points were passed."""

    at: datetime
    passed: list[str]
    imported: list[str]
    trouble: str = ""


Message = Asked | Collected | Died | Rested


@dataclass(slots=True)
class Line:
    """The dying process' end of the pipe."""

    pipe: Connection
    clock: Clock
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def tell(self, message: Message) -> None:
        """Say something that has no answer; from any thread."""
        with self._lock:
            self.pipe.send(message)

    def ask(self, message: Asked | Collected) -> Answer | Held:
        """Say something and wait for what comes back; time stands still meanwhile."""
        self.tell(message)
        answer: Answer | Held = self.pipe.recv()
        return answer


class MortalWire(httpx.AsyncBaseTransport):
    """Carries requests over the line; the process may die on the way of those that an action needs."""

    def __init__(self, line: Line, clock: Clock, reaper: Reaper) -> None:
        self._line = line
        self._clock = clock
        self._reaper = reaper

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer.

        Raises:
            httpx.ReadError: the connection was reset.
        """
        body = await request.aread()
        asked = arrived(request, body)
        passes = self._passes(asked.headers.get("x-acs-action", ""), request.extensions.get("priority", ""))
        passes("not sent yet")
        await tell_sent(request)
        await self._clock.sleep(ROUND_TRIP / 2)
        answer = self._line.ask(Asked(self._clock.now(), asked))
        passes("arrived")
        if isinstance(answer, Held):
            await self._clock.sleep((answer.until - self._clock.now()).total_seconds())
            answer = self._line.ask(Collected(self._clock.now(), answer.ticket))
            assert isinstance(answer, Answer)
        if answer.cut == "silent":
            await asyncio.Event().wait()
        await self._clock.sleep(ROUND_TRIP / 2)
        if answer.cut:
            raise reset(request)
        passes("answered")
        return httpx.Response(answer.status, headers=dict(answer.headers), content=answer.body, request=request)

    def _passes(self, api: str, priority: str) -> Callable[[str], None]:
        """What to tell of a request on its way; polls are no part of an action's."""
        if is_read(api) and priority not in ("DECIDE", "VERIFY"):
            return lambda how: None
        what = {"DECIDE": "read", "VERIFY": "read back"}[priority] if is_read(api) else "write"
        return lambda how: self._reaper.passes(f"{what}: {how}")
