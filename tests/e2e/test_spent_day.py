"""A day whose calls are nearly spent: polls stop, actions go on, a restart forgets nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
from standardwebhooks import Webhook

from phinops.catalog.quotas import plan_for
from phinops.clock import ScaledClock
from phinops.config import load_config
from phinops.daemon import Daemon
from phinops.simulate import serve
from running import until, write_config
from served import HOOK_SECRET, QUICK, eventually, private

NOON = datetime(2026, 1, 5, 4, tzinfo=UTC)
CALLS, RESERVE = 30, 6

SCARCE = f"""
timeout = "1s"
settle_after = "1s"
[tenants.quota]
qps = {{ "1+2+3" = 100 }}
daily = {{ "1+2+3" = {CALLS} }}
{QUICK.partition('settle_after = "1s"')[2]}
[hooks.deploy]
secret = {{ file = "hook-secret" }}
"""

RULES = """
rules:
  - id: rerun-what-a-hook-names
    on: { hook: deploy }
    mode: armed
    do:
      - rerun_instance: { instance_id: "{{ event.body.instance }}", project_id: "131001" }
"""


def posted(message: str, body: Any, now: datetime) -> tuple[dict[str, str], bytes]:
    text = json.dumps(body)
    headers = {
        "webhook-id": message,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(HOOK_SECRET).sign(message, now, text),
    }
    return headers, text.encode()


def used(daemon: Daemon) -> int:
    (pool,) = daemon.status()["tenants"][0]["quota"]
    return int(pool["used"])


def at_rest(daemon: Daemon) -> bool:
    return {source["state"] for source in daemon.status()["tenants"][0]["sources"]} == {"resting"}


@asynccontextmanager
async def daemon_at(folder: Path, clock: ScaledClock) -> AsyncGenerator[Daemon]:
    async with (
        Daemon.open(load_config(folder / "phinops.toml"), clock=clock) as daemon,
        anyio.create_task_group() as group,
    ):
        group.start_soon(daemon.run)
        yield daemon
        daemon.stop()


async def test_polls_stop_at_the_reserve_actions_go_on_and_a_restart_is_ready(tmp_path: Path) -> None:
    clock = ScaledClock(1.0, NOON)
    private(tmp_path / "hook-secret", HOOK_SECRET)
    async with serve("quiet", clock=clock, edition="agile") as simulator:
        simulator.gate.quota.plan = plan_for("agile", {"1+2+3": 100}, {"1+2+3": CALLS})
        write_config(tmp_path, simulator, RULES, SCARCE, edition="agile")
        first, second = (simulator.tenant.fail_instance("dws_orders_1d", ago=90_000).id for _ in range(2))
        async with daemon_at(tmp_path, clock) as daemon:
            await until(lambda: at_rest(daemon), "every source rests", 30)
            assert sum(simulator.calls.values()) == used(daemon) == CALLS - RESERVE
            assert daemon.ready() == (True, [])
            await have_rerun(daemon, "msg_1", first, clock)
            spent = used(daemon)
            assert CALLS - RESERVE < spent == sum(simulator.calls.values()) <= CALLS
        async with daemon_at(tmp_path, clock) as daemon:
            assert used(daemon) == spent
            await until(lambda: at_rest(daemon), "every source rests after the restart", 30)
            assert daemon.ready() == (True, [])
            assert used(daemon) == spent
            await have_rerun(daemon, "msg_2", second, clock)
            assert spent < used(daemon) == sum(simulator.calls.values()) <= CALLS
        assert simulator.tenant.reruns == {first: 1, second: 1}
        assert simulator.refused == 0


async def have_rerun(daemon: Daemon, message: str, instance: str, clock: ScaledClock) -> None:
    assert await daemon.hook("deploy", *posted(message, {"instance": instance}, clock.now())) == (202, "")

    def over(rows: list[dict[str, Any]]) -> bool:
        return any(row["target"] == instance and row["outcome"] == "accepted" for row in rows)

    await eventually(lambda: daemon.actions(10), over, f"the rerun of {instance}")
