"""The commands against a daemon and a simulator that are really there."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import httpx
import pytest
from click.testing import CliRunner, Result

from fakedaemon import write_config
from phinops.clock import SystemClock
from phinops.config import Config, load_config
from phinops.simulate import Simulator, serve
from phinops.surface.cli import phinops
from phinops.surface.host import host

RULES = """\
rules:
  - id: look
    on: { schedule: "0 3 * * *" }
    do:
      - call: GetMyTenants
"""


async def typed(*arguments: str) -> Result:
    """What the command line says, while the loop goes on."""

    def invoke() -> Result:
        return CliRunner().invoke(phinops, list(arguments))

    return await anyio.to_thread.run_sync(invoke)


@pytest.fixture
async def simulator() -> AsyncGenerator[Simulator]:
    async with serve("quiet", clock=SystemClock()) as simulator:
        yield simulator


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, simulator: Simulator) -> Config:
    """A config of the simulated tenant, beside its rules; the working folder is theirs."""
    for name in ("PHINOPS_CONFIG", "STATE_DIRECTORY", "NOTIFY_SOCKET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KEY_ID", simulator.access_key_id)
    monkeypatch.setenv("KEY_SECRET", simulator.access_key_secret)
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    path = write_config(tmp_path, port, 'token = { env = "KEY_SECRET" }\n')
    text = (
        path.read_text()
        .replace("http://127.0.0.1:1", simulator.url)
        .replace("op_tenant_id = 1", "op_tenant_id = 30001011")
    )
    text = text.replace("PHINOPS_TEST_KEY", "KEY_ID", 1).replace("PHINOPS_TEST_KEY", "KEY_SECRET")
    path.write_text(text)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "a.rules.yaml").write_text(RULES)
    return load_config(path)


@asynccontextmanager
async def hosted(config: Config) -> AsyncGenerator[None]:
    """The daemon as `run` hosts it, from ready to drained."""
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(host, config)
            await _until_ready(config)
            yield
            os.kill(os.getpid(), signal.SIGTERM)


async def _until_ready(config: Config) -> None:
    async with httpx.AsyncClient(base_url=f"http://{config.server.listen}", trust_env=False) as client:
        while True:
            try:
                if (await client.get("/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await anyio.sleep(0.02)


async def test_the_commands_speak_to_a_daemon_that_runs(config: Config) -> None:
    async with hosted(config):
        status = await typed("status", "--json")
        assert (status.exit_code, json.loads(status.stdout)["ready"]) == (0, True)
        assert json.loads((await typed("events", "--json")).stdout) == []
        assert (await typed("reload")).stdout.splitlines()[0] == "reloaded: nothing changed"
        reply = json.loads((await typed("call", "GetMyTenants")).stdout)
        assert reply["Success"]
        assert (config.state_folder / "token").exists()


async def test_a_reload_with_a_mistake_is_refused(config: Config, tmp_path: Path) -> None:
    async with hosted(config):
        (tmp_path / "rules" / "a.rules.yaml").write_text(RULES.replace("GetMyTenants", "GetMyTenantz"))
        refused = await typed("reload")
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert "a.rules.yaml:5:" in refused.stderr
        (tmp_path / "rules" / "a.rules.yaml").write_text(RULES.replace("0 3", "0 4"))
        assert (await typed("reload")).stdout.splitlines() == [
            "reloaded: changed: look",
            "  look: on: { schedule: 0 3 * * * } -> { schedule: 0 4 * * * }",
        ]


async def test_systemd_hears_of_every_turn(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(os.fspath(tmp_path / "notify"))
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", os.fspath(tmp_path / "notify"))
        heard: list[str] = []

        async def hear(wanted: str) -> None:
            while not any(wanted in each for each in heard):
                heard.append((await anyio.to_thread.run_sync(manager.recv, 4096)).decode())

        async with hosted(config):
            await hear("READY=1\nSTATUS=ready")
            (tmp_path / "rules" / "a.rules.yaml").write_text("rules: [1]\n")
            os.kill(os.getpid(), signal.SIGHUP)
            await hear("READY=1\nSTATUS=reload refused: ")
        await hear("STOPPING=1\nSTATUS=draining")
    assert heard[0] == "READY=1\nSTATUS=ready"
    assert any(each.startswith("RELOADING=1\nMONOTONIC_USEC=") for each in heard)


async def test_without_a_daemon_call_and_status_open_the_store_themselves(config: Config) -> None:
    assert (await typed("quota")).exit_code == 3
    missing = await typed("status")
    assert missing.exit_code == 3
    assert "there is no store" in missing.stderr
    called = await typed("call", "GetMyTenants")
    assert (called.exit_code, json.loads(called.stdout)["Success"]) == (0, True)
    status = await typed("status", "--json")
    document = json.loads(status.stdout)
    assert (status.exit_code, document["ready"], document["reasons"]) == (1, False, ["no daemon is running"])
    assert document["tenants"][0]["quota"][0]["used"] > 0
    assert (await typed("status")).stdout.startswith("not ready: no daemon is running\n")
    (pool, *_) = json.loads((await typed("quota", "--json")).stdout)
    assert pool["used"] == sum(each["calls"] for each in pool["spenders"]) > 0
    assert pool["spenders"][0]["source"] == "operator"
    assert "operator" in (await typed("quota", "--by", "source")).stdout


async def test_a_secret_that_is_missing_ends_run_with_2(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KEY_ID")
    result = await typed("run")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "KEY_ID is missing or empty" in result.stderr


async def test_an_address_or_a_store_that_is_taken_ends_run_with_3(config: Config, tmp_path: Path) -> None:
    async with hosted(config):
        taken = await typed("run")
        assert (taken.exit_code, taken.stdout) == (3, "")
        assert "cannot listen on" in taken.stderr
        path = tmp_path / "phinops.toml"
        path.write_text(path.read_text().replace(config.server.listen, "127.0.0.1:0"))
        held = await typed("run")
        assert (held.exit_code, held.stdout) == (3, "")
        assert "is held by process" in held.stderr
