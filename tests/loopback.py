"""A server on loopback that answers as a test says, down to resets and half answers, and keeps what it got."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlsplit

RESET = b"reset"
"""As an answer: the connection is reset."""

HANG = b"hang"
"""As an answer: nothing, ever."""


@dataclass(frozen=True, slots=True)
class Got:
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True, strict_parsing=True))

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), strict_parsing=True)) if self.body else {}

    @property
    def api(self) -> str:
        return self.headers["x-acs-action"]


@dataclass(slots=True)
class Loopback:
    url: str
    got: list[Got] = field(default_factory=list)
    connections: int = 0


Answerer: TypeAlias = Callable[[Got], bytes | Awaitable[bytes]]


def answer(document: object, status: int = 200, **headers: str) -> bytes:
    """A JSON answer; underscores in header names stand for hyphens."""
    return raw(json.dumps(document).encode(), status, content_type="application/json", **headers)


def raw(body: bytes, status: int = 200, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def ok(**payload: Any) -> bytes:
    """The envelope of success."""
    return answer({"Code": "OK", "Success": True, "HttpStatusCode": 200, "RequestId": "r-1", **payload})


def refusal(code: str, status: int = 400, message: str = "no", **headers: str) -> bytes:
    """The envelope of failure."""
    document = {"Code": code, "Success": False, "HttpStatusCode": status, "Message": message, "RequestId": "r-2"}
    return answer(document, status, **headers)


@asynccontextmanager
async def serving(answerer: Answerer, tls: SSLContext | None = None) -> AsyncIterator[Loopback]:
    """Answer every request by `answerer` on a free port of loopback."""
    server_side: Loopback = Loopback("")
    open_connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_side.connections += 1
        task = asyncio.current_task()
        assert task is not None
        open_connections.add(task)
        try:
            while await _serve_one(reader, writer, answerer, server_side):
                pass
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            open_connections.discard(task)
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    server_side.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    try:
        yield server_side
    finally:
        server.close()
        for task in list(open_connections):
            task.cancel()
        await asyncio.gather(*open_connections, return_exceptions=True)
        await server.wait_closed()


async def _serve_one(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answerer: Answerer, server_side: Loopback
) -> bool:
    """Whether the connection goes on."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return False
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    method, target, _ = first.split(" ")
    got = Got(method, target, headers, body, asyncio.get_running_loop().time())
    server_side.got.append(got)
    reply = answerer(got)
    reply = reply if isinstance(reply, bytes) else await reply
    if reply is HANG:
        await asyncio.Event().wait()
    if reply is RESET:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        return False
    writer.write(reply)
    await writer.drain()
    return True
