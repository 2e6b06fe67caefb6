"""The unit, started for real: systemd boots in private namespaces, and phinops runs in it against the simulator."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from typing import Any

import pytest

from machine import ROOT, Machine, NoMachine, booted

pytestmark = pytest.mark.systemd

URL = "http://127.0.0.1:8099"
REQUIRED = os.environ.get("PHINOPS_REQUIRE_SYSTEMD") == "1"

SCENARIO = """\
description: One failure, and the answer to its rerun is lost.
projects:
  retail_dw:
    id: 131001
    nodes:
      ods_orders: {at: "00:00", duration: 3s}
      dws_orders_1d: {at: "00:00", duration: 3s, upstream: [ods_orders]}
incidents:
  one: {node: dws_orders_1d, fails: 1, after: -60s}
faults:
  lost: {kind: hang_after, api: OperateInstance, count: 1}
"""

SIMULATOR = """\
[Service]
ExecStart=phinops simulate --port 8099 --scenario /etc/simulator.yaml
StandardOutput=file:/run/simulator.json
"""

CONFIG = """\
[[tenants]]
name = "prod"
endpoint = "http://127.0.0.1:8099"
op_tenant_id = 30001011
edition = "basic"
access_key_id = { credential = "key-id" }
access_key_secret = { credential = "key-secret" }
timeout = "4s"
settle_after = "4s"

[tenants.sources]
instances = { every = "1s" }

[rules]
paths = ["rules"]
"""

RULE = """\
rules:
  - id: rerun
    on: instance.failed
    mode: armed
    do:
      - rerun_instance: {}
        verify: { within: 10m }
"""

DROP_IN = """\
[Service]
RestartSec=200ms
LoadCredential=key-id:/etc/phinops/credentials/key-id
LoadCredential=key-secret:/etc/phinops/credentials/key-secret
"""


def _files() -> dict[str, tuple[str, int]]:
    unit = (ROOT / "systemd" / "phinops.service").read_text(encoding="utf-8")
    start = '#!/bin/sh\nexec /opt/phinops/bin/phinops "$@"\n'
    return {
        "/etc/systemd/system/phinops.service": (unit, 0o644),
        "/etc/systemd/system/phinops.service.d/test.conf": (DROP_IN, 0o644),
        "/etc/systemd/system/simulator.service": (SIMULATOR, 0o644),
        "/etc/simulator.yaml": (SCENARIO, 0o644),
        "/etc/phinops/phinops.toml": (CONFIG, 0o644),
        "/etc/phinops/rules/first.rules.yaml": (RULE, 0o644),
        "/usr/local/bin/phinops": (start, 0o755),
    }


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Generator[Machine]:
    try:
        with booted(tmp_path_factory.mktemp("machine"), _files()) as machine:
            _start_simulator(machine)
            yield machine
    except NoMachine as error:
        if REQUIRED:
            raise
        pytest.skip(f"no private systemd here: {error}")


def _start_simulator(machine: Machine) -> None:
    machine.ok("systemctl", "start", "simulator")
    machine.wait_for(lambda: "access_key_secret" in machine.run("cat", "/run/simulator.json").out)
    key = json.loads(machine.ok("cat", "/run/simulator.json"))
    machine.ok("install", "-d", "-m", "700", "/etc/phinops/credentials")
    for name in ("id", "secret"):
        machine.write(f"/etc/phinops/credentials/key-{name}", key[f"access_key_{name}"] + "\n")
        machine.ok("chmod", "600", f"/etc/phinops/credentials/key-{name}")


def simulated(machine: Machine) -> dict[str, Any]:
    """The simulator's own counters."""
    program = f"import urllib.request as r; print(r.urlopen('{URL}/_simulator').read().decode())"
    found: dict[str, Any] = json.loads(machine.ok("/opt/phinops/bin/python", "-c", program))
    return found


def actions(machine: Machine) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(machine.ok("phinops", "actions", "--json"))
    return found


def main_pid(machine: Machine) -> str:
    return machine.show("phinops", "MainPID")


def restarts(machine: Machine) -> int:
    """How often systemd has started the service anew by itself."""
    return int(machine.show("phinops", "NRestarts"))


def started_anew(machine: Machine, seen: int) -> bool:
    """Whether systemd has started the service anew since it had done so `seen` times, and it is up."""
    return restarts(machine) > seen and machine.show("phinops", "ActiveState") == "active"


def test_the_unit_is_sound_and_hardened(machine: Machine) -> None:
    verified = machine.run("systemd-analyze", "verify", "/etc/systemd/system/phinops.service")
    assert (verified.code, verified.err) == (0, "")
    scored = machine.run(
        "systemd-analyze", "security", "--offline=true", "--threshold=11", "/etc/systemd/system/phinops.service"
    )
    assert scored.code == 0, scored.out


def test_a_start_waits_until_stock_was_taken(machine: Machine) -> None:
    machine.ok("systemctl", "start", "phinops")
    assert machine.show("phinops", "ActiveState") == "active"
    assert machine.show("phinops", "StatusText") == "ready"
    assert machine.run("phinops", "status").code == 0


def test_the_service_has_a_user_of_its_own_and_no_rights(machine: Machine) -> None:
    status = machine.ok("cat", f"/proc/{main_pid(machine)}/status")
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert 61184 <= int(facts["Uid"].split()[0]) <= 65519
    assert (int(facts["CapBnd"], 16), facts["NoNewPrivs"], facts["Seccomp"]) == (0, "1", "2")


def test_secrets_come_as_credentials_and_are_told_nowhere(machine: Machine) -> None:
    key = json.loads(machine.ok("cat", "/run/simulator.json"))
    assert simulated(machine)["calls"]
    environment = machine.ok("cat", f"/proc/{main_pid(machine)}/environ")
    log = machine.journal("phinops")
    for secret in (key["access_key_id"], key["access_key_secret"]):
        assert secret not in environment
        assert secret not in log
    ours = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert "daemon.ready" in [line["event"] for line in ours]


def test_killed_with_a_write_under_way_it_settles_by_reading(machine: Machine) -> None:
    machine.wait_for(lambda: bool(simulated(machine)["reruns"]))
    before, seen = main_pid(machine), restarts(machine)
    assert [(row["step"], row["outcome"]) for row in actions(machine)] == [("rerun_instance", "")]
    machine.ok("kill", "-9", before)
    machine.wait_for(lambda: started_anew(machine, seen))
    assert main_pid(machine) != before
    machine.wait_for(lambda: [row["outcome"] for row in actions(machine)] == ["verified"], 60)
    assert list(simulated(machine)["reruns"].values()) == [1]


def test_a_reload_that_is_sound_takes_effect_in_the_same_process(machine: Machine) -> None:
    before = main_pid(machine)
    machine.write("/etc/phinops/rules/second.rules.yaml", RULE.replace("id: rerun", "id: second"))
    machine.ok("systemctl", "reload", "phinops")
    assert main_pid(machine) == before
    assert 'phinops_rules{state="loaded"} 2.0' in metrics(machine)


def test_a_reload_with_a_mistake_fails_and_keeps_the_last_good(machine: Machine) -> None:
    before = main_pid(machine)
    machine.write("/etc/phinops/rules/second.rules.yaml", RULE.replace("instance.failed", "instance.fialed"))
    assert machine.run("systemctl", "reload", "phinops").code != 0
    assert (main_pid(machine), machine.show("phinops", "ActiveState")) == (before, "active")
    assert "second.rules.yaml:3:" in machine.journal("phinops")
    machine.ok("rm", "/etc/phinops/rules/second.rules.yaml")
    machine.ok("systemctl", "reload", "phinops")


def test_a_config_with_a_mistake_is_refused_on_reload(machine: Machine) -> None:
    machine.write("/etc/phinops/phinops.toml", CONFIG + "[sevrer]\n")
    assert machine.run("systemctl", "reload", "phinops").code != 0
    assert machine.run("phinops", "status", "--config", "/etc/phinops/phinops.toml").code == 2
    machine.write("/etc/phinops/phinops.toml", CONFIG)
    machine.ok("systemctl", "reload", "phinops")


def test_a_hangup_reloads_too(machine: Machine) -> None:
    seen = machine.journal("phinops").count("daemon.reloaded")
    machine.ok("kill", "-HUP", main_pid(machine))
    machine.wait_for(lambda: machine.journal("phinops").count("daemon.reloaded") > seen)
    assert machine.show("phinops", "ActiveState") == "active"


def test_one_that_hangs_is_killed_by_the_watchdog_and_started_anew(machine: Machine) -> None:
    _drop_in(machine, "WatchdogSec=2s\nWatchdogSignal=SIGKILL")
    machine.ok("systemctl", "restart", "phinops")
    before, seen = main_pid(machine), restarts(machine)
    machine.ok("kill", "-STOP", before)
    machine.wait_for(lambda: started_anew(machine, seen))
    assert main_pid(machine) != before
    assert "atchdog timeout" in machine.journal("phinops")
    _drop_in(machine, "")


def test_a_stop_drains_and_the_state_stays(machine: Machine) -> None:
    machine.ok("systemctl", "restart", "phinops")
    machine.ok("systemctl", "stop", "phinops")
    assert machine.show("phinops", "Result") == "success"
    assert machine.show("phinops", "ExecMainStatus") == "0"
    assert "daemon.drained" in machine.journal("phinops")
    assert machine.ok("stat", "-c", "%a", "/var/lib/phinops/token").strip() == "640"
    machine.ok("systemctl", "start", "phinops")
    assert [row["outcome"] for row in actions(machine)] == ["verified"]
    assert list(simulated(machine)["reruns"].values()) == [1]


def test_a_mistake_in_the_config_is_not_tried_again_and_again(machine: Machine) -> None:
    machine.write("/etc/phinops/phinops.toml", CONFIG + "[sevrer]\n")
    assert machine.run("systemctl", "restart", "phinops").code != 0
    assert machine.show("phinops", "ExecMainStatus") == "2"
    assert machine.show("phinops", "ActiveState") == "failed"
    assert "did you mean «server»?" in machine.journal("phinops")
    machine.write("/etc/phinops/phinops.toml", CONFIG)


def test_a_credential_that_is_missing_fails_the_start(machine: Machine) -> None:
    _drop_in(machine, "Restart=no")
    machine.ok("mv", "/etc/phinops/credentials/key-id", "/etc/phinops/credentials/gone")
    assert machine.run("systemctl", "restart", "phinops").code != 0
    assert machine.show("phinops", "ExecMainStatus") == "243"


def metrics(machine: Machine) -> str:
    program = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8642/metrics').read().decode())"
    return machine.ok("/opt/phinops/bin/python", "-c", program)


def _drop_in(machine: Machine, lines: str) -> None:
    machine.ok("mkdir", "-p", "/run/systemd/system/phinops.service.d")
    machine.write("/run/systemd/system/phinops.service.d/more.conf", f"[Service]\n{lines}\n")
    machine.ok("systemctl", "daemon-reload")
    machine.run("systemctl", "reset-failed", "phinops")
