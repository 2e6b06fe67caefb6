"""What transports without sockets do as httpx's own: they tell when a request is sent, and how a connection is lost."""

from __future__ import annotations

from dataclasses import dataclass

import httpx


@dataclass(frozen=True, slots=True)
class _Sent:
    """Of a request, what the trace of httpcore shows."""

    method: bytes


async def tell_sent(request: httpx.Request) -> None:
    """Tell whoever traces the request that its first bytes leave now."""
    trace = request.extensions.get("trace")
    if trace is not None:
        await trace("http11.send_request_headers.started", {"request": _Sent(request.method.encode())})


def reset(request: httpx.Request) -> httpx.ReadError:
    """The error of a connection that was reset before the answer."""
    return httpx.ReadError("the connection was reset", request=request)
