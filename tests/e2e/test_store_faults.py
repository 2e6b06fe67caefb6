"""What befalls a store: a full disk, one that became read-only, damage, a newer phinops, a clock that jumps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

import fakedaemon
import phinops
from phinops.clock import SystemClock
from phinops.record.sqlite import Store
from phinops.simulate import Simulator, serve
from records import alter, put
from running import Running, write_config

HERE = Path(__file__).parent
REQUIRED = os.environ.get("PHINOPS_REQUIRE_FAULTS") == "1"
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)

APART = ["unshare", "--mount", "--propagation", "private", "--fork", "--kill-child"]
"""What is mounted below is there for the program alone, and gone with it."""

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("COV")},
    "PHINOPS_TEST_KEY": "key",
    "PYTHONPATH": os.pathsep.join(map(str, [Path(phinops.__file__).parents[1], HERE.parent])),
}


def missing(what: str) -> None:
    """Skip for want of something that CI must have."""
    if REQUIRED:
        pytest.fail(f"{what} is required here")
    pytest.skip(f"no {what} here")


@pytest.fixture
def mounts(tmp_path: Path) -> None:
    """Wants a mount namespace of its own."""
    (tmp_path / "try").mkdir()
    probe = [*APART, "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path / "try")]
    try:
        done = subprocess.run(probe, capture_output=True, check=False)
    except OSError:
        missing("unshare")
    else:
        if done.returncode:
            missing("mount namespace")


def apart(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """What the command says, run where it may mount."""
    return subprocess.run(
        [*APART, *map(str, command)], capture_output=True, text=True, timeout=120, check=False, env=ENVIRONMENT
    )


@pytest.mark.usefixtures("mounts")
def test_a_full_disk_stops_what_acts_and_not_what_tells_and_nothing_is_lost(tmp_path: Path) -> None:
    done = apart(sys.executable, HERE / "small_disk.py", tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout.splitlines()[-1])
    print(report)
    assert [each for each in report["reasons"] if "the store cannot be written" in each and "the disk is full" in each]
    assert report["told_while_full"] == ["phinops cannot write its store (prod)"]
    assert report["reruns_while_full"] == 0
    assert report["reruns"], "and then once"
    assert (report["events"], report["twice"], report["open"]) == (1, 0, 0)


def config_at(folder: Path, store: Path) -> Path:
    """A config of a daemon that nobody would answer, with its store there."""
    return fakedaemon.write_config(folder, 0, f'[store]\nurl = "sqlite:///{store}"\n')


@pytest.fixture
async def store(tmp_path: Path) -> Path:
    """A store with something in it."""
    path = tmp_path / "p.db"
    async with Store.open(path) as opened:
        for n in range(200):
            await put(opened, f"{n}", "x" * 3000)
    return path


def run(config: Path, before: str = "") -> subprocess.CompletedProcess[str]:
    """`phinops run`, after a command of the shell, where it may mount."""
    return apart("bash", "-c", f"{before} exec {sys.executable} -m phinops run --config {config}")


@pytest.mark.usefixtures("mounts")
def test_a_store_on_a_disk_that_is_read_only_does_not_start_and_says_so(tmp_path: Path, store: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    before = f"mount -t tmpfs -o size=9m tmpfs {disk} && cp {store} {disk}/p.db && mount -o remount,ro {disk} &&"
    done = run(config_at(tmp_path, disk / "p.db"), before)
    assert done.returncode == 3
    assert f"{disk}/p.db" in done.stderr
    assert "Read-only file system" in done.stderr


@pytest.mark.usefixtures("mounts")
def test_without_room_for_a_copy_nothing_is_migrated(tmp_path: Path, store: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    alter(store, "DELETE FROM schema_version WHERE version = (SELECT max(version) FROM schema_version)")
    before = f"mount -t tmpfs -o size=2m tmpfs {disk} && cp {store} {disk}/p.db &&"
    done = run(config_at(tmp_path, disk / "p.db"), before)
    assert done.returncode == 3
    assert f"no room for a copy of {disk}/p.db in {disk}" in done.stderr
    assert "make room there" in done.stderr


def damage(store: Path) -> None:
    with store.open("r+b") as file:
        file.seek(store.stat().st_size // 2 // 4096 * 4096)
        file.write(bytes(20 * 4096))


def make_newer(store: Path) -> None:
    alter(store, "INSERT INTO schema_version VALUES (9000, 'later', 0)")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (damage, ("is damaged", "phinops restore FILE")),
        (make_newer, ("written by a newer phinops", "phinops restore FILE")),
    ],
)
def test_a_store_that_cannot_be_used_ends_the_start_with_its_name_and_the_cure(
    spoil: Callable[[Path], None], said: tuple[str, ...], tmp_path: Path, store: Path
) -> None:
    spoil(store)
    before = store.read_bytes()
    command = [sys.executable, "-m", "phinops", "run", "--config", str(config_at(tmp_path, store))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=ENVIRONMENT)
    assert done.returncode == 3
    assert str(store) in done.stderr
    assert [each for each in said if each not in done.stderr] == []
    assert "Traceback" not in done.stderr
    assert store.read_bytes() == before


RERUN = """
rules:
  - id: rerun
    on: instance.failed
    mode: armed
    do:
      - rerun_instance: {}
        verify: { within: 1m }
"""

QUICK = """
timeout = "1s"
settle_after = "1s"
[tenants.sources]
instances = { every = "1s" }
alerts = { every = "1s" }
"""


async def test_a_clock_an_hour_ahead_and_back_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    if FAKETIME is None:
        missing("faketime")
    dial = tmp_path / "dial"
    environment = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(dial),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    dial.write_text("+0\n")
    async with serve("quiet", clock=SystemClock()) as simulator:
        daemon = Running(write_config(tmp_path, simulator, RERUN, QUICK), environment)
        daemon.start()
        try:
            await daemon.until(lambda: daemon.ready, "the daemon is ready")
            reruns = simulator.tenant.reruns
            nodes = ["dws_orders_1d", "ods_orders", "dwd_orders", "dws_orders_1d", "ods_orders"]
            # An hour off Dataphin refuses every signature; ten minutes off it does not.
            for node, dials in zip(nodes, ("+0", "+600", "+3600 +0", "-3600 -600", "+0"), strict=True):
                await _dialled(daemon, simulator, dial, node, dials.split())
            assert await daemon.stop() == 0
        finally:
            daemon.abandon()
        assert Counter(reruns.values()) == {1: 5}
    assert daemon.count("SELECT count(*) FROM event WHERE type = 'instance.failed'") == 5
    assert daemon.count("SELECT count(*) FROM firing WHERE state NOT IN ('done', 'running')") == 0
    assert daemon.count("SELECT count(*) FROM step WHERE state IN ('intent', 'unknown')") == 0


async def _dialled(daemon: Running, simulator: Simulator, dial: Path, node: str, dials: list[str]) -> None:
    """An instance fails while the clock is wrong, and is rerun once the clock is right enough."""
    await anyio.Path(dial).write_text(dials[0] + "\n")
    failed = simulator.tenant.fail_instance(node, takes=0.5)
    if len(dials) > 1:
        seen = len(simulator.arrivals)
        await daemon.until(lambda: len(simulator.arrivals) > seen + 3, "it keeps asking")
        assert not simulator.tenant.reruns[failed.id]
        await anyio.Path(dial).write_text(dials[1] + "\n")
    await daemon.until(lambda: simulator.tenant.reruns[failed.id] == 1, f"{node} is rerun at {dials}")
