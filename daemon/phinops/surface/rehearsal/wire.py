"""The wire without sockets: the client's requests go to a simulator in the same process, and time passes on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx

from phinops.clock import Clock
from phinops.simulate import Simulator
from phinops.simulate.signature import Request
from phinops.simulate.wire import Answer
from phinops.surface.socketless import reset, tell_sent


class InProcess(httpx.AsyncBaseTransport):
    """Hands each request to `simulator`, half of `round_trip` seconds of the clock before and half after.

    A connection that the simulator cuts is the error that httpx has for it. `tell` hears, as each request arrives, the
    action's name and the priority of the call, "" where the client states none.
    """

    def __init__(
        self,
        simulator: Simulator,
        clock: Clock,
        round_trip: float = 0.0,
        tell: Callable[[str, str], None] = lambda api, priority: None,
    ) -> None:
        self._simulator = simulator
        self._clock = clock
        self._half = round_trip / 2
        self._tell = tell

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The simulator's answer.

        Raises:
            httpx.ReadError: the connection was reset.
        """
        body = await request.aread()
        await tell_sent(request)
        await self._clock.sleep(self._half)
        found = arrived(request, body)
        self._tell(found.headers.get("x-acs-action", ""), request.extensions.get("priority", ""))
        answer = self._simulator.handle(found)
        if answer.cut == "silent":
            await asyncio.Event().wait()
        # As a real answer's, the delay is the machine's.
        await asyncio.sleep(answer.delay)
        await self._clock.sleep(self._half)
        if answer.cut:
            raise reset(request)
        return _response(answer, request)


def arrived(request: httpx.Request, body: bytes) -> Request:
    """The request as the simulator sees it."""
    path, _, query = request.url.raw_path.decode("ascii").partition("?")
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in request.headers.raw}
    return Request(request.method, path, query, headers, body)


def _response(answer: Answer, request: httpx.Request) -> httpx.Response:
    headers: dict[str, Any] = {**answer.headers, "content-length": str(len(answer.body)), "connection": "keep-alive"}
    return httpx.Response(answer.status, headers=headers, stream=_Body(answer.body), request=request)


class _Body(httpx.AsyncByteStream):
    """A body that is all there."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> Any:
        yield self._body
