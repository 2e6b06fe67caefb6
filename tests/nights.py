"""A night in a simulated tenant with the daemon on watch, many times faster than life."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
from standardwebhooks.webhooks import Webhook

from loopback import Got, raw, serving
from phinops.clock import ScaledClock
from phinops.config import load_config
from phinops.daemon import Daemon
from phinops.event import JsonObject
from phinops.simulate import Simulator, serve
from running import until

EVENING = datetime(2026, 1, 5, 12, 33, tzinfo=UTC)
"""What was scheduled for the day has run long ago, and midnight is far."""

SPEED = 240.0
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
WITHIN = 90.0
"""Real seconds that a test waits for anything, on a machine that has other things to do."""

_CONFIG = """\
[[tenants]]
name = "prod"
endpoint = "{url}"
op_tenant_id = {op_tenant_id}
edition = "basic"
access_key_id = {{ file = "id" }}
access_key_secret = {{ file = "key" }}

[notifiers.oncall]
type = "webhook"
url = {{ file = "oncall" }}
secret = {{ file = "secret" }}

[hooks.deploy]
secret = {{ file = "secret" }}

[rules]
paths = {rules}
"""


@dataclass(frozen=True, slots=True)
class Deed:
    """One action: which rule did what to whom, and what came of it."""

    rule: str
    step: str
    target: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Told:
    """One notice as it was delivered."""

    rule: str
    severity: str
    title: str
    message: str
    event: JsonObject


@dataclass(slots=True)
class Night:
    """The tenant, the daemon, and whoever is notified. `deeds` are as of the last `look`, oldest first."""

    simulator: Simulator
    daemon: Daemon
    clock: ScaledClock
    told: list[Told] = field(default_factory=list)
    deeds: list[Deed] = field(default_factory=list)
    firings: list[JsonObject] = field(default_factory=list)
    _sent: int = 0

    async def look(self) -> None:
        """Read from the store what was decided and done."""
        self.firings = list(reversed(await self.daemon.firings(10_000)))
        rule_of = {each["id"]: each["rule"] for each in self.firings}
        self.deeds = [
            Deed(rule_of[each["firing_id"]], each["step"], each["target"], each["outcome"])
            for each in reversed(await self.daemon.actions(10_000))
        ]

    async def come(self, what: str, deed: Callable[[Deed], bool]) -> Deed:
        """The first deed of that kind, once it is there."""
        with anyio.move_on_after(WITHIN):
            while True:
                await self.look()
                found = next(filter(deed, self.deeds), None)
                if found is not None:
                    return found
                await anyio.sleep(0.05)
        raise AssertionError(f"not within {WITHIN} s: {what}; there is {self.deeds}")

    async def hear(self, what: str, notice: Callable[[Told], bool]) -> None:
        """Wait until such a notice was delivered."""
        await until(lambda: any(map(notice, self.told)), what, WITHIN)

    async def post(self, body: JsonObject) -> tuple[int, str]:
        """A signed message to the hook `deploy`."""
        self._sent += 1
        name, text, now = f"msg_{self._sent}", json.dumps(body), self.clock.now()
        signature = Webhook(SECRET).sign(name, now, text)
        stamp = str(int(now.timestamp()))
        headers = {"webhook-id": name, "webhook-timestamp": stamp, "webhook-signature": signature}
        return await self.daemon.hook("deploy", headers, text.encode())

    def _take(self, got: Got) -> bytes:
        sent = datetime.fromtimestamp(int(got.headers["webhook-timestamp"]), UTC)
        signature = Webhook(SECRET).sign(got.headers["webhook-id"], sent, got.body.decode())
        assert signature == got.headers["webhook-signature"]
        data = json.loads(got.body)["data"]
        self.told.append(Told(data["rule"], data["severity"], data["title"], data["message"], data["event"]))
        return raw(b"", 204)


@asynccontextmanager
async def night(
    folder: Path, rules: Iterable[Path], overrides: JsonObject | None = None, scenario: str = "quiet"
) -> AsyncGenerator[Night]:
    """The daemon runs on these rule files until the context ends."""
    clock = ScaledClock(SPEED, EVENING)
    shown: list[Night] = []
    async with (
        serving(lambda got: shown[0]._take(got)) as oncall,
        serve(scenario, clock=clock, overrides=overrides) as simulator,
    ):
        config = load_config(_write(folder, simulator, oncall.url, rules))
        async with Daemon.open(config, clock=clock) as daemon, anyio.create_task_group() as tasks:
            shown.append(Night(simulator, daemon, clock))
            tasks.start_soon(daemon.run)
            await until(lambda: daemon.ready()[0], "the daemon is ready", WITHIN)
            try:
                yield shown[0]
            finally:
                daemon.stop()


def _write(folder: Path, simulator: Simulator, oncall: str, rules: Iterable[Path]) -> Path:
    secrets: dict[str, Any] = {
        "id": simulator.access_key_id, "key": simulator.access_key_secret, "oncall": oncall, "secret": SECRET,
    }  # fmt: skip
    for name, value in secrets.items():
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(value)
    config = folder / "phinops.toml"
    paths = json.dumps([str(path) for path in rules])
    text = _CONFIG.format(url=simulator.url, op_tenant_id=simulator.op_tenant_id, rules=paths)
    config.write_text(text)
    return config
