"""People are asked by a daemon that is a process of its own, and answer by command, whether it runs or not."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio.to_thread
import httpx
import pytest

from loopback import Got, raw, serving
from phinops.clock import SystemClock
from phinops.simulate import Simulator, serve
from phinops.simulate.operate import operate
from running import Running, until, write_config
from served import HOOK_SECRET, QUICK, private

RULES = """
rules:
  - id: gold
    on: instance.failed
    mode: armed
    cooldown: 1h
    do:
      - id: ask
        approve: { to: boss, message: "{{ event.node.name }} failed", expires: 1h }
        on_error: continue
      - rerun_instance: {}
"""
ASKED = "SELECT count(*) FROM approval"
ENDED = "SELECT count(*) FROM firing WHERE ended_at IS NOT NULL"


@dataclass(slots=True)
class Place:
    """A daemon, its tenant, and what its notifier got."""

    daemon: Running
    simulator: Simulator
    got: list[Got]
    base: str

    async def phinops(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "phinops", *words, "--config", str(self.daemon.config)]
        return await anyio.to_thread.run_sync(
            lambda: subprocess.run(command, capture_output=True, text=True, check=False)
        )

    async def asked(self) -> dict[str, Any]:
        """What the rule asks of the failure of an instance, once it does."""
        await self.daemon.until(lambda: self.daemon.count(ASKED) == 1, "it asks")
        (row,) = json.loads((await self.phinops("approvals", "--json")).stdout)
        found: dict[str, Any] = row
        return found

    async def ended(self) -> None:
        await self.daemon.until(lambda: self.daemon.count(ENDED) == 1, "it is over")


@asynccontextmanager
async def place(folder: Path) -> AsyncGenerator[Place]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    base = f"http://127.0.0.1:{port}"
    private(folder / "secret", HOOK_SECRET)
    async with serving(lambda _: raw(b"")) as outside, serve("quiet", clock=SystemClock()) as simulator:
        private(folder / "url", outside.url)
        boss = '[notifiers.boss]\ntype = "webhook"\nurl = { file = "url" }\nsecret = { file = "secret" }\n'
        config = write_config(folder, simulator, RULES, QUICK + boss)
        server = f'listen = "127.0.0.1:{port}"\npublic_url = "{base}"'
        config.write_text(config.read_text().replace('listen = "127.0.0.1:0"', server))
        daemon = Running(config)
        try:
            daemon.start()
            await daemon.until(lambda: daemon.ready, "ready")
            yield Place(daemon, simulator, outside.got, base)
        finally:
            daemon.abandon()


@pytest.mark.serial
async def test_an_answer_after_the_instance_recovered_is_refused_with_state_changed(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        instance = here.simulator.tenant.fail_instance("dws_orders_1d", takes=0.5)
        row = await here.asked()
        assert row["calls"][0]["api"] == "OperateInstance"
        assert isinstance(row["objects"][0]["below"], int)
        firings = json.loads((await here.phinops("firings", "--json")).stdout)
        assert f"waits for approval {row['id']} until " in firings[0]["reason"]
        here.simulator.tenant.settle()
        operate(here.simulator.tenant, "SET_SUCCESS", instance)
        await until(lambda: here.simulator.tenant.status(instance.id) == "SUCCESS", "it recovers")
        late = await here.phinops("approve", row["id"], "--reason", "go")
        assert (late.returncode, late.stdout) == (1, "")
        assert f"state changed: instance {instance.id} was FAILED and is SUCCESS" in late.stderr
        second = await here.phinops("deny", row["id"])
        assert second.returncode == 1
        assert "cannot be answered any more: approved by " in second.stderr
        assert "(cli)" in second.stderr
        await here.ended()
        assert here.simulator.tenant.reruns[instance.id] == 0
        told = await here.phinops("approvals")
        assert f"refused: state changed: instance {instance.id} was FAILED" in told.stdout
        assert (await here.phinops("approve", "ap_none")).returncode == 1


@pytest.mark.serial
async def test_an_answer_while_the_daemon_is_dead_is_found_at_its_start_and_acted_on_once(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        instance = here.simulator.tenant.fail_instance("dws_orders_1d", takes=0.5)
        row = await here.asked()
        here.daemon.kill()
        yes = await here.phinops("approve", row["id"], "--json")
        assert (yes.returncode, json.loads(yes.stdout)["answer"]) == (0, "approved")
        no = await here.phinops("deny", row["id"])
        assert no.returncode == 1
        assert "cannot be answered any more: approved by " in no.stderr
        here.daemon.start()
        await here.ended()
        here.daemon.kill()
        here.daemon.start()
        await here.daemon.until(lambda: here.daemon.ready, "ready")
        assert here.simulator.tenant.reruns[instance.id] == 1
        assert here.daemon.count(ASKED) == 1
        assert await here.daemon.stop() == 0


@pytest.mark.serial
async def test_the_link_of_a_notice_answers_at_its_button_and_not_before(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        instance = here.simulator.tenant.fail_instance("dws_orders_1d", takes=0.5)
        row = await here.asked()
        await until(lambda: bool(here.got), "the notice is there")
        data = json.loads(here.got[0].body)["data"]
        assert data["approval"]["id"] == row["id"]
        assert data["approval"]["calls"][0]["params"] == row["calls"][0]["params"]
        assert f"- rerun_instance {instance.id} in project " in data["message"]
        link = data["links"]["approval"]
        assert re.fullmatch(rf"{here.base}/approvals/{row['id']}/[0-9a-f]{{64}}", link)
        async with httpx.AsyncClient(trust_env=False) as client:
            for method in ("HEAD", "GET", "GET"):
                assert (await client.request(method, link)).status_code == 200
            assert here.daemon.count("SELECT count(*) FROM approval WHERE answer = ''") == 1
            assert (await client.post(link, data={"answer": "approve"})).status_code == 200
            assert (await client.post(link, data={"answer": "approve"})).status_code == 409
        await here.ended()
        assert here.simulator.tenant.reruns[instance.id] == 1
        (now,) = json.loads((await here.phinops("approvals", "--json")).stdout)
        assert (now["via"], now["by"], now["outcome"]) == ("link", "127.0.0.1", "accepted")
        assert link.rpartition("/")[2] not in here.daemon.log.read_text()
