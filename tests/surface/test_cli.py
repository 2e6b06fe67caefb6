from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Generator
from datetime import timedelta
from pathlib import Path

import anyio
import click
import pytest
from click.testing import CliRunner, Result

from fakedaemon import QUOTA, STATUS, UNDONE, FakeService, Reloaded, answering, write_config
from phinops.config import Secret, Server
from phinops.errors import ConfigError, Forbidden, NotUndone, QuotaSpent, StoreError, StoreHeld
from phinops.problem import Problem
from phinops.record import journal, outbox
from phinops.record.sqlite import Store
from phinops.surface.cli import COMMANDS, exit_code, phinops
from phinops.surface.cli.options import person
from phinops.surface.cli.reach import address_of

RULE = """\
rules:
  - id: tell
    on: instance.failed
    do:
      - notify: { to: oncall, message: "{{ event.node.name }}" }
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("PHINOPS_CONFIG", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)


def typed(*arguments: str | os.PathLike[str], answer: str = "") -> Result:
    """What the command line says to these arguments."""
    result = CliRunner().invoke(phinops, [os.fspath(each) for each in arguments], input=answer)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def config(service: FakeService, tmp_path: Path) -> Generator[Path]:
    """A config whose daemon answers, with the token where the command line looks for it."""
    (tmp_path / "token").write_text("t0ken\n")
    with answering(service) as port:
        yield write_config(tmp_path, port)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example(command: str) -> None:
    result = typed(command, "--help")
    assert result.exit_code == 0
    assert re.search(rf"Example:\n +phinops {command}\b", result.stdout)


def test_the_overview_names_every_command_without_importing_any() -> None:
    program = (
        "import sys; from phinops.surface.cli import phinops\n"
        "try: phinops(['--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in sys.modules if name in ('pydantic', 'httpx', 'starlette', 'rich', 'structlog')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert all(f"  {name} " in done.stdout for name in COMMANDS)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_module_runs_like_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "phinops", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()[0]) == (0, "phinops")


def test_an_unknown_command_is_wrong_usage_with_a_suggestion() -> None:
    result = typed("cataloge")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "there is no command «cataloge»: did you mean «catalog»?" in result.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Forbidden("A", "c", "m"), 1),
        (ConfigError("m"), 2),
        (StoreHeld("m"), 3),
        (QuotaSpent("m"), 3),
    ],
)
def test_an_error_ends_with_the_exit_code_of_its_kind(error: Exception, code: int) -> None:
    assert exit_code(error) == code  # type: ignore[arg-type]  # all of them are ours


@pytest.mark.parametrize(
    ("raised", "code"),
    [(StoreHeld("held"), 3), (ExceptionGroup("g", [ExceptionGroup("h", [ConfigError("bad key")])]), 2)],
)
def test_what_task_groups_wrap_is_told_in_one_line(
    raised: Exception, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    @click.command()
    def failing() -> None:
        raise raised

    group = type(phinops)("g", commands={})
    monkeypatch.setattr(group, "get_command", lambda *_: failing)
    result = CliRunner().invoke(group, ["demo"])
    assert result.exit_code == code
    assert result.stderr.startswith("phinops: ")
    assert "Traceback" not in result.stderr


def test_the_catalog_is_complete_as_json() -> None:
    entries = json.loads(typed("catalog", "--json").stdout)
    assert len(entries) == 376
    assert [each["api"] for each in entries] == sorted(each["api"] for each in entries)
    operate = next(each for each in entries if each["api"] == "OperateInstance")
    assert (operate["level"], operate["edition"]) == (2, "agile")
    assert {"name": "OperateCommand", "type": "object", "required": True, "in": "form"} in operate["parameters"]


def test_the_catalog_shows_one_api_in_depth() -> None:
    text = typed("catalog", "OperateInstance").stdout
    assert "OperateInstance: writes, level 2, agile" in text
    assert "Operation (string, required): RERUN | PAUSE" in text
    assert "level 3 (not published), every edition" in typed("catalog", "GetQualityAlertOfAllRuleScopeByWatchId").stdout


def test_the_catalog_searches_and_suggests() -> None:
    assert typed("catalog", "alert").stdout.splitlines()[0].split() == ["API", "LEVEL", "EDITION", "GROUP"]
    result = typed("catalog", "OperateInstanse")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "did you mean «OperateInstance»?" in result.stderr
    assert json.loads(typed("catalog", "qqqq", "--json").stdout) == []


def test_init_writes_what_check_accepts_and_touches_nothing_twice(tmp_path: Path) -> None:
    first = typed("init", tmp_path / "ops")
    assert first.exit_code == 0
    written = sorted(path.name for path in (tmp_path / "ops").rglob("*") if path.is_file())
    assert written == [
        "config.schema.json", "first.rules.yaml", "first.test.yaml", "phinops.toml", "rules.schema.json",
        "tests.schema.json",
    ]  # fmt: skip
    assert typed("check", tmp_path / "ops").exit_code == 0
    (tmp_path / "ops" / "phinops.toml").write_text("mine")
    second = typed("init", tmp_path / "ops")
    assert f"kept    {tmp_path}/ops/phinops.toml" in second.stdout
    assert (tmp_path / "ops" / "phinops.toml").read_text() == "mine"


def test_check_without_a_config_says_what_it_could_not_check(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "a.rules.yaml").write_text(RULE)
    result = typed("check")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no config: notifiers, hooks and edition were not checked, nor the quota" in result.stderr
    assert "1 file: 0 errors, 0 warnings" in result.stderr


def test_check_finds_mistakes_of_every_kind_of_file_below_a_folder(tmp_path: Path) -> None:
    inside = tmp_path / "ops" / "inside"
    inside.mkdir(parents=True)
    (inside / "a.rules.yaml").write_text(RULE.replace("oncall", "nobody"))
    config = write_config(inside, 1, "[server2]\n")
    broken = typed("check", tmp_path / "ops")
    assert broken.exit_code == 1
    assert f"{config}:10:1: unknown-key " in broken.stdout
    assert f"{config} is broken: notifiers" in broken.stderr
    write_config(inside, 1)
    result = typed("check", tmp_path / "ops")
    assert result.exit_code == 1
    assert f"{inside}/a.rules.yaml:5:" in result.stdout
    assert "not checked" not in result.stderr


def test_check_without_a_path_reads_the_rules_of_the_config(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    config = write_config(folder, 1, '[rules]\npaths = ["mine"]\n')
    (folder / "mine").mkdir()
    (folder / "mine" / "a.rules.yaml").write_text("rules:\n  - id: [\n")
    result = typed("check", "--config", config)
    assert result.exit_code == 1
    assert result.stdout.startswith("etc/mine/a.rules.yaml:")


@pytest.mark.parametrize("form", ["text", "json", "github"])
def test_check_speaks_to_people_programs_and_github(tmp_path: Path, form: str) -> None:
    config = tmp_path / "x,y.toml"
    config.write_text("a = 100%\n")
    result = typed("check", config, "--format", form)
    assert result.exit_code == 1
    (line,) = result.stdout.splitlines()
    expected: dict[str, Callable[[], bool]] = {
        "text": lambda: line.startswith(f"{config}:1:8: toml-syntax "),
        "json": lambda: json.loads(line)[0]["code"] == "toml-syntax",
        "github": lambda: line.startswith(f"::error file={tmp_path}/x%2Cy.toml,line=1,col=8,title=toml-syntax::"),
    }
    assert expected[form]()


@pytest.mark.parametrize("form", ["text", "json", "github"])
def test_check_warns_of_what_the_quota_cannot_serve(tmp_path: Path, form: str) -> None:
    more = '[notifiers.oncall]\ntype = "webhook"\nurl = { env = "U" }\nsecret = { env = "S" }\n'
    config = write_config(tmp_path, 1, more + '[[tenants]]\nname = "small"\nsources.alerts.every = "1m"\n')
    keys = 'endpoint = "http://127.0.0.1:2"\nop_tenant_id = 2\nedition = "personal"\n'
    keys += 'access_key_id = { env = "ID" }\naccess_key_secret = { env = "S" }\n'
    config.write_text(config.read_text() + keys)
    rules = tmp_path / "a.rules.yaml"
    rules.write_text("\n" + RULE.replace("    do:", "    within: 1m\n    do:"))
    result = typed("check", "--config", config, rules, "--format", form)
    assert result.exit_code == 0
    assert "2 files: 0 errors, 2 warnings" in result.stderr
    expected = {
        "text": [f"{rules}:3:1: quota-polls tell: «within: 1m»", f"{config}:16:16: quota-polls `alerts`: every = "],
        "json": [f'"file": "{rules}", "line": 3, "column": 1', f'"file": "{config}", "line": 16, "column": 16'],
        "github": [f"::warning file={rules},line=3,col=1,title=quota-polls::", f"::warning file={config},line=16,col="],
    }
    for text in expected[form]:
        assert text in result.stdout, result.stdout


def test_check_of_nothing_is_a_no(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = typed("check", tmp_path / "empty")
    assert result.exit_code == 1
    assert "nothing to check" in result.stderr
    assert typed("check", "--config", tmp_path / "none.toml").exit_code == 2


def test_check_reads_no_secret(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "a.rules.yaml").write_text("rules: []\n")
    assert typed("check", "--config", write_config(tmp_path, 1)).exit_code == 0


def test_without_a_config_a_command_says_where_to_get_one() -> None:
    result = typed("status")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "`phinops init`" in result.stderr


@pytest.mark.parametrize("kind", ["events", "firings", "actions"])
def test_lists_come_from_the_daemon(config: Path, kind: str) -> None:
    rows = json.loads(typed(kind, "--json", "--limit", "7", "--tenant", "prod").stdout)
    assert rows == [{"kind": kind.removesuffix("s"), "limit": 7, "tenant": "prod"}]


@pytest.mark.parametrize("kind", ["events", "firings", "actions"])
def test_lists_without_a_daemon_come_from_its_store(tmp_path: Path, kind: str) -> None:
    config = write_config(tmp_path, 1)
    result = typed(kind, "--json")
    assert result.exit_code == 3
    assert "no daemon answers at http://127.0.0.1:1" in result.stderr
    assert not (tmp_path / "phinops.db").exists()
    subprocess.run([sys.executable, "-c", _MAKE_STORE, tmp_path / "phinops.db"], check=True)
    assert json.loads(typed(kind, "--json", "--config", config).stdout) == []
    assert typed(kind).stdout.splitlines()[0].startswith("TIME ")


_MAKE_STORE = """
import sys, anyio
from phinops.record.sqlite import Store
async def make():
    async with Store.open(sys.argv[1]):
        pass
anyio.run(make)
"""


def test_a_store_that_is_held_is_not_read_behind_its_daemon_s_back(tmp_path: Path) -> None:
    write_config(tmp_path, 1)
    program = _MAKE_STORE.replace("pass", "print('open', flush=True); sys.stdin.read()")
    command = [sys.executable, "-c", program, str(tmp_path / "phinops.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        results = [typed("events"), typed("status"), typed("call", "GetMyTenants")]
        holder.kill()
    for result in results:
        assert (result.exit_code, result.stdout) == (3, "")
        assert "no daemon answers" in result.stderr
    assert "is held by process" in results[1].stderr


def test_events_are_told_in_columns(config: Path) -> None:
    lines = typed("events").stdout.splitlines()
    assert lines[0].split() == ["TIME", "TYPE", "TENANT", "WHAT", "ID"]


def test_an_unknown_tenant_is_wrong(config: Path) -> None:
    result = typed("events", "--tenant", "test")
    assert result.exit_code == 2
    assert "no tenant is called «test»: there is prod" in result.stderr


def test_status_shows_sources_and_quota_and_whether_it_is_ready(config: Path) -> None:
    result = typed("status")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "ready"
    assert ["1+2", "7", "50000", "10000"] in [line.split() for line in result.stdout.splitlines()]
    assert json.loads(typed("status", "--json", "--tenant", "prod").stdout) == STATUS


def test_the_quota_is_a_table_with_its_spenders_or_json(config: Path, service: FakeService) -> None:
    result = typed("quota")
    lines = [line.split() for line in result.stdout.splitlines() if line]
    assert result.exit_code == 0
    assert lines[1] == ["prod", "1+2", "9,000", "41,000", "50,000", "10,000", "3,000", "21:00", "00:00"]
    assert " ".join(lines[2]) == "prod 3 no limit 41,000 no limit no limit 3,000 never 00:00"
    assert ["20,500", "50%", "rules", "rerun", "GetPhysicalInstance"] in lines
    assert ["8,200", "20%", "alerts", "-", "ListAlertEvents"] in lines
    assert json.loads(typed("quota", "--json", "--by", "api", "--limit", "3", "--tenant", "prod").stdout)[0] == QUOTA
    assert service.asked == [(None, 10, ""), ("api", 3, "prod")]


@pytest.mark.parametrize(
    ("change", "end"),
    [({"spent": True, "left": 0}, "spent"), ({"runs_out": None}, "not today"), ({"used": 0, "spenders": []}, "21:00")],
)
def test_the_table_of_the_quota_says_how_each_pool_ends(change: dict[str, object], end: str, config: Path) -> None:
    service = FakeService(pools=[{**QUOTA, **change}])
    with answering(service) as port:
        result = typed("quota", "--config", write_config(config.parent, port))
    assert end in result.stdout


def test_a_reload_that_was_accepted_says_what_changed(config: Path) -> None:
    result = typed("reload")
    assert (result.exit_code, result.stdout) == (0, "reloaded: added: a\n")
    assert json.loads(typed("reload", "--json").stdout)["accepted"]


def test_a_reload_tells_each_changed_key_and_what_became_of_what_waited(config: Path, service: FakeService) -> None:
    key = {"key": "for", "old": "6m", "new": "10m"}
    diff = [{"rule": "r", "change": "changed", "keys": [key]}, {"rule": "s", "change": "added", "keys": []}]
    carried = {"waiting": {"kept": 2, "anew": 1}, "windows": {"dropped": 3}}
    names = {"added": ["s"], "removed": [], "changed": ["r"], "restart": ["safety"]}
    service.reloaded = Reloaded(True, (), {**names, "diff": diff, "carried": carried})
    assert typed("reload").stdout.splitlines() == [
        "reloaded: added: s; changed: r; restart: safety",
        "  r: for: 6m -> 10m",
        "  firings that wait: 2 kept, 1 decided anew",
        "  open windows: 3 dropped",
    ]


def test_a_reload_that_was_refused_ends_with_1(config: Path, service: FakeService) -> None:
    service.reloaded = Reloaded(False, (Problem("a.rules.yaml", 3, 7, "unknown-key", "no"),))
    result = typed("reload")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        "a.rules.yaml:3:7: unknown-key no",
        "refused: what is broken stays as it was last good",
    ]


def test_a_reload_without_a_daemon_or_its_token_cannot_be_had(config: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("old\n")
    result = typed("reload")
    assert result.exit_code == 3
    assert "the daemon wants its token" in result.stderr
    assert typed("reload", "--config", write_config(tmp_path, 1)).exit_code == 3


def test_the_kill_switch_is_moved_by_the_daemon(config: Path, service: FakeService) -> None:
    result = typed("pause", "--reason", "a release", "--config", config)
    assert result.exit_code == 0
    assert result.stdout.startswith("no write leaves: paused by ")
    assert result.stdout.endswith(" since 2026-01-05T08:00:00+08:00: a release\n")
    assert typed("resume", "--config", config).stdout == "writes were not paused\n"
    assert [each[0] for each in service.asked] == ["pause", "resume"]
    service.error = StoreError("the disk is full")
    assert typed("pause", "--config", config).exit_code == 3


def test_without_a_daemon_the_kill_switch_is_moved_in_its_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_config(tmp_path, 1)
    monkeypatch.setenv("PHINOPS_TEST_KEY", "k")
    nowhere = typed("pause", "--config", config)
    assert (nowhere.exit_code, "no daemon answers" in nowhere.stderr) == (3, True)
    anyio.run(_make_store, tmp_path / "phinops.db")
    monkeypatch.setenv("SUDO_USER", "ada")
    first = json.loads(typed("pause", "--reason", "a release", "--config", config, "--json").stdout)["paused"]
    assert (first["by"], first["reason"]) == ("ada", "a release")
    monkeypatch.setenv("SUDO_USER", "bob")
    assert json.loads(typed("pause", "--config", config, "--json").stdout)["paused"] == first
    status = typed("status", "--config", config)
    assert f"no write leaves: paused by ada since {first['at']}: a release" in status.stdout
    assert json.loads(typed("status", "--config", config, "--json").stdout)["paused"] == first
    assert "writes leave again; they were paused by ada" in typed("resume", "--config", config).stdout
    assert typed("resume", "--config", config).stdout == "writes were not paused\n"


async def _make_store(path: Path) -> None:
    async with Store.open(path):
        pass


def test_an_undo_shows_the_call_and_asks_first(config: Path, service: FakeService) -> None:
    no = typed("undo", "act_1", answer="n\n")
    assert no.exit_code == 1
    assert "act_1 of freeze is taken back by resume_node n_1 in prod" in no.stderr
    assert 'ResumePhysicalNode {"ResumeCommand": {"ProjectId": 7, "NodeIdList": ["n_1"]}}' in no.stderr
    assert service.asked == ["act_1"]
    yes = typed("undo", "act_1", "--reason", "mended", answer="y\n")
    assert (yes.exit_code, yes.stdout) == (0, "act_1 was taken back by act_2 (verified)\n")
    assert service.asked[-1] == ("act_1", person(), "mended", timedelta(seconds=60))


def test_an_undo_that_is_not_asked_about_is_sent_at_once(config: Path, service: FakeService) -> None:
    assert json.loads(typed("undo", "act_1", "--yes", "--json", "--wait", "5s").stdout) == UNDONE
    assert service.asked == [("act_1", person(), "", timedelta(seconds=5))]


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        ({"outcome": "timed_out", "reason": "not there"}, 0, "was taken back by act_2 (timed_out): not there"),
        ({"outcome": "skipped", "reason": "somebody"}, 1, "was not taken back (skipped): somebody"),
        ({"outcome": "refused", "state": "failed", "reason": "no"}, 1, "was not taken back (refused): no"),
        ({"outcome": "unknown", "state": "needs_decision"}, 3, "was not taken back (unknown)"),
        (
            {"outcome": "", "state": "settling", "undone_by": ""},
            3,
            "is being taken back by fi_2: see `phinops actions`",
        ),
    ],
)
def test_an_undo_says_what_came_of_it(
    config: Path, service: FakeService, more: dict[str, str], code: int, said: str
) -> None:
    service.undone = {**UNDONE, **more}
    result = typed("undo", "act_1", "--yes")
    assert (result.exit_code, result.stdout) == (code, f"act_1 {said}\n")


@pytest.mark.parametrize(
    ("error", "code"),
    [(LookupError("no action «x» is on record"), 1), (NotUndone("it is over"), 1), (QuotaSpent("spent"), 3)],
)
def test_an_undo_that_cannot_be_says_why(config: Path, service: FakeService, error: Exception, code: int) -> None:
    service.error = error
    for more in ((), ("--yes",)):
        result = typed("undo", "act_1", *more)
        assert (result.exit_code, result.stdout, result.stderr) == (code, "", f"phinops: {error}\n")


@pytest.mark.parametrize("name", ["act/../1", "", "a b", "act_1?x", "../../pause"])
def test_what_is_no_id_is_not_asked_for(config: Path, service: FakeService, name: str) -> None:
    result = typed("undo", name, "--yes")
    assert (result.exit_code, result.stderr) == (1, f"phinops: no action «{name}» is on record\n")
    assert service.asked == []


def test_leases_are_told_in_columns(config: Path) -> None:
    heading, row = typed("leases").stdout.splitlines()
    assert heading.split()[:4] == ["NODE", "PROJECT", "STATE", "DUE"]
    assert row.split()[:3] == ["n_1", "7", "running"]


def test_a_call_goes_through_the_daemon(config: Path, service: FakeService) -> None:
    result = typed(
        "call",
        "ListProjects",
        'ListQuery={"Keyword": "a=b"}',
        "OpUserId=a=b",
        "--data",
        '{"OpUserId": "x"}',
        "--wait",
        "1s",
    )
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"Code": "OK"})
    ((api, params, wait, tenant),) = service.asked
    assert (api, params, wait.total_seconds(), tenant) == (
        "ListProjects",
        {"ListQuery": {"Keyword": "a=b"}, "OpUserId": "a=b"},
        1.0,
        "prod",
    )


WRITE = ("call", "OperateInstance", "--data", json.dumps({"OperateCommand": {
    "ProjectId": 1, "Operation": "RERUN", "InstanceIdList": [{"Id": "t_1"}]}}))  # fmt: skip


def test_a_write_asks_first(config: Path, service: FakeService) -> None:
    refused = typed(*WRITE, answer="n\n")
    assert (refused.exit_code, refused.stdout, service.asked) == (1, "", [])
    assert "OperateInstance changes tenant prod: send it?" in refused.stderr
    assert typed(*WRITE, answer="y\n").exit_code == 0
    assert typed(*WRITE, "--yes").exit_code == 0
    assert len(service.asked) == 2


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["ListProject"], "did you mean «ListProjects»?"),
        (["ListProjects", "PageSise=1"], "has no parameter «PageSise»"),
        (["OperateInstance", "--yes"], "needs OperateCommand"),
        (["OperateInstance", "OperateCommand={", "--yes"], "OperateCommand wants an object"),
    ],
)
def test_a_call_that_cannot_be_right_is_refused_before_it_is_sent(
    config: Path, service: FakeService, arguments: list[str], part: str
) -> None:
    result = typed("call", *arguments)
    assert (result.exit_code, result.stdout, service.asked) == (1, "", [])
    assert part in result.stderr


def test_an_api_that_the_edition_lacks_is_refused(config: Path, service: FakeService) -> None:
    config.write_text(config.read_text().replace('"basic"', '"agile"'))
    entries = json.loads(typed("catalog", "--json").stdout)
    dear = next(each["api"] for each in entries if each["edition"] == "basic")
    result = typed("call", dear)
    assert (result.exit_code, service.asked) == (1, [])
    assert "edition agile does not have it, basic does" in result.stderr


@pytest.mark.parametrize("arguments", [["X"], ["=1"], ["--data", "{"], ["--data", "[]"], ["--wait", "5"]])
def test_a_call_that_is_spelled_wrong_is_wrong_usage(config: Path, arguments: list[str]) -> None:
    assert typed("call", "ListProjects", *arguments).exit_code == 2


@pytest.mark.parametrize(
    ("error", "code"), [(Forbidden("ListProjects", "c", "no right"), 1), (QuotaSpent("its turn did not come"), 3)]
)
def test_a_call_that_failed_says_so(config: Path, service: FakeService, error: Exception, code: int) -> None:
    service.error = error
    result = typed("call", "GetMyTenants")
    assert (result.exit_code, result.stdout) == (code, "")
    assert str(error) in result.stderr


def test_several_tenants_must_be_told_apart(config: Path, service: FakeService) -> None:
    other = config.read_text().partition("[server]")[0].replace('"prod"', '"test"')
    config.write_text(config.read_text() + other)
    result = typed("call", "GetMyTenants")
    assert result.exit_code == 2
    assert "say which with --tenant (prod, test)" in result.stderr
    assert typed("call", "GetMyTenants", "--tenant", "test").exit_code == 0


def test_the_daemon_is_reached_at_an_address_of_this_machine() -> None:
    token = Secret(env="T")
    assert address_of(Server()) == "http://127.0.0.1:8642"
    assert address_of(Server(listen="[::]:80", token=token)) == "http://[::1]:80"
    assert address_of(Server(listen="0.0.0.0:80", token=token)) == "http://127.0.0.1:80"


def test_what_is_not_phinops_is_told_apart(tmp_path: Path) -> None:
    import http.server
    import threading

    with http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as other:
        thread = threading.Thread(target=other.handle_request)
        thread.start()
        write_config(tmp_path, other.server_address[1])
        result = typed("reload")
        thread.join()
    assert result.exit_code == 3
    assert "something else than phinops answers" in result.stderr


def test_notices_are_listed_and_sent_again_by_the_daemon(service: FakeService, config: Path) -> None:
    assert json.loads(typed("notices", "--state", "dead", "--json", "--config", config).stdout)[0]["id"] == "msg_1"
    assert "msg_1" in typed("notices", "--config", config).stdout
    assert typed("notices", "resend", "msg_1", "--config", config).stdout == "on the way again: msg_1\n"
    assert typed("notices", "resend", "--all", "--config", config).exit_code == 0
    nothing = typed("notices", "resend", "msg_2", "--config", config)
    assert (nothing.exit_code, nothing.stderr) == (1, "phinops: there is no dead notice «msg_2»\n")
    assert typed("notices", "resend", "--config", config).exit_code == 2
    assert [each for each in service.asked if each[0] == "notices"] == [
        ("notices", 100, "dead", ""),
        ("notices", 100, "", ""),
    ]


async def _a_dead_notice(folder: Path) -> None:
    async with Store.open(folder / "phinops.db") as store:
        await store.write(lambda tx: journal.put_notice(tx, "msg_1", None, 0, "oncall", {"title": "x"}))
        await store.write(lambda tx: outbox.bury(tx, "msg_1", "HTTP 404", {}))


def test_without_a_daemon_notices_are_listed_and_sent_again_in_the_store(tmp_path: Path) -> None:
    anyio.run(_a_dead_notice, tmp_path)
    config = write_config(tmp_path, 1)
    (row,) = json.loads(typed("notices", "--json", "--config", config).stdout)
    assert (row["id"], row["state"], row["error"]) == ("msg_1", "dead", "HTTP 404")
    assert typed("notices", "resend", "--all", "--config", config).exit_code == 0
    assert json.loads(typed("notices", "--json", "--config", config).stdout)[0]["state"] == "ready"
