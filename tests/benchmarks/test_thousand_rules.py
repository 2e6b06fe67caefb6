"""How long a thousand rules keep one waiting: `phinops check`, and `phinops run` until it is ready.

Every round measures the two and a plain baseline (Python importing YAML and pydantic), in turn and as whole processes,
so that a loaded machine shows in all three. The bounds are those of the medians.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

import anyio
import anyio.to_thread
import httpx
import pytest

from phinops.clock import SystemClock
from phinops.simulate import serve
from running import Running, until, write_config

ROUNDS = 5
RULES, RULES_IN_A_FILE = 1000, 40
CHECK_WITHIN_S, READY_WITHIN_S, HELP_WITHIN_S = 2.0, 2.5, 0.25

PHINOPS = (sys.executable, "-m", "phinops")
BASELINE = (sys.executable, "-c", "import yaml, pydantic")

ACTING = """\
  - id: rerun-{number}
    on: instance.failed
    if: event.node.name.startsWith("edge_{number}_") && event.instance.attempts < 3
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


def seconds_of(command: Sequence[str], folder: Path) -> float:
    """The wall time of a process that ends with 0, start and end included."""
    began = time.perf_counter()
    ended = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    taken = time.perf_counter() - began
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-2000:]
    return taken


async def seconds_to_ready(daemon: Running, port: int) -> float:
    """From the start of the process of `phinops run` to the first 200 of /readyz; the daemon is ended again."""
    transport = httpx.AsyncHTTPTransport(retries=0)
    async with httpx.AsyncClient(transport=transport, trust_env=False, timeout=5) as client:
        began = time.perf_counter()
        daemon.start()
        with anyio.fail_after(60):
            while not await is_ready(client, port):
                assert daemon.alive, daemon.log.read_text()[-3000:]
                await anyio.sleep(0.02)
        taken = time.perf_counter() - began
    assert await daemon.stop() == 0
    return taken


async def is_ready(client: httpx.AsyncClient, port: int) -> bool:
    try:
        return (await client.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200
    except httpx.TransportError:
        return False


def free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def table(title: str, figures: Mapping[str, Sequence[float]], bounds: Mapping[str, float]) -> str:
    """Minimum, median and maximum of each, and the median in medians of the first row, the baseline."""
    unit = median(next(iter(figures.values())))
    lines = [f"\n{title}", f"{'seconds':34}{'min':>7}{'median':>8}{'max':>7}{'bound':>7}{'× baseline':>12}"]
    for name, found in figures.items():
        bound = f"{bounds[name]:7.2f}" if name in bounds else f"{'':7}"
        least, middle, most = min(found), median(found), max(found)
        lines.append(f"{name:34}{least:7.2f}{middle:8.2f}{most:7.2f}{bound}{middle / unit:12.1f}")
    return "\n".join(lines)


@pytest.mark.serial
async def test_a_thousand_rules_are_checked_and_in_force_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bounds = {"phinops check": CHECK_WITHIN_S, "phinops run, until ready": READY_WITHIN_S}
    figures: dict[str, list[float]] = {"python -c 'import yaml, pydantic'": [], **{name: [] for name in bounds}}
    baseline, check, ready = figures.values()
    async with serve("default", clock=SystemClock()) as simulator:
        port = free_port()
        for number in range(ROUNDS):
            folder = tmp_path / str(number)  # the first start of a new store is the slowest one
            config = write_config(folder, simulator, "rules: []\n", NOTIFIER)
            config.write_text(config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}"))
            for name, value in SECRETS.items():
                (folder / name).touch(0o600)
                (folder / name).write_text(value)
            write_rules(folder / "rules")
            baseline.append(seconds_of(BASELINE, folder))
            check.append(seconds_of((*PHINOPS, "check"), folder))
            daemon = Running(config)
            try:
                ready.append(await seconds_to_ready(daemon, port))
            finally:
                daemon.abandon()
            assert daemon.count("SELECT count(*) FROM event") > 0
        assert simulator.refused == 0
    with capsys.disabled():
        print(table(f"{RULES} rules of five lines, {ROUNDS} rounds", figures, bounds))
    assert {name: bound for name, bound in bounds.items() if median(figures[name]) > bound} == {}


@pytest.mark.serial
def test_help_is_there_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bounds = {"phinops --help": HELP_WITHIN_S}
    figures: dict[str, list[float]] = {"python -c 'import yaml, pydantic'": [], "phinops --help": []}
    for _ in range(ROUNDS):
        figures["python -c 'import yaml, pydantic'"].append(seconds_of(BASELINE, tmp_path))
        figures["phinops --help"].append(seconds_of((*PHINOPS, "--help"), tmp_path))
    with capsys.disabled():
        print(table(f"the overview, {ROUNDS} rounds", figures, bounds))
    assert median(figures["phinops --help"]) <= HELP_WITHIN_S
