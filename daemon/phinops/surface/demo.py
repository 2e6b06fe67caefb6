"""The demonstration: a simulated tenant full of incidents, the daemon, and somebody to be notified, in one process."""

from __future__ import annotations

import base64
import secrets
import socket
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from phinops.clock import Clock, ScaledClock, SystemClock
from phinops.config import Config, load_config
from phinops.daemon import Daemon
from phinops.event import JsonObject
from phinops.simulate import Simulator, serve
from phinops.surface.examples import example_rules
from phinops.surface.listening import serving
from phinops.surface.watch import Sight, Watch

_ALL = 1_000_000

_CONFIG = """\
[[tenants]]
name = "demo"
endpoint = "{url}"
op_tenant_id = {op_tenant_id}
edition = "{edition}"
access_key_id = {{ file = "key-id" }}
access_key_secret = {{ file = "key-secret" }}

[notifiers.oncall]
type = "webhook"
url = {{ file = "oncall-url" }}
secret = {{ file = "oncall-secret" }}

[hooks.deploy]
secret = {{ file = "hook-secret" }}

[rules]
paths = ["{rules}"]

[store]
url = "sqlite:///{folder}/phinops.db"
"""


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice as it came in at the one who is notified."""

    title: str
    message: str
    severity: str


@dataclass(slots=True)
class OnCall:
    """Whoever is notified: keeps each message once, however often it is delivered."""

    tell: Callable[[Notice], None]
    received: set[str] = field(default_factory=set)

    async def receive(self, request: Request) -> Response:
        id = request.headers.get("webhook-id", "")
        data = (await request.json())["data"]
        if id not in self.received:
            self.received.add(id)
            self.tell(Notice(data["title"], data["message"], data["severity"]))
        return Response(status_code=204)


@dataclass(frozen=True, slots=True)
class Quota:
    """What is used of one pool of the quota; `limit` is None where there is none."""

    pool: str
    used: int
    limit: int | None


@dataclass(frozen=True, slots=True)
class Demo:
    """A demonstration under way."""

    daemon: Daemon
    simulator: Simulator
    clock: Clock
    oncall: OnCall
    began: float

    def quota(self) -> list[Quota]:
        """What is used of each pool."""
        pools = self.daemon.status()["tenants"][0]["quota"]
        return [Quota(pool["pool"], pool["used"], pool["limit"]) for pool in pools]

    async def summary(self) -> JsonObject:
        """What happened until now, as `phinops demo --json` prints it."""
        counts = await self.daemon.counts()
        outcomes = Counter[str](counts["actions"])
        return {
            "seconds": round(SystemClock().monotonic() - self.began, 1),
            "events": counts["events"],
            "firings": counts["firings"],
            "actions": {
                "verified": outcomes["verified"],
                "accepted": outcomes["accepted"],
                "failed": outcomes["failed"] + outcomes["timed_out"] + outcomes["refused"],
                "unknown": outcomes["unknown"],
            },
            "nodes_paused": len(await self._paused()),
            "notices": {"sent": len(self.oncall.received), "dead": counts["notices"].get("dead", 0)},
            "calls": {str(level): self.simulator.calls[level] for level in (1, 2, 3)},
            "refused": self.simulator.refused,
        }

    async def _paused(self) -> set[str]:
        actions = await self.daemon.actions(_ALL)
        return {each["target"] for each in actions if each["step"] == "pause_node" and each["outcome"] == "verified"}


@asynccontextmanager
async def demonstration(speed: float, tell: Callable[[Notice], None]) -> AsyncGenerator[Demo]:
    """Opens everything in a temporary folder; `run` makes it go. `tell` gets each notice as it is delivered.

    `speed` is how much faster the clocks of the tenant and the daemon run; network time-outs stay real.
    """
    clock = ScaledClock(speed)
    oncall = OnCall(tell)
    with tempfile.TemporaryDirectory(prefix="phinops-demo-") as name, socket.create_server(("127.0.0.1", 0)) as door:
        url = f"http://127.0.0.1:{door.getsockname()[1]}/oncall"
        app = Starlette(routes=[Route("/oncall", oncall.receive, methods=["POST"])])
        async with serve("default", clock=clock) as simulator, serving(app, door):
            config = _config(Path(name), simulator, url)
            async with Daemon.open(config, clock=clock) as daemon:
                yield Demo(daemon, simulator, clock, oncall, SystemClock().monotonic())


async def run(demo: Demo, lasts: float | None, tell: Callable[[Sight], None]) -> None:
    """Runs for `lasts` real seconds, or until the daemon is stopped, and tells what happens."""
    async with anyio.create_task_group() as tasks:
        if lasts is not None:
            tasks.start_soon(_stop_after, lasts, demo.daemon.stop)
        tasks.start_soon(_watch, demo.daemon, tell)
        await demo.daemon.run()
        tasks.cancel_scope.cancel()


async def _stop_after(seconds: float, stop: Callable[[], object]) -> None:
    await anyio.sleep(seconds)
    stop()


async def _watch(daemon: Daemon, tell: Callable[[Sight], None]) -> None:
    async for sight in Watch(daemon).sights():
        tell(sight)


def _config(folder: Path, simulator: Simulator, oncall_url: str) -> Config:
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
    for name, value in (
        ("key-id", simulator.access_key_id),
        ("key-secret", simulator.access_key_secret),
        ("oncall-url", oncall_url),
        ("oncall-secret", secret),
        ("hook-secret", secret),
    ):
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(value, encoding="utf-8")
    text = _CONFIG.format(
        url=simulator.url,
        op_tenant_id=simulator.op_tenant_id,
        edition=simulator.edition,
        rules=example_rules(),
        folder=folder,
    )
    path = folder / "phinops.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(path)
