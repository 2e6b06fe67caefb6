"""`phinops backtest`, as it is called."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest
from click.testing import CliRunner, Result

from fakedaemon import FakeService, answering, write_config
from phinops.clock import LoopClock
from phinops.event import Event, Instance, Node, Project, to_json
from phinops.record import journal
from phinops.record.sqlite import Store
from phinops.surface.cli import phinops
from phinops.surface.cli.backtest import _line

START = datetime(2026, 1, 5, tzinfo=UTC)

RULES = """\
rules:
  - id: rerun
    on: instance.failed
    mode: armed
    do:
      - rerun_instance: {}
"""

FAILED = Event(
    id="ev_1",
    type="instance.failed",
    time=START,
    tenant="prod",
    source="instances",
    project=Project("1", "p"),
    instance=Instance("t_1", "FAILED", attempts=1),
    node=Node("n_1", "dws"),
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("PHINOPS_CONFIG", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "some.rules.yaml").write_text(RULES, encoding="utf-8")
    write_config(tmp_path, 1)
    return tmp_path


@pytest.fixture
def stored(folder: Path) -> Path:
    """A store with one event."""

    async def fill() -> None:
        clock = LoopClock(START - timedelta(seconds=1000))
        async with Store.open(folder / "phinops.db", clock) as store:
            await store.write(lambda tx: journal.put_event(tx, FAILED, at=START))

    anyio.run(fill)
    return folder


def run(*words: str) -> Result:
    return CliRunner().invoke(phinops, ["backtest", *words])


def test_decisions_and_what_they_cost_are_told(stored: Path) -> None:
    result = run("--since", "1h")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "+ 2026-01-05T00:00:00+00:00 rerun on instance.failed ev_1"
    assert lines[1].startswith("    is  armed, ")
    assert lines[1].endswith(": rerun_instance t_1")
    assert [line.split()[-2:] for line in lines if line.startswith("writes  ")] == [["0", "1"]]
    assert lines[-1] == "1 events from 2026-01-05T07:00:00+08:00 on: 1 added, 0 removed, 0 changed"
    assert run("--since", "1h", "--fail-on-new-writes").exit_code == 1


def test_the_result_as_json(stored: Path) -> None:
    found = json.loads(run("--since", "1h", "--json").stdout)
    assert (found["events"], found["added"], found["removed"], found["changed"]) == (1, 1, 0, 0)
    assert found["since"] == "2026-01-05T07:00:00+08:00"
    assert found["differences"][0]["event_id"] == "ev_1"
    assert found["differences"][0]["old"] is None
    assert found["new_writes"][0]["target"] == "t_1"
    assert found["cost"]["old"]["calls"] is None
    assert found["cost"]["new"]["writes"] == 1


def test_two_rule_sets_are_compared(stored: Path) -> None:
    (stored / "other.rules.yaml").write_text(RULES.replace("rerun_instance", "set_instance_success"), encoding="utf-8")
    result = run("--since", "1h", "--rules", "other.rules.yaml", "--against", "rules")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "~ 2026-01-05T00:00:00+00:00 rerun on instance.failed ev_1: actions"
    assert lines[1].startswith("    was armed, ")
    assert lines[1].endswith(": rerun_instance t_1")
    assert "set_instance_success t_1" in lines[2]
    same = run("--since", "1h", "--against", "rules", "--fail-on-new-writes")
    assert same.exit_code == 0
    assert "0 added, 0 removed, 0 changed" in same.stdout


def test_rules_with_mistakes_and_empty_stores_are_no_success(stored: Path) -> None:
    (stored / "other.rules.yaml").write_text(RULES.replace("on:", "onn:"), encoding="utf-8")
    wrong = run("--since", "1h", "--rules", "other.rules.yaml")
    assert wrong.exit_code == 1
    assert "other.rules.yaml:3:5: unknown-key" in wrong.stderr


def test_without_a_daemon_and_a_store_there_is_nothing_to_ask(folder: Path) -> None:
    assert run("--since", "1h").exit_code == 3


@pytest.fixture
def service(folder: Path) -> Generator[FakeService]:
    service = FakeService()
    with answering(service) as port:
        write_config(folder, port)
        yield service


def test_a_running_daemon_is_asked_page_by_page(service: FakeService) -> None:
    event = {"at": START.isoformat(), "event": to_json(FAILED), "subject": "ev_1", "decisions": []}
    later = {**event, "event": to_json(replace(FAILED, id="ev_2")), "subject": "ev_2"}
    newest = START.isoformat()
    service.pages = {
        0: {"newest": newest, "next": 1, "events": [event]},
        1: {"newest": newest, "next": None, "events": [later]},
    }
    found = json.loads(run("--since", "1h", "--json").stdout)
    assert found["events"] == 2
    assert [after for _, _, after, _ in service.asked] == [0, 0, 1]
    service.pages = {0: {"newest": None, "next": None, "events": []}}
    nothing = run("--since", "1h")
    assert nothing.exit_code == 1
    assert "no event is on record" in nothing.stderr


def test_decisions_are_told_in_a_line() -> None:
    skipped = {"state": "skipped", "reason": "cooldown: 5m of 1h left"}
    assert _line(skipped) == "skipped: cooldown: 5m of 1h left"
    idle = {"state": "waiting", "mode": "armed", "actions": [], "notices": []}
    assert _line(idle) == "armed, waiting: nothing done"
    notice = {"to": "oncall", "severity": "info", "title": "x", "message": "y"}
    assert _line({**idle, "notices": [notice]}) == "armed, waiting: notify oncall (info) «x»"
