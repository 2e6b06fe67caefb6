from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from phinops.surface import systemd


class Manager:
    """What systemd would hear, and the environment that it gives to the service."""

    def __init__(self, listener: socket.socket, address: str) -> None:
        self._socket = listener
        self.environ = {"NOTIFY_SOCKET": address}

    def heard(self) -> list[str]:
        """The messages up to now."""
        messages = []
        while True:
            try:
                messages.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return messages


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    name = os.fspath(tmp_path / "notify")
    address = name if request.param == "path" else "@" + name[-60:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address.replace("@", "\0", 1))
        listener.setblocking(False)
        yield Manager(listener, address)


async def heard_within(manager: Manager, wanted: str, seconds: float = 5.0) -> list[str]:
    """What was heard until `wanted` was."""
    messages: list[str] = []
    with anyio.fail_after(seconds):
        while wanted not in messages:
            messages += manager.heard()
            await anyio.sleep(0.001)
    return messages


def test_assignments_travel_in_one_message(manager: Manager) -> None:
    assert systemd.notify("READY=1", "STATUS=bereit für «alles»", environ=manager.environ)
    assert manager.heard() == ["READY=1\nSTATUS=bereit für «alles»"]


def test_without_a_manager_nothing_is_sent() -> None:
    assert not systemd.notify("READY=1", environ={})


def test_a_manager_that_is_gone_is_no_error(tmp_path: Path) -> None:
    assert not systemd.notify("READY=1", environ={"NOTIFY_SOCKET": os.fspath(tmp_path / "gone")})


def test_a_reload_says_when_it_began(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.environ["NOTIFY_SOCKET"])
    before = time.monotonic_ns() // 1000
    assert systemd.reloading()
    first, _, second = manager.heard()[0].partition("\n")
    assert first == "RELOADING=1"
    assert before <= int(second.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "2000000"}, 2.0),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())}, 2.0),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_fed_only_where_it_asks_for_it(environ: dict[str, str], seconds: float | None) -> None:
    assert systemd.watchdog_seconds(environ) == seconds


async def test_the_watchdog_starves_while_a_loop_hangs(manager: Manager) -> None:
    health: list[bool] = [True]
    environ = {**manager.environ, "WATCHDOG_USEC": "30000"}

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(
            systemd.keep_informed, lambda: (health[0], ["loop poll"]), lambda: (health[0], ["no stock yet"]), environ
        )
        assert await heard_within(manager, "STATUS=ready") == ["WATCHDOG=1", "STATUS=ready"]
        health[0] = False
        await heard_within(manager, "STATUS=not ready: no stock yet")
        await anyio.sleep(0.05)
        assert manager.heard() == []
        health[0] = True
        assert "WATCHDOG=1" in await heard_within(manager, "STATUS=ready")
        tasks.cancel_scope.cancel()


async def test_without_a_manager_there_is_nobody_to_keep_informed() -> None:
    with anyio.fail_after(5):
        await systemd.keep_informed(lambda: (True, []), lambda: (True, []), {})
