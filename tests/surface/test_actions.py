"""`phinops actions resolve`: by the daemon, over its API, and on the store of one that does not run."""

from __future__ import annotations

import getpass
import json
from collections.abc import Generator
from pathlib import Path

import anyio
import httpx
import pytest
from click.testing import CliRunner, Result

from fakedaemon import UNKNOWN, FakeService, answering, write_config
from happenings import FAILED
from phinops.event import JsonObject
from phinops.firing import Firing, Intent
from phinops.record import journal, lists
from phinops.record.sqlite import Store
from phinops.record.tx import Tx
from phinops.resolutions import NotUnknown
from phinops.surface.cli import phinops

ME = getpass.getuser()


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PHINOPS_TEST_KEY", "LTAI-test")
    for name in ("PHINOPS_CONFIG", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def port(service: FakeService, tmp_path: Path) -> Generator[int]:
    """Where a daemon answers, with a config that leads there and the token where the command line looks for it."""
    (tmp_path / "token").write_text("t0ken\n")
    with answering(service) as found:
        write_config(tmp_path, found)
        yield found


def resolve(*arguments: str, answer: str = "") -> Result:
    result = CliRunner().invoke(phinops, ["actions", "resolve", *arguments], input=answer)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_without_a_word_more_actions_lists_as_ever(port: int) -> None:
    result = CliRunner().invoke(phinops, ["actions", "--json", "--limit", "3"])
    assert json.loads(result.stdout) == [{"kind": "action", "limit": 3, "tenant": ""}]


def test_it_shows_what_was_and_what_is_and_asks_before_it_records(port: int, service: FakeService) -> None:
    refused = resolve("act_1", "--as", "done", answer="n\n")
    assert (refused.exit_code, refused.stdout, service.resolutions.said) == (1, "", [])
    for part in ("rerun_instance of t_1 (rule rerun-once", '{"status": "FAILED"}', '{"status": "RUNNING"}, like done',
                 "found the write unclear", "it was done: the rule goes on"):  # fmt: skip
        assert part in refused.stderr
    done = resolve("act_1", "--as", "done", "--reason", "seen", answer="y\n")
    assert (done.exit_code, done.stdout) == (0, "act_1 is accepted; its firing fi_1 is running\n")
    assert service.resolutions.said == [("act_1", "done", ME, "seen")]


def test_who_does_not_say_what_became_of_it_is_asked(port: int, service: FakeService) -> None:
    assert resolve("act_1", answer="perhaps\nabsent\n").exit_code == 0
    assert service.resolutions.said == [("act_1", "absent", ME, "")]
    assert resolve("act_1", "--yes").exit_code == 2


def test_with_yes_nobody_is_asked_and_json_is_printed(port: int, service: FakeService) -> None:
    result = resolve("act_1", "--as", "abandon", "--yes", "--json")
    assert json.loads(result.stdout)["id"] == "act_1"
    assert service.resolutions.said == [("act_1", "abandon", ME, "")]


def test_what_is_known_or_is_not_there_ends_with_1(port: int, service: FakeService) -> None:
    missing = resolve("act_9", "--as", "done", "--yes")
    assert (missing.exit_code, missing.stderr) == (1, "phinops: no action «act_9» is on record\n")
    service.resolutions.error = NotUnknown("act_1 is «accepted»: only what is unknown has to be decided")
    late = resolve("act_1", "--as", "done", "--yes")
    assert (late.exit_code, "only what is unknown" in late.stderr) == (1, True)
    service.resolutions.known = {**UNKNOWN, "outcome": "verified"}
    known = resolve("act_1", "--as", "done", "--yes")
    assert (known.exit_code, "act_1 is «verified»" in known.stderr) == (1, True)


def test_over_the_api_it_needs_the_token_and_says_what_is_wrong(port: int, service: FakeService) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1/actions", trust_env=False) as client:
        assert client.post("/act_1/look").status_code == 401
        assert client.post("/act_1/resolve", json={"as": "done"}).status_code == 401
        client.headers["Authorization"] = "Bearer t0ken"
        assert client.post("/act_1/look").json() == UNKNOWN
        assert client.post("/act_9/look").status_code == 404
        wrong = client.post("/act_1/resolve", json={"as": "perhaps"})
        assert (wrong.status_code, wrong.json()["error"]["message"]) == (400, "`as` is one of done, absent, abandon")
        assert client.post("/act_1/resolve", json={"as": "done", "by": 7}).status_code == 400
        assert client.post("/act_9/resolve", json={"as": "done"}).status_code == 404
        good = client.post("/act_1/resolve", json={"as": "absent", "by": "maria", "reason": "seen"})
        assert (good.status_code, good.json()["outcome"]) == (200, "accepted")
        client.post("/act_1/resolve", json={"as": "absent"})
        service.resolutions.error = NotUnknown("no")
        assert client.post("/act_1/resolve", json={"as": "done"}).status_code == 409
    assert service.resolutions.said[1:] == [
        ("act_1", "absent", "maria", "seen"), ("act_1", "absent", "the API", ""),
    ]  # fmt: skip


def test_with_the_daemon_down_it_is_done_on_the_store(tmp_path: Path) -> None:
    """The target cannot be read then, since nothing answers at the tenant's endpoint either."""
    write_config(tmp_path, 1)
    anyio.run(_make_store, tmp_path / "phinops.db")
    done = resolve("act_1", "--as", "done", "--reason", "seen", "--yes")
    assert (done.exit_code, done.stdout) == (0, "act_1 is accepted; its firing fi_1 is running\n")
    assert "now:     cannot be read" in done.stderr
    again = resolve("act_1", "--as", "done", "--yes")
    assert (again.exit_code, "act_1 is «accepted»" in again.stderr) == (1, True)
    rows, open_firings = anyio.run(_read_store, tmp_path / "phinops.db")
    assert (rows, open_firings) == (["accepted"], [("fi_1", 0)])


def test_with_the_daemon_down_and_no_store_nobody_can_be_asked(tmp_path: Path) -> None:
    write_config(tmp_path, 1)
    missing = resolve("act_1", "--as", "done", "--yes")
    assert missing.exit_code == 1
    assert "no action «act_1» is on record" in missing.stderr


async def _make_store(path: Path) -> None:
    plan: JsonObject = {"steps": [{"id": "s0", "kind": "rerun_instance", "params": {}, "if": "", "verify_s": None}]}
    firing = Firing("fi_1", FAILED.id, "prod", "r", "h", "armed", "k", plan, "running", cursor=1)
    intent = Intent(
        "act_1", "fi_1", 0, "s0", 1, "rerun_instance", "OperateInstance", "prod", "instance", "t_1", "7",
        {"params": {}, "batch": ""}, {"status": "FAILED"},
    )  # fmt: skip

    def op(tx: Tx) -> None:
        journal.put_event(tx, FAILED)
        journal.put_firing(tx, firing)
        journal.intend(tx, intent)
        journal.settle(tx, "act_1", "unknown", "unknown", result={"settled": "unclear"})
        journal.end(tx, "fi_1", "needs_decision", "step s0: unknown")

    async with Store.open(path) as store:
        await store.write(op)


async def _read_store(path: Path) -> tuple[list[str], list[tuple[str, int]]]:
    async with Store.open(path) as store:
        rows = await store.read(lambda tx: lists.list_actions(tx, 9))
        left = await store.read(journal.open_firings)
    return [str(each["outcome"]) for each in rows], [(each.id, each.cursor) for each in left]
