"""A folder with ten different mistakes: `check` tells each in its place, and `run` does what the good file says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from phinops.clock import SystemClock
from phinops.simulate import serve
from running import Running, write_config

PLACE = "▶"
"""Stands before what is wrong, and is not written to the file."""

MISTAKES: Mapping[str, tuple[str, str]] = {
    "misspelt-key.rules.yaml": (
        "did you mean",
        """\
rules:
  - id: misspelt
    on: instance.failed
    mode: armed
    ▶colldown: 1h
    do: [{ rerun_instance: {} }]
""",
    ),
    "unknown-event.rules.yaml": (
        "instance.failed",
        """\
rules:
  - id: unknown-event
    on: ▶instance.fialed
    mode: armed
    do: [{ rerun_instance: {} }]
""",
    ),
    "unknown-field.rules.yaml": (
        "attempts",
        """\
rules:
  - id: fine
    on: [instance.failed]
    if: event.node.id.startsWith("nothing_") && event.instance.attempts < 9
    mode: armed
    do: [{ rerun_instance: {} }]
  - id: unknown-field
    on: instance.failed
    if: event.node.name == "节点" && event.instance.▶attemps < 3
    mode: armed
    do: [{ rerun_instance: {} }]
""",
    ),
    "type.rules.yaml": (
        "",
        """\
rules:
  - id: types
    on: instance.failed
    if: event.instance.attempts ▶== "3"
    mode: armed
    do: [{ rerun_instance: {} }]
""",
    ),
    "negation.rules.yaml": (
        "in quotes",
        """\
rules:
  - id: negation
    on: instance.failed
    if: ▶!event.instance.paused
    mode: armed
    do: [{ rerun_instance: {} }]
""",
    ),
    "template.rules.yaml": (
        "in quotes",
        """\
rules:
  - id: template
    on: alert.opened
    do:
      - notify:
          to: oncall
          title: ▶{{ event.alert.id }} opened
          message: it is open
""",
    ),
    "cron.rules.yaml": (
        "in quotes",
        """\
rules:
  - id: cron
    on: { schedule: ▶*/5 * * * * }
    do: [{ notify: { to: oncall, message: five minutes have passed } }]
""",
    ),
    "notifier.rules.yaml": (
        "oncall",
        """\
rules:
  - id: notifier
    on: alert.opened
    do: [{ notify: { to: ▶onkall, message: it is open } }]
""",
    ),
    "call.rules.yaml": (
        "ProjectId",
        """\
rules:
  - id: call
    on: instance.failed
    do:
      - call: GetPhysicalInstance
        with: { InstanceId: "{{ event.instance.id }}", ProjectId: "{{ event.project.id }}", ▶ProjektId: 1 }
""",
    ),
    "duration.test.yaml": (
        "",
        """\
tests:
  - name: a duration without its unit
    rules: all.rules.yaml
    steps:
      - advance: ▶6
""",
    ),
}
"""Ten files by name: what the message must hold, and the text with its mistake marked."""

BROKEN_RULES = frozenset(
    {"misspelt", "unknown-event", "unknown-field", "types", "negation", "template", "notifier", "call", ""}
)
"""The ids; of the file with the cron, which is no YAML, none can be read."""

GOOD = """\
rules:
  - id: good
    on: instance.failed
    if: event.node.name == "dws_orders_1d" && event.instance.attempts < 9
    mode: armed
    do:
      - rerun_instance: {}
        verify: { within: 30m }
"""

EXTRA = """
[tenants.sources]
instances = { every = "1s" }

[notifiers.oncall]
type = "webhook"
url = { env = "ONCALL_URL" }
secret = { env = "ONCALL_SECRET" }
"""

VERIFIED = "SELECT count(*) FROM step WHERE outcome = 'verified'"


def write_mistakes(folder: Path) -> dict[tuple[str, int, int], str]:
    """The ten files, and for each place of a mistake what its message must hold."""
    expected = {}
    for name, (message, marked) in MISTAKES.items():
        before, _, after = marked.partition(PLACE)
        path = folder / name
        path.write_text(before + after, encoding="utf-8")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        expected[str(path), line, column] = message
    return expected


def check(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "phinops", "check", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


async def test_ten_mistakes_are_told_in_their_places_and_the_good_file_beside_them_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONCALL_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("ONCALL_SECRET", "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
    async with serve("quiet", clock=SystemClock()) as simulator:
        daemon = Running(write_config(tmp_path, simulator, GOOD, EXTRA))
        expected = write_mistakes(tmp_path / "rules")

        found = check(tmp_path, ".", "--format", "json")
        problems = [each for each in json.loads(found.stdout) if each["severity"] == "error"]
        places = {(str(tmp_path / each["file"]), each["line"], each["column"]): each["message"] for each in problems}
        assert found.returncode == 1, found.stderr
        assert sorted(places) == sorted(expected), found.stdout
        assert {place: message for place, message in places.items() if expected[place] not in message} == {}
        told = check(tmp_path, "rules")
        assert told.returncode == 1
        lines = told.stdout.splitlines()
        assert len(lines) == 11, told.stdout
        assert sum("quota-polls `instances`" in line for line in lines) == 1, told.stdout
        assert "10 errors, 1 warning\n" in told.stderr

        try:
            daemon.start()
            await daemon.until(lambda: daemon.ready, "the daemon is ready")
            instance = simulator.tenant.fail_instance("dws_orders_1d")
            await daemon.until(lambda: daemon.count(VERIFIED) == 1, "the good rule reruns, and sees that it helped")
            assert await daemon.stop() == 0
        finally:
            daemon.abandon()
        assert dict(simulator.tenant.reruns) == {instance.id: 1}
        quarantined = {each["rule"]["id"] for each in events(daemon) if each["type"] == "rule.quarantined"}
        assert quarantined == BROKEN_RULES


def events(daemon: Running) -> list[dict[str, Any]]:
    """What `phinops events` shows of a daemon that was stopped."""
    command = [sys.executable, "-m", "phinops", "events", "--json", "--config", str(daemon.config)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows: list[dict[str, Any]] = json.loads(shown)
    return rows
