"""A daemon that serves a simulated tenant in virtual time, that can be killed and started anew on the same store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import anyio
import httpx

from phinops.clock import LoopClock
from phinops.config import Config
from phinops.daemon import Daemon
from phinops.event import JsonObject
from phinops.record.sqlite import MEMORY, Store
from phinops.simulate import Simulator, make_simulator
from phinops.surface.rehearsal.setting import make_config
from phinops.surface.rehearsal.wire import InProcess

MORNING = datetime(2026, 1, 5, 1, 30, tzinfo=UTC)
"""Half past nine in Shanghai: the night's work of the scenario `quiet` is done."""


@dataclass(slots=True)
class Vigil:
    """`calls` are the names of all calls so far, with their priorities, `posts` the notices that were sent."""

    clock: LoopClock
    simulator: Simulator
    config: Config
    store: Store
    calls: list[tuple[str, str]] = field(default_factory=list)
    posts: list[JsonObject] = field(default_factory=list)
    daemon: Daemon | None = None
    _task: asyncio.Task[None] | None = None

    def write_rules(self, text: str) -> None:
        self.config.rules.paths[0].write_text(text, encoding="utf-8")

    async def start(self, *, ready: bool = True) -> None:
        """Start a daemon, and let it take stock."""
        opened = asyncio.Event()
        self._task = asyncio.create_task(self._live(opened))
        await opened.wait()
        if ready:
            await self.until(lambda: self.here.ready()[0], "it is ready")

    @property
    def here(self) -> Daemon:
        assert self.daemon is not None
        return self.daemon

    async def kill(self) -> None:
        """Whatever it did ends here and now; the store keeps what was committed."""
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self.daemon = None

    async def _live(self, opened: asyncio.Event) -> None:
        wire = InProcess(self.simulator, self.clock, 0.06, lambda api, who: self.calls.append((api, who)))
        mail = httpx.MockTransport(self._posted)
        async with Daemon.open(self.config, clock=self.clock, store=self.store, transport=wire, mail=mail) as daemon:
            self.daemon = daemon
            opened.set()
            await daemon.run()

    def _posted(self, request: httpx.Request) -> httpx.Response:
        self.posts.append(json.loads(request.content)["data"])
        return httpx.Response(200)

    async def until(self, condition: Callable[[], bool], what: str, within: float = 7200.0) -> None:
        end = self.clock.monotonic() + within
        while not condition():
            assert self.clock.monotonic() < end, what
            await self.clock.sleep(1.0)

    async def minutes(self, number: float) -> None:
        """Let so many minutes pass."""
        await self.clock.sleep(60.0 * number)

    async def events(self, kind: str) -> list[JsonObject]:
        """The recorded events of that type, oldest first."""
        return [event for event in reversed(await self.here.events(10_000)) if event["type"] == kind]

    async def timers(self) -> list[JsonObject]:
        return await self.store.read(lambda tx: [dict(row) for row in tx.all("all_timers")])

    def reads(self, priority: str = "DECIDE") -> int:
        return sum(who == priority for _, who in self.calls)


@asynccontextmanager
async def vigil(
    folder: Path,
    rules: str,
    *,
    edition: Any = "basic",
    scenario: Any = "quiet",
    every: timedelta | Literal["auto"] = timedelta(seconds=30),
    start: bool = True,
    at: datetime = MORNING,
) -> AsyncGenerator[Vigil]:
    now = asyncio.get_running_loop().time()
    clock = LoopClock(at - timedelta(seconds=now))
    simulator = make_simulator(scenario, clock=clock, edition=edition)
    simulator.url = "http://127.0.0.1:9"
    config = make_config(simulator, folder, None if every == "auto" else every, impacts=False)
    async with Store.open(MEMORY, clock) as store:
        here = Vigil(clock, simulator, config, store)
        here.write_rules(rules)
        if start:
            await here.start()
        try:
            yield here
        finally:
            with anyio.CancelScope(shield=True):
                await here.kill()
