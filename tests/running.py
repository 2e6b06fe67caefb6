"""The daemon as a process of its own, for tests that kill it."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from phinops.simulate import Simulator


async def until(condition: Callable[[], bool], what: str, within: float = 60.0) -> None:
    """Wait for the condition; AssertionError naming `what` when it does not come."""
    with anyio.move_on_after(within):
        while not condition():  # noqa: ASYNC110 - other processes set no event
            await anyio.sleep(0.01)
        return
    raise AssertionError(f"not within {within} s: {what}")


def write_config(folder: Path, simulator: Simulator, rules: str, extra: str = "", *, edition: str = "basic") -> Path:
    """A config for the simulator's tenant with one rule file, keys in private files; its path."""
    (folder / "rules").mkdir(parents=True, exist_ok=True)
    (folder / "rules" / "all.rules.yaml").write_text(rules)
    for name, value in (("id", simulator.access_key_id), ("secret", simulator.access_key_secret)):
        path = folder / f"key.{name}"
        path.touch(0o600)
        path.write_text(value)
    config = folder / "phinops.toml"
    config.write_text(
        f"""
[server]
listen = "127.0.0.1:0"

[[tenants]]
name = "prod"
endpoint = "{simulator.url}"
op_tenant_id = {simulator.op_tenant_id}
edition = "{edition}"
access_key_id = {{ file = "key.id" }}
access_key_secret = {{ file = "key.secret" }}
{extra}
"""
    )
    return config


@dataclass(slots=True)
class Running:
    """One process after the other on one config; `log` keeps what all of them wrote to stderr.

    `environment` is what they have besides ours.
    """

    config: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = field(default=None)
    _logged: int = field(default=0)

    @property
    def log(self) -> Path:
        return self.config.parent / "daemon.log"

    @property
    def store(self) -> Path:
        return self.config.parent / "phinops.db"

    def start(self) -> None:
        command = [sys.executable, "-m", "phinops", "run", "--config", str(self.config), "--log-format", "json"]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        environment = {**inherited, **self.environment}
        with self.log.open("ab") as log:
            self._logged = log.tell()
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment, cwd=self.config.parent
            )

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def ready(self) -> bool:
        """Whether the process that was started last has said that it is ready."""
        return b"daemon.ready" in self.log.read_bytes()[self._logged :]

    async def until(self, condition: Callable[[], bool], what: str, within: float = 60.0) -> None:
        """Wait for the condition; one that ended instead is told at once, with the end of its log."""

        def seen() -> bool:
            self.must_live()
            return condition()

        await until(seen, what, within)

    def must_live(self) -> None:
        assert self.alive, f"it has ended: {self.log.read_text()[-3000:]}"

    def kill(self) -> None:
        """kill -9, now."""
        self.must_live()
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    async def stop(self) -> int:
        """SIGTERM once it is ready, for before it may not listen to signals yet, and the exit code."""
        await self.until(lambda: self.ready, "the daemon is ready", 60)
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        await until(lambda: not self.alive, "the daemon drains", 30)
        return self._process.wait()

    def abandon(self) -> None:
        """Whatever runs still is ended."""
        if self.alive:
            self.kill()

    def count(self, query: str) -> int:
        """A number from the store; it is only read, so a daemon may run."""
        connection = sqlite3.connect(f"file:{self.store}?mode=ro", uri=True)
        try:
            return int(connection.execute(query).fetchone()[0])
        finally:
            connection.close()
