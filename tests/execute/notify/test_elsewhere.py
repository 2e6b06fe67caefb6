"""Apprise, where it is installed, against a server on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from phinops.clock import SystemClock
from phinops.errors import ConfigError
from phinops.execute.notify.note import Note, Undelivered
from phinops.execute.notify.post import Post
from phinops.execute.notify.table import Wanted, open_channel
from stillness import NOON

NOTE = Note("msg_1", NOON, "rerun-orders", "fi_1", "订单 still fails", "t_1 failed again", "critical")


@contextmanager
def receiver(status: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    taken: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"json://127.0.0.1:{server.server_port}/hook", taken
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_a_notice_goes_where_apprise_sends_it() -> None:
    async with Post() as post:
        with receiver(200) as (url, taken):
            await open_channel("apprise", Wanted(url), post, SystemClock()).send(NOTE)
    (message,) = taken
    assert message["title"] == "[CRITICAL] 订单 still fails"
    assert message["message"] == "t_1 failed again\nrerun-orders · fi_1"
    assert message["type"] == "failure"


async def test_what_apprise_cannot_deliver_is_tried_again() -> None:
    async with Post() as post:
        with receiver(500) as (url, _), pytest.raises(Undelivered) as caught:
            await open_channel("apprise", Wanted(url), post, SystemClock()).send(NOTE)
    assert caught.value.retry


async def test_an_address_that_apprise_does_not_know_is_refused_without_showing_it() -> None:
    async with Post() as post:
        with pytest.raises(ConfigError) as caught:
            open_channel("apprise", Wanted("nowhere://t0ps3cret"), post, SystemClock())
    assert "t0ps3cret" not in str(caught.value)
