from __future__ import annotations

import csv
import io
import json
from collections.abc import Generator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import click
import pytest
from click.testing import CliRunner, Result

from fakedaemon import FakeService, answering, write_config
from happenings import FAILED
from phinops.clock import LoopClock
from phinops.record import journal
from phinops.record.audit import COLUMNS, Wanted, note
from phinops.record.sqlite import Store
from phinops.record.tx import Tx
from phinops.surface.cli import phinops
from phinops.surface.cli.options import MOMENT
from records import FIRING, START, STEP

WRITE = replace(
    STEP,
    request={"params": {"OperateCommand": {"Operation": "RERUN"}, "AccessToken": "hush"}, "batch": ""},
    probe={"status": "FAILED", "started_at": 1},
)


def typed(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(phinops, ["audit", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config whose daemon does not run, and whose store has a write that was made and verified."""

    def life(tx: Tx) -> None:
        journal.put_event(tx, replace(FAILED, id="ev_1"))
        journal.put_firing(tx, FIRING)
        journal.intend(tx, WRITE)
        journal.settle(tx, "act_1", "done", "accepted", result={"status": "SUCCESS"}, request_id="r-1")
        journal.judge(tx, "act_1", "verified", "the target reached its goal", {"instance": {"status": "SUCCESS"}})
        journal.end(tx, "fi_1", "done")
        note(tx, "kill_switch.set", by="li.wei", reason="a release")

    async def write() -> None:
        async with Store.open(tmp_path / "phinops.db", LoopClock(START)) as store:
            await store.write(life)

    anyio.run(write)
    return write_config(tmp_path, 1)


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_each_line_says_who_did_what_on_which_event_and_how_it_was_before_and_after(config: Path) -> None:
    intended, done, judged, ended, person = lines(typed("--config", config))
    assert list(intended) == list(COLUMNS)
    for line in (intended, done, judged, ended):
        assert [line[key] for key in ("rule", "version", "event_id", "firing_id")] == ["r", "h", "ev_1", "fi_1"]
    assert [each["action_id"] for each in (intended, done, judged, ended)] == ["act_1", "act_1", "act_1", ""]
    assert [intended[key] for key in ("what", "api", "target", "tenant", "step")] == [
        "action.intended", "OperateInstance", "t_1", "prod", "rerun_instance",
    ]  # fmt: skip
    assert intended["params"] == {"OperateCommand": {"Operation": "RERUN"}, "AccessToken": "***"}
    assert intended["before"] == {"status": "FAILED", "started_at": 1}
    assert (done["request_id"], done["outcome"], done["after"]) == ("r-1", "accepted", {"status": "SUCCESS"})
    assert (judged["outcome"], judged["reason"]) == ("verified", "the target reached its goal")
    assert judged["after"] == {"instance": {"status": "SUCCESS"}}
    assert (person["by"], person["rule"], person["reason"]) == ("li.wei", "", "a release")


def test_a_secret_among_the_parameters_is_not_in_the_store_s_audit_at_all(config: Path, tmp_path: Path) -> None:
    assert "hush" not in typed("--config", config).stdout
    assert "hush" not in typed("--config", config, "--format", "csv").stdout


def test_lines_are_chosen_by_action_rule_and_time(config: Path) -> None:
    assert len(lines(typed("--config", config, "--action", "act_1"))) == 3
    assert len(lines(typed("--config", config, "--rule", "r"))) == 4
    assert lines(typed("--config", config, "--rule", "x")) == []
    assert lines(typed("--config", config, "--until", START.isoformat())) == []
    assert len(lines(typed("--config", config, "--since", START.isoformat()))) == 5


def test_as_a_table_it_has_a_heading_and_json_in_its_cells(config: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(typed("--config", config, "--format", "csv").stdout)))
    assert [row["what"] for row in rows][:2] == ["action.intended", "action.done"]
    assert json.loads(rows[0]["before"]) == {"status": "FAILED", "started_at": 1}
    assert rows[1]["before"] == ""


@pytest.fixture
def service(tmp_path: Path) -> Generator[tuple[FakeService, Path]]:
    service = FakeService()
    with answering(service) as port:
        yield service, write_config(tmp_path, port)


def test_a_running_daemon_is_asked_page_by_page(service: tuple[FakeService, Path]) -> None:
    daemon, config = service
    line = dict.fromkeys(COLUMNS, "")
    daemon.pages = {0: {"next": 7, "lines": [{**line, "seq": 7}]}, 7: {"next": None, "lines": [{**line, "seq": 8}]}}
    result = typed("--config", config, "--since", "2026-01-05T00:00:00Z", "--action", "act_1")
    assert [each["seq"] for each in lines(result)] == [7, 8]
    wanted = Wanted(datetime(2026, 1, 5, tzinfo=UTC), None, "act_1")
    assert daemon.asked == [(wanted, 0, 1000), (wanted, 7, 1000)]


@pytest.mark.parametrize("wrong", ["yesterday", "2026-01-05T00:00:00"])
def test_a_time_that_is_none_is_refused_with_what_would_be_one(wrong: str, config: Path) -> None:
    result = typed("--config", config, "--since", wrong)
    assert result.exit_code == 2
    assert "such as 2026-01-05T" in result.stderr


def test_a_duration_counts_back_from_now() -> None:
    found = MOMENT.convert("14d", None, click.get_current_context(silent=True))
    assert timedelta(days=13, hours=23) < datetime.now(UTC) - found < timedelta(days=14, hours=1)  # noqa: TID251
