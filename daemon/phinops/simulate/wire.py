"""HTTP/1.1 as the simulator speaks it: small, on loopback, and able to fail in every way a gateway can.

A server of its own, because faults happen below HTTP: a connection that is reset, an answer that never comes.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal, cast

from phinops.simulate.signature import Request

_NO_LINGER = struct.pack("ii", 1, 0)
_MOST_HEADERS = 64 * 1024
_MOST_BODY = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back, `delay` seconds of the machine's clock later; or what happens to the connection instead."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay: float = 0.0
    cut: Literal["", "reset", "silent"] = ""


Handler = Callable[[Request], Answer]


class Malformed(ValueError):
    """Not a request that this server reads; `status` says in what way."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


def parse_request(buffer: bytearray) -> Request | None:
    """Take one whole request off the front of `buffer`; None while it is not all there.

    Raises:
        Malformed: it is not HTTP/1.1, too large, or its length is not stated.
    """
    end = buffer.find(b"\r\n\r\n")
    if end < 0 or end > _MOST_HEADERS:
        if len(buffer) > _MOST_HEADERS:
            raise Malformed(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        return None
    first, *lines = bytes(buffer[:end]).decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or words[2] not in ("HTTP/1.1", "HTTP/1.0"):
        raise Malformed(HTTPStatus.BAD_REQUEST)
    headers = _headers(lines)
    length = _length(headers)
    if len(buffer) < end + 4 + length:
        return None
    body = bytes(buffer[end + 4 : end + 4 + length])
    del buffer[: end + 4 + length]
    path, _, query = words[1].partition("?")
    return Request(words[0], path, query, headers, body)


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise Malformed(HTTPStatus.BAD_REQUEST)
        headers[name.strip().lower()] = value.strip()
    return headers


def _length(headers: Mapping[str, str]) -> int:
    if "transfer-encoding" in headers:
        raise Malformed(HTTPStatus.LENGTH_REQUIRED)
    text = headers.get("content-length", "0")
    if not text.isdecimal():
        raise Malformed(HTTPStatus.BAD_REQUEST)
    if int(text) > _MOST_BODY:
        raise Malformed(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return int(text)


def encode_answer(answer: Answer, *, close: bool) -> bytes:
    """The answer's bytes."""
    try:
        phrase = HTTPStatus(answer.status).phrase
    except ValueError:
        phrase = ""
    lines = [f"HTTP/1.1 {answer.status} {phrase}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    lines.append(f"content-length: {len(answer.body)}")
    lines.append(f"connection: {'close' if close else 'keep-alive'}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + answer.body


class Connection(asyncio.Protocol):
    """One client's connection: its requests one after the other, each handled the moment it is complete."""

    def __init__(self, handler: Handler, connections: set[Connection]) -> None:
        self._handler = handler
        self._connections = connections
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.TimerHandle | None = None
        self._silent = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # a stream's transport always is one
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._transport = None
        if self._waiting is not None:
            self._waiting.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._go_on()

    def abort(self) -> None:
        """Reset the connection: the client sees a reset, not an orderly end."""
        if self._transport is not None:
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            self._transport.abort()

    def _go_on(self) -> None:
        while self._waiting is None and not self._silent and self._transport is not None:
            try:
                request = parse_request(self._buffer)
            except Malformed as error:
                self._write(Answer(status=int(error.status)), close=True)
                return
            if request is None:
                return
            self._give(self._handler(request), close=request.headers.get("connection", "").lower() == "close")

    def _give(self, answer: Answer, *, close: bool) -> None:
        if answer.cut == "reset":
            self.abort()
        elif answer.cut == "silent":
            self._silent = True
        elif answer.delay > 0:
            loop = asyncio.get_running_loop()
            self._waiting = loop.call_later(answer.delay, self._give_late, answer, close)
        else:
            self._write(answer, close=close)

    def _give_late(self, answer: Answer, close: bool) -> None:
        self._waiting = None
        self._write(answer, close=close)
        self._go_on()

    def _write(self, answer: Answer, *, close: bool) -> None:
        if self._transport is not None:
            self._transport.write(encode_answer(answer, close=close))
            if close:
                self._transport.close()
