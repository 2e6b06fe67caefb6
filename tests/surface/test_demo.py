from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from phinops.surface.cli import phinops


def test_the_demo_detects_decides_and_acts_within_the_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(phinops, ["demo", "--for", "16s", "--speed", "120", "--json"])
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout.splitlines()[-1])
    assert set(summary) == {"seconds", "events", "firings", "actions", "nodes_paused", "notices", "calls", "refused"}
    assert set(summary["actions"]) == {"verified", "accepted", "failed", "unknown"}
    assert summary["actions"]["verified"] >= 1
    assert summary["notices"]["sent"] >= 1
    assert set(summary["calls"]) == {"1", "2", "3"}
    assert summary["refused"] == 0
    assert list(tmp_path.iterdir()) == []
    told = result.stderr
    for kind in ("event   instance.failed", "rule    ", "action  rerun_instance → ", "notice  ", "quota   levels"):
        assert kind in told


def test_the_demo_ends_with_a_summary_when_it_is_interrupted(tmp_path: Path) -> None:
    command = [sys.executable, "-u", "-m", "phinops", "demo"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=_environment()) as demo:
        try:
            assert demo.stdout is not None
            assert demo.stdout.readline().startswith("A simulated Dataphin tenant (30001011, basic edition)")
            demo.send_signal(signal.SIGINT)
            rest = demo.stdout.read()
            assert demo.wait(20) == 1  # nothing was verified so early
        finally:
            demo.kill()
    assert "refused by the quota." in rest.splitlines()[-1]


def test_the_simulator_says_where_it_is_and_ends_on_a_signal(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "phinops",
        "simulate",
        "--edition",
        "agile",
        "--scenario",
        "quiet",
        "--seed",
        "7",
        "--keys",
        "k",
    ]
    keys = []
    for number in (signal.SIGTERM, signal.SIGINT):
        with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=_environment()) as process:
            try:
                assert process.stdout is not None
                place = json.loads(process.stdout.readline())
                process.send_signal(number)
                assert process.wait(20) == 0
            finally:
                process.kill()
        assert place.pop("url").startswith("http://127.0.0.1:")
        keys.append(place)
    assert keys[0] == keys[1]
    assert (keys[0]["op_tenant_id"], keys[0]["edition"]) == (30001011, "agile")


def test_the_demo_tells_people_how_it_went(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(phinops, ["demo", "--for", "500ms"])
    assert result.exit_code == 1  # nothing was verified in so short a time
    last = result.stdout.splitlines()[-4:]
    assert [line.split()[0] for line in last] == ["In", "Actions:", "Notices:", "Calls:"]
    assert last[-1].endswith("; 0 refused by the quota.")


def test_a_port_that_is_taken_a_scenario_that_is_not_there_and_a_folder_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        taken = CliRunner().invoke(phinops, ["simulate", "--port", str(holder.getsockname()[1])])
    assert (taken.exit_code, taken.stdout) == (3, "")
    assert "cannot listen on port" in taken.stderr
    missing = CliRunner().invoke(phinops, ["simulate", "--scenario", "nowhere"])
    assert (missing.exit_code, missing.stdout) == (2, "")
    assert "there is no scenario «nowhere»" in missing.stderr
    unwritten = CliRunner().invoke(phinops, ["simulate", "--keys", "/nowhere/keys.sh"])
    assert (unwritten.exit_code, unwritten.stdout) == (2, "")
    assert "/nowhere/keys.sh" in unwritten.stderr


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
