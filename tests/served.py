"""A daemon in this process, serving a simulated tenant."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from phinops.clock import Clock, SystemClock
from phinops.config import Config, load_config
from phinops.daemon import Daemon
from phinops.event import JsonObject
from phinops.simulate import Simulator, serve
from running import until, write_config

HOOK_SECRET = "whsec_" + base64.b64encode(b"h" * 24).decode()

QUICK = """
timeout = "1s"
settle_after = "1s"
[tenants.sources]
instances = { every = "1s" }
alerts = { every = "1s" }
"""


@dataclass(slots=True)
class Served:
    """`ended` holds what `run` gave: None, or the error."""

    daemon: Daemon
    simulator: Simulator
    folder: Path
    ended: list[BaseException | None] = field(default_factory=list)

    def write_rules(self, text: str) -> None:
        (self.folder / "rules" / "all.rules.yaml").write_text(text)

    def add_config(self, text: str) -> None:
        config = self.folder / "phinops.toml"
        config.write_text(config.read_text() + text)

    async def run(self) -> None:
        """Run the daemon until it is stopped; what it raises is kept."""
        try:
            await self.daemon.run()
        except Exception as error:  # noqa: BLE001 - the test judges it
            self.ended.append(error)
        else:
            self.ended.append(None)

    async def ready(self) -> None:
        await until(lambda: self.daemon.ready()[0], "the daemon is ready", 20)

    async def outcomes(self) -> list[str]:
        """The outcomes of all actions, newest first."""
        return [row["outcome"] for row in await self.daemon.actions(100)]

    async def settled(self, count: int) -> list[JsonObject]:
        """The newest actions, once so many have an outcome."""
        rows: list[JsonObject] = await eventually(
            self._actions, lambda rows: len([row for row in rows if row["outcome"]]) >= count, f"{count} outcomes"
        )
        return rows

    async def _actions(self) -> list[JsonObject]:
        return await self.daemon.actions(100)


async def eventually(ask: Callable[[], Any], good: Callable[[Any], bool], what: str, within: float = 20.0) -> Any:
    """What `ask` gives, once it is good; AssertionError naming `what` and the last answer when it never is."""
    found = None
    with anyio.move_on_after(within):
        while not good(found := await ask()):  # noqa: ASYNC110 - nobody sets an event
            await anyio.sleep(0.02)
        return found
    raise AssertionError(f"not within {within} s: {what}; last {found}")


def private(path: Path, text: str) -> None:
    """A file that only its owner reads."""
    path.touch(0o600)
    path.write_text(text)


@asynccontextmanager
async def served(
    folder: Path,
    rules: str,
    *,
    extra: str = QUICK,
    edition: Any = "basic",
    clock: Clock | None = None,
    config: Callable[[Config], Config] = lambda config: config,
    shadow: bool = False,
    before: Callable[[Simulator], None] = lambda _: None,
) -> AsyncGenerator[Served]:
    """A daemon that is open and not running yet; it is stopped at the end."""
    clock = clock or SystemClock()
    private(folder / "hook-secret", HOOK_SECRET)
    async with serve("quiet", clock=clock, edition=edition) as simulator:
        before(simulator)
        path = write_config(folder, simulator, rules, extra, edition=edition)
        async with Daemon.open(config(load_config(path)), clock=clock, shadow=shadow) as daemon:
            yield Served(daemon, simulator, folder)


@asynccontextmanager
async def running(folder: Path, rules: str, **more: Any) -> AsyncGenerator[Served]:
    """A daemon that runs and is ready."""
    async with served(folder, rules, **more) as here, anyio.create_task_group() as group:
        group.start_soon(here.run)
        try:
            await here.ready()
            yield here
        finally:
            here.daemon.stop()
