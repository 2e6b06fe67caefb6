"""How long a thousand rules keep one waiting: `phinops check`, and `phinops run` until it is ready.

Every round measures the two and a plain baseline (Python importing YAML and pydantic), in turn and as whole processes,
so that a loaded machine shows in all three; processor seconds hardly depend on what else runs. The bounds are those of
the medians, for phinops as pip installs it: with its bytecode compiled.
"""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path

import anyio
import httpx
import pytest

from phinops.clock import SystemClock
from phinops.simulate import Simulator, serve
from running import Running, write_config
from timed import PHINOPS, ROUNDS, Taken, middle, processor_of_children, table, time_of

RULES, RULES_IN_A_FILE = 1000, 40
CHECK_WITHIN_S, READY_WITHIN_S, HELP_WITHIN_S = 2.0, 2.5, 0.25

BASELINE, CHECK = "python -c 'import yaml, pydantic'", "phinops check"
READY, HELP = "phinops run, until ready", "phinops --help"

ACTING = """\
  - id: rerun-{number}
    on: instance.failed
    if: event.instance.attempts < 3 && event.node.name.startsWith("edge_{number}_")
    mode: armed
    do: [{{ rerun_instance: {{}}, verify: {{ within: 30m }} }}]
"""
TELLING = """\
  - id: tell-{number}
    on: [instance.failed, alert.opened]
    if: event.project.name == "edge_{number}"
    cooldown: 1h
    do: [{{ notify: {{ to: oncall, message: "{{{{ event.project.name }}}}: {{{{ event.type }}}}, edge {number}" }} }}]
"""
"""Rules of five lines each, none of which means the tenant of the scenario."""

NOTIFIER = """
[notifiers.oncall]
type = "webhook"
url = { file = "url" }
secret = { file = "secret" }
"""

SECRETS = {"url": "http://127.0.0.1:9/", "secret": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}


def write_rules(folder: Path) -> None:
    """A thousand rules in files of forty, every other one telling and every other one acting."""
    for first in range(0, RULES, RULES_IN_A_FILE):
        numbers = range(first, first + RULES_IN_A_FILE)
        rules = [(TELLING if number % 2 else ACTING).format(number=number) for number in numbers]
        assert {len(rule.splitlines()) for rule in rules} == {5}
        (folder / f"edge-{first:04}.rules.yaml").write_text("rules:\n" + "".join(rules))


async def time_to_ready(daemon: Running, port: int) -> Taken:
    """From the start of the process of `phinops run` to the first 200 of /readyz; the daemon is ended again.

    The processor time is that of its whole life, which ends at once.
    """
    used = processor_of_children()
    async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
        began = time.perf_counter()
        daemon.start()
        with anyio.fail_after(60):
            while not await is_ready(client, port):
                assert daemon.alive, daemon.log.read_text()[-3000:]
                await anyio.sleep(0.02)
        taken = time.perf_counter() - began
    assert await daemon.stop() == 0
    return Taken(taken, processor_of_children() - used)


async def is_ready(client: httpx.AsyncClient, port: int) -> bool:
    try:
        return (await client.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200
    except httpx.TransportError:
        return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def write_folder(folder: Path, simulator: Simulator, port: int) -> Path:
    """A config with a thousand rules, for a daemon at `port`; its path."""
    config = write_config(folder, simulator, "rules: []\n", NOTIFIER)
    config.write_text(config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}"))
    for name, value in SECRETS.items():
        (folder / name).touch(0o600)
        (folder / name).write_text(value)
    write_rules(folder / "rules")
    return config


@pytest.mark.serial
async def test_a_thousand_rules_are_checked_and_in_force_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bounds = {CHECK: CHECK_WITHIN_S, READY: READY_WITHIN_S}
    figures: dict[str, list[Taken]] = {BASELINE: [], CHECK: [], READY: []}
    async with serve("default", clock=SystemClock()) as simulator:
        port = free_port()
        for number in range(-1, ROUNDS):
            folder = tmp_path / str(number)  # a new store each time: the first start is the slowest one
            daemon = Running(write_folder(folder, simulator, port))
            try:
                taken = {
                    BASELINE: time_of((sys.executable, "-c", "import yaml, pydantic"), folder),
                    CHECK: time_of((*PHINOPS, "check"), folder),
                    READY: await time_to_ready(daemon, port),
                }
            finally:
                daemon.abandon()
            assert daemon.count("SELECT count(*) FROM event") > 0
            for name in figures if number >= 0 else ():  # the first round compiles
                figures[name].append(taken[name])
        assert simulator.refused == 0
    with capsys.disabled():
        print(table(f"{RULES} rules of five lines, {ROUNDS} rounds", figures, bounds))
    assert {name for name, bound in bounds.items() if middle(figures[name]) > bound} == set()


@pytest.mark.serial
def test_help_is_there_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands = {BASELINE: (sys.executable, "-c", "import yaml, pydantic"), HELP: (*PHINOPS, "--help")}
    rounds = [{name: time_of(command, tmp_path) for name, command in commands.items()} for _ in range(ROUNDS + 1)]
    figures = {name: [taken[name] for taken in rounds[1:]] for name in commands}
    with capsys.disabled():
        print(table(f"The overview, {ROUNDS} rounds", figures, {HELP: HELP_WITHIN_S}))
    assert middle(figures[HELP]) <= HELP_WITHIN_S
