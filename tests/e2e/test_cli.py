"""Every command as a process: exit codes, what goes to stdout, the shapes of JSON, and what is said to mistakes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

PHINOPS = (sys.executable, "-m", "phinops")

RULES = """\
rules:
  - id: rerun
    on: instance.failed
    if: event.instance.attempts < 9
    mode: armed
    do:
      - rerun_instance: {}
        verify: { within: 30m }
  - id: tell
    on: instance.failed
    do:
      - notify: { to: oncall, message: "{{ event.node.name }} failed" }
"""

CONFIG = """\
[server]
listen = "127.0.0.1:{port}"

[[tenants]]
name = "prod"
endpoint = "{url}"
op_tenant_id = {op_tenant_id}
edition = "{edition}"
access_key_id = {{ file = "key.id" }}
access_key_secret = {{ file = "key.secret" }}
[tenants.sources]
instances = {{ every = "1s" }}

[notifiers.oncall]
type = "webhook"
url = {{ env = "ONCALL_URL" }}
secret = {{ env = "ONCALL_SECRET" }}
"""

NOBODY = {"url": "http://127.0.0.1:1", "op_tenant_id": 30001011, "access_key_id": "k", "access_key_secret": "s"}

WRITE = json.dumps(
    {"OperateCommand": {"ProjectId": 1, "Operation": "RERUN", "InstanceIdList": [{"Id": "t_1"}]}}
)  # there is no such project


@dataclass(frozen=True, slots=True)
class Place:
    """A folder with a config, in which commands are given."""

    folder: Path
    port: int

    @property
    def config(self) -> Path:
        return self.folder / "phinops.toml"

    def phinops(self, *arguments: str, within: float = 60) -> subprocess.CompletedProcess[str]:
        """The command to its end; nobody sits at the terminal."""
        return subprocess.run(
            [*PHINOPS, *arguments],
            cwd=self.folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=within,
        )

    def json(self, *arguments: str, code: int = 0) -> Any:
        """What `--json` prints."""
        done = self.phinops(*arguments, "--json")
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        log = self.folder / f"{arguments[0]}.log"
        with log.open("ab") as stderr:
            return subprocess.Popen(
                [*PHINOPS, *arguments],
                cwd=self.folder,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "PHINOPS", "DATAPHIN"))}
    return {
        **kept,
        "ONCALL_URL": "http://127.0.0.1:9/",
        "ONCALL_SECRET": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    }


def make_place(folder: Path, dataphin: Mapping[str, Any] = NOBODY, *, edition: str = "basic", more: str = "") -> Place:
    """A folder with config, keys and rules for a daemon on a free port."""
    (folder / "rules").mkdir(parents=True)
    (folder / "rules" / "all.rules.yaml").write_text(RULES)
    for name in ("id", "secret"):
        path = folder / f"key.{name}"
        path.touch(0o600)
        path.write_text(dataphin[f"access_key_{name}"])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    place = Place(folder, port)
    place.config.write_text(CONFIG.format(port=port, **{**dataphin, "edition": edition}) + more)
    return place


def wait_for(condition: Callable[[], object], what: str, within: float = 60) -> None:
    until = time.monotonic() + within
    while not condition():
        assert time.monotonic() < until, f"not within {within} s: {what}"


def end(process: subprocess.Popen[str], how: signal.Signals = signal.SIGTERM) -> int:
    """The exit code after a signal."""
    process.send_signal(how)
    try:
        return process.wait(30)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def dataphin(tmp_path_factory: pytest.TempPathFactory) -> Generator[dict[str, Any]]:
    """`phinops simulate`; what it says when it listens."""
    process = Place(tmp_path_factory.mktemp("simulate"), 0).start("simulate", "--seed", "7")
    assert process.stdout is not None
    yield json.loads(process.stdout.readline())
    assert end(process, signal.SIGINT) == 0


@pytest.fixture(scope="module")
def running(dataphin: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Generator[Place]:
    """`phinops run`, ready, with an action that was verified."""
    place = make_place(tmp_path_factory.mktemp("run") / "ops", dataphin)
    process = place.start("run")
    try:
        wait_for(lambda: place.phinops("status").returncode == 0, "the daemon is ready")
        wait_for(lambda: '"verified"' in place.phinops("actions", "--json").stdout, "an action is verified")
        yield place
    finally:
        code = end(process)
    assert code == 0
    assert "Traceback" not in (place.folder / "run.log").read_text()


# What the daemon that runs is asked


def test_status_is_one_object_of_the_promised_shape(running: Place) -> None:
    status = running.json("status")
    assert {"ready", "reasons", "tenants"} <= status.keys()
    assert (status["ready"], status["reasons"]) == (True, [])
    (tenant,) = status["tenants"]
    assert tenant["name"] == "prod"
    by_name = {source["name"]: source for source in tenant["sources"]}
    assert by_name.keys() == {"alerts", "instances", "impacts"}
    assert all({"name", "state", "last_good", "interval_s"} <= source.keys() for source in tenant["sources"])
    assert by_name["instances"]["interval_s"] == 1.0
    assert datetime.fromisoformat(by_name["instances"]["last_good"]).tzinfo is not None
    assert [set(pool) for pool in tenant["quota"]] == [{"pool", "used", "limit", "reserve"}] * 2
    pools = {pool["pool"]: (pool["limit"], pool["reserve"]) for pool in tenant["quota"]}
    assert pools == {"1+2": (50_000, 10_000), "3": (10_000, 2_000)}
    assert next(pool["used"] for pool in tenant["quota"] if pool["pool"] == "1+2") > 0


def test_events_are_newest_first_with_all_that_rules_can_read(running: Place) -> None:
    events = running.json("events")
    failed = next(event for event in events if event["type"] == "instance.failed")
    assert set(failed) == {
        "id", "type", "time", "tenant", "source", "project", "raw", "caused_by", "instance", "node",
    }  # fmt: skip
    assert set(failed["project"]) == {"id", "name"}
    assert set(failed["instance"]) == {
        "id", "status", "previous_status", "biz_date", "due_time", "started_at", "ended_at", "duration_s", "attempts",
        "paused",
    }  # fmt: skip
    assert set(failed["node"]) == {
        "id", "name", "type", "sub_type", "priority", "owners", "schedule_period", "paused",
    }  # fmt: skip
    assert isinstance(failed["instance"]["id"], str)
    assert datetime.fromisoformat(failed["time"]).tzinfo is not None


def test_firings_and_actions_have_the_promised_shape_and_belong_together(running: Place) -> None:
    actions, firings, events = (running.json(kind, "--limit", "1000") for kind in ("actions", "firings", "events"))
    assert {frozenset(each) for each in firings} == {
        frozenset({"id", "time", "rule", "event_id", "mode", "state", "reason"})
    }
    assert {frozenset(each) for each in actions} == {
        frozenset({"id", "firing_id", "step", "api", "target", "outcome", "request_id", "time"})
    }
    verified = next(each for each in actions if each["outcome"] == "verified")
    assert verified["api"] == "OperateInstance"
    assert verified["request_id"]
    firing = next(each for each in firings if each["id"] == verified["firing_id"])
    assert (firing["rule"], firing["mode"]) == ("rerun", "armed")
    assert firing["event_id"] in {each["id"] for each in events}
    for rows in (actions, firings):
        times = [datetime.fromisoformat(each["time"]) for each in rows]
        assert times == sorted(times, reverse=True)


@pytest.mark.parametrize("kind", ["events", "firings", "actions"])
def test_lists_obey_limit_and_tenant(running: Place, kind: str) -> None:
    assert len(running.json(kind, "--limit", "1", "--tenant", "prod")) == 1
    nobody = running.phinops(kind, "--tenant", "test")
    assert (nobody.returncode, nobody.stdout) == (2, "")
    assert "there is prod" in nobody.stderr
    assert running.phinops(kind, "--limit", "none").returncode == 2
    heading = running.phinops(kind, "--limit", "1").stdout.splitlines()[0]
    assert heading.startswith("TIME")


def test_a_reload_takes_in_what_is_sound_and_says_no_to_what_is_not(running: Place) -> None:
    assert running.phinops("reload").stdout.splitlines()[0] == "reloaded: nothing changed"
    extra = running.folder / "rules" / "more.rules.yaml"
    text = 'rules:\n  - id: more\n    on: alert.opened\n    do: [{ notify: { to: oncall, message: "x" } }]\n'
    extra.write_text(text)
    assert running.json("reload")["changed"]["added"] == ["more"]
    extra.write_text(text.replace("alert.opened", "alert.open"))
    refused = running.phinops("reload")
    assert (refused.returncode, "reloaded" in refused.stdout) == (1, False)
    assert re.search(r"^rules/more\.rules\.yaml:3:9: |more\.rules\.yaml:3:9: ", refused.stderr, re.MULTILINE)
    assert running.json("reload", code=1)["accepted"] is False
    extra.unlink()
    assert running.json("reload")["changed"]["removed"] == ["more"]


def test_a_second_daemon_on_the_same_store_is_turned_away(running: Place, tmp_path: Path) -> None:
    same_port = running.phinops("run")
    assert same_port.returncode == 3
    assert "cannot listen" in same_port.stderr
    text = running.config.read_text().replace(f":{running.port}", ":0")
    other = running.folder / "other.toml"
    other.write_text(text)
    same_store = running.phinops("run", "--config", str(other))
    assert same_store.returncode == 3
    assert "phinops.db" in same_store.stderr


# Calls


def test_a_read_prints_the_reply(running: Place) -> None:
    done = running.phinops("call", "GetMyTenants")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["Code"] == "OK"


def test_a_write_without_yes_and_nobody_to_ask_is_not_sent(running: Place) -> None:
    done = running.phinops("call", "OperateInstance", "--data", WRITE)
    assert (done.returncode, done.stdout) == (1, "")
    assert "send it?" in done.stderr
    assert not [each for each in running.json("actions", "--limit", "1000") if each["target"] == "t_1"]


def test_a_write_that_dataphin_refuses_says_its_code_and_is_journalled(running: Place) -> None:
    done = running.phinops("call", "OperateInstance", "--data", WRITE, "--yes")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(r"^phinops: OperateInstance: DPN\.\S+: .*\(RequestId \S+\)$", done.stderr.strip()), done.stderr
    newest = next(each for each in running.json("actions", "--limit", "1000") if each["target"] == "t_1")
    assert (newest["api"], newest["outcome"]) == ("OperateInstance", "refused")
    assert newest["request_id"] in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("GetMyTenant",), "did you mean «GetMyTenants»?"),
        (("GetProject", "Id=abc"), "Id wants an integer, got 'abc'"),
        (("GetProject",), "needs Id"),
        (("GetProject", "Id=1", "Idd=1"), "no parameter «Idd»: did you mean «Id»?"),
        (("OperateInstance", "--yes", "OperateCommand={}"), "needs"),
    ],
)
def test_a_call_that_cannot_be_right_is_not_sent(running: Place, arguments: tuple[str, ...], said: str) -> None:
    done = running.phinops("call", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert "not sent" in done.stderr
    assert said in done.stderr


def test_a_call_that_is_spelt_wrong_is_wrong_usage(running: Place) -> None:
    for arguments in (("GetProject", "Id"), ("GetProject", "--data", "{"), ("GetProject", "--wait", "5")):
        assert running.phinops("call", *arguments).returncode == 2
    assert running.phinops("call").returncode == 2


def test_an_api_above_the_edition_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    place = make_place(tmp_path / "ops", edition="agile")
    done = place.phinops("call", "GetDataServiceMyProjects")
    assert (done.returncode, done.stdout) == (1, "")
    assert "edition agile does not have it, basic does" in done.stderr
    assert not (place.folder / "phinops.db").exists()


def test_a_call_whose_turn_does_not_come_or_that_reaches_nobody_ends_with_3(running: Place, tmp_path: Path) -> None:
    late = running.phinops("call", "GetMyTenants", "--wait", "0s")
    assert (late.returncode, late.stdout) == (3, "")
    assert "deadline" in late.stderr
    unreachable = make_place(tmp_path / "ops").phinops("call", "GetMyTenants", "--wait", "2s")
    assert (unreachable.returncode, unreachable.stdout) == (3, "")


def test_a_call_without_a_daemon_is_made_all_the_same_and_counted(dataphin: dict[str, Any], tmp_path: Path) -> None:
    place = make_place(tmp_path / "ops", dataphin)
    assert json.loads(place.phinops("call", "GetMyTenants").stdout)["Success"]
    status = place.json("status", code=1)
    assert status["reasons"] == ["no daemon is running"]
    assert status["tenants"][0]["quota"][0]["used"] == 1


# Without a daemon


def test_nothing_that_answers_and_no_store_is_told_with_3(tmp_path: Path) -> None:
    silent = make_place(tmp_path / "ops")
    for command in ("status", "events", "firings", "actions", "quota", "reload"):
        done = silent.phinops(command)
        assert (done.returncode, done.stdout) == (3, ""), command
        assert f"no daemon answers at http://127.0.0.1:{silent.port}" in done.stderr
    assert not (silent.folder / "phinops.db").exists()


def test_lists_of_a_stopped_daemon_come_from_its_store(dataphin: dict[str, Any], tmp_path: Path) -> None:
    place = make_place(tmp_path / "ops", dataphin)
    process = place.start("run", "--shadow")
    try:
        wait_for(lambda: "shadow" in place.phinops("actions", "--json").stdout, "a step is done in shadow")
    finally:
        assert end(process) == 0
    assert [each["type"] for each in place.json("events", "--limit", "1")] == ["instance.failed"]
    assert {each["mode"] for each in place.json("firings")} == {"shadow"}
    assert {each["outcome"] for each in place.json("actions")} == {"shadow"}
    assert place.phinops("reload").returncode == 3
    (shadow, *_) = place.json("actions")
    for name, why in ((shadow["id"], "cannot be taken back"), ("act_nobody", "no action «act_nobody» is on record")):
        done = place.phinops("undo", name, "--yes")
        assert (done.returncode, done.stdout) == (1, "")
        assert why in done.stderr


# The config


def test_a_config_that_is_missing_is_told_with_2(tmp_path: Path) -> None:
    place = Place(tmp_path, 0)
    for command in (("run",), ("status",), ("events",), ("reload",), ("call", "GetMyTenants")):
        done = place.phinops(*command)
        assert (done.returncode, done.stdout) == (2, ""), command
        assert "no config" in done.stderr
        assert place.phinops(*command, "--config", "none.toml").returncode == 2


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('edition = "basic"', 'edition = "basic"\nedittion = "basic"', r"phinops\.toml:9:1: .*did you mean .edition"),
        ('edition = "basic"', 'edition = "bassic"', r"phinops\.toml:8:\d+: .*basic"),
        ("[server]", "[servers]", r"phinops\.toml:1:1: .*did you mean .server"),
        ('endpoint = "http://127.0.0.1:1"', 'endpoint = "http://example.com"', r"phinops\.toml:6:\d+: .*https"),
        ('instances = { every = "1s" }', 'instances = { every = "1" }', r"phinops\.toml:12:\d+: .*"),
        ("[server]", "[server", r"phinops\.toml:1:\d+: toml-syntax"),
    ],
)
def test_a_mistake_in_the_config_is_told_in_its_place(tmp_path: Path, old: str, new: str, said: str) -> None:
    place = make_place(tmp_path / "ops")
    text = place.config.read_text()
    assert old in text
    place.config.write_text(text.replace(old, new))
    for command, code in (("run", 2), ("status", 2), ("check", 1)):
        done = place.phinops(command)
        assert done.returncode == code, done.stderr
        assert re.search(said, done.stdout + done.stderr), done.stdout + done.stderr


def test_a_secret_that_all_may_read_and_a_role_s_key_are_turned_down(tmp_path: Path) -> None:
    place = make_place(tmp_path / "ops")
    secret = place.folder / "key.secret"
    secret.chmod(0o644)
    for command in (("run",), ("call", "GetMyTenants")):
        done = place.phinops(*command)
        assert (done.returncode, done.stdout) == (2, "")
        assert "key.secret" in done.stderr
        assert "chmod" in done.stderr
    secret.chmod(0o600)
    (place.folder / "key.id").write_text("STS.NTabc")
    for command in (("run",), ("call", "GetMyTenants")):
        done = place.phinops(*command)
        assert (done.returncode, done.stdout) == (2, "")
        assert "STS." in done.stderr
        assert "STS.NTabc" not in done.stderr
    (place.folder / "key.id").unlink()
    assert place.phinops("run").returncode == 2
    assert place.phinops("check").returncode == 0


def test_run_stays_up_where_dataphin_cannot_be_reached_and_rules_are_broken(tmp_path: Path) -> None:
    place = make_place(tmp_path / "ops")
    (place.folder / "rules" / "broken.rules.yaml").write_text("rules:\n  - id: [\n")
    process = place.start("run")
    try:
        wait_for(lambda: "stock" in place.phinops("status").stdout, "it says that it is not ready, and why")
        status = place.json("status", code=1)
        assert not status["ready"]
        assert any("instances of prod" in reason for reason in status["reasons"])
        assert [each["type"] for each in place.json("events")] == ["rule.quarantined"]
        assert process.poll() is None
    finally:
        assert end(process) == 0


# What needs neither daemon nor config


def test_the_catalog_is_sorted_and_of_the_promised_shape(tmp_path: Path) -> None:
    place = Place(tmp_path, 0)
    apis = place.json("catalog")
    assert [each["api"] for each in apis] == sorted(each["api"] for each in apis)
    assert len(apis) == 376
    for each in apis:
        assert set(each) == {"api", "level", "edition", "section", "group", "parameters"}
        assert each["level"] in (1, 2, 3, None)
        assert each["edition"] in ("agile", "basic", "intelligent", None)
        for parameter in each["parameters"]:
            assert set(parameter) == {"name", "type", "required", "in"}
            assert parameter["in"] in ("query", "form")
    assert [each["api"] for each in place.json("catalog", "OperateInstance")] == ["OperateInstance"]
    unknown = place.phinops("catalog", "GetMyTennants", "--json")
    assert unknown.returncode == 1
    assert json.loads(unknown.stdout) == []
    assert "GetMyTenants" in unknown.stderr


def test_simulate_gives_the_same_tenant_for_the_same_seed(dataphin: dict[str, Any], tmp_path: Path) -> None:
    place = Place(tmp_path, 0)
    said = []
    for seed in ("7", "8"):
        process = place.start("simulate", "--seed", seed, "--edition", "agile")
        assert process.stdout is not None
        said.append(json.loads(process.stdout.readline()))
        assert end(process) == 0
    keys = ("op_tenant_id", "access_key_id", "access_key_secret")
    assert set(said[0]) == {"url", "edition", *keys}
    assert said[0]["edition"] == "agile"
    assert [said[0][key] for key in keys] == [dataphin[key] for key in keys]
    assert said[1]["access_key_id"] != dataphin["access_key_id"]


@pytest.mark.parametrize(
    "arguments",
    [("--edition", "bassic"), ("--port", "-1"), ("--scenario", "none"), ("--scenario", "none.yaml"), ("--seed", "x")],
)
def test_simulate_with_what_there_is_not_is_wrong_usage(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = Place(tmp_path, 0).phinops("simulate", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_simulate_writes_its_keys_for_a_shell_that_nobody_else_reads(tmp_path: Path) -> None:
    place = Place(tmp_path, 0)
    process = place.start("simulate", "--keys", "keys.sh")
    assert process.stdout is not None
    said = json.loads(process.stdout.readline())
    assert end(process) == 0
    shown = subprocess.run(
        ["sh", "-c", ". ./keys.sh; env"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"]},
    ).stdout.splitlines()
    assert f"DATAPHIN_ACCESS_KEY_ID={said['access_key_id']}" in shown
    assert f"DATAPHIN_ACCESS_KEY_SECRET={said['access_key_secret']}" in shown
    assert (tmp_path / "keys.sh").stat().st_mode & 0o777 == 0o600
    refused = place.phinops("simulate", "--keys", "nowhere/keys.sh")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "nowhere/keys.sh" in refused.stderr


def test_simulate_on_a_taken_port_cannot_listen(dataphin: dict[str, Any], tmp_path: Path) -> None:
    done = Place(tmp_path, 0).phinops("simulate", "--port", dataphin["url"].rpartition(":")[2])
    assert done.returncode == 3
    assert "cannot listen" in done.stderr


def test_what_init_writes_is_sound_and_nothing_is_written_over(tmp_path: Path) -> None:
    place = Place(tmp_path, 0)
    assert place.phinops("init", "ops").returncode == 0
    ops = Place(tmp_path / "ops", 0)
    assert ops.config.is_file()
    checked = ops.phinops("check")
    assert (checked.returncode, checked.stdout) == (0, ""), checked.stdout + checked.stderr
    everything = ops.phinops("check", ".")
    assert (everything.returncode, everything.stdout) == (0, ""), everything.stdout + everything.stderr
    ops.config.write_text("# mine\n")
    assert place.phinops("init", "ops").returncode == 0
    assert ops.config.read_text() == "# mine\n"
    nowhere = place.phinops("init", "/proc/ops")
    assert nowhere.returncode == 2
    assert "cannot write /proc/ops" in nowhere.stderr


def test_check_tells_places_and_ends_with_1(tmp_path: Path) -> None:
    good = make_place(tmp_path / "good").phinops("check")
    (warning,) = good.stdout.splitlines()  # the place polls every second, for which no day has the calls
    assert (good.returncode, warning.split()[1], warning[-10:]) == (0, "quota-polls", " (warning)")
    (tmp_path / "a.rules.yaml").write_text("rules:\n  - id: a\n    on: instance.fialed\n    do: [{ pause: {} }]\n")
    place = Place(tmp_path, 0)
    text = place.phinops("check", "a.rules.yaml")
    assert text.returncode == 1
    lines = text.stdout.splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["a.rules.yaml:3:9", "a.rules.yaml:4:12"]
    assert all(re.match(r"\S+:\d+:\d+: [a-z-]+ \S", line) for line in lines)
    assert "notifiers, hooks and edition were not checked" in text.stderr
    problems = json.loads(place.phinops("check", "a.rules.yaml", "--format", "json").stdout)
    assert [(each["line"], each["column"]) for each in problems] == [(3, 9), (4, 12)]
    github = place.phinops("check", "a.rules.yaml", "--format", "github").stdout.splitlines()
    assert github[0].startswith("::error file=a.rules.yaml,line=3,col=9")
    (tmp_path / "empty").mkdir()
    assert place.phinops("check", "empty").returncode == 1
    assert place.phinops("check", "nowhere").returncode == 1
    assert place.phinops("check", "--format", "xml").returncode == 2


def test_a_demo_of_a_few_seconds_ends_with_its_summary(tmp_path: Path) -> None:
    done = Place(tmp_path, 0).phinops("demo", "--for", "8s", "--json")
    summary = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0, done.stderr
    assert set(summary) == {"seconds", "events", "firings", "actions", "nodes_paused", "notices", "calls", "refused"}
    assert set(summary["actions"]) == {"verified", "accepted", "failed", "unknown"}
    assert set(summary["notices"]) == {"sent", "dead"}
    assert set(summary["calls"]) == {"1", "2", "3"}
    assert summary["actions"]["verified"] >= 1
    assert summary["refused"] == 0
    assert list(tmp_path.iterdir()) == []


def test_the_overview_and_its_mistakes(tmp_path: Path) -> None:
    place = Place(tmp_path, 0)
    overview = place.phinops("--help")
    assert overview.returncode == 0
    for command in ("demo", "run", "check", "call", "catalog", "simulate", "status", "reload", "init"):
        assert f"  {command} " in overview.stdout
    for wrong in ((), ("statsu",), ("status", "--jsn"), ("check", "--format"), ("demo", "--speed", "0")):
        assert place.phinops(*wrong).returncode == 2, wrong


def test_a_demo_without_an_end_sums_up_when_it_is_interrupted(tmp_path: Path) -> None:
    process = Place(tmp_path, 0).start("demo", "--json")
    wait_for(lambda: "verified" in (tmp_path / "demo.log").read_text(), "an action is verified")
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert json.loads(said.splitlines()[-1])["actions"]["verified"] >= 1
