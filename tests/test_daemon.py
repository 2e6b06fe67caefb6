"""The daemon as a whole, against the simulated tenant, in this process."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from standardwebhooks import Webhook
from structlog.testing import capture_logs

from phinops.clock import ScaledClock, SystemClock
from phinops.daemon import Daemon
from phinops.errors import Forbidden, StoreHeld, StoreLost
from phinops.event import JsonObject
from phinops.simulate import Fault, Simulator
from running import until
from served import HOOK_SECRET, QUICK, eventually, private, running, served

RERUN = """
rules:
  - id: rerun
    on: instance.failed
    mode: armed
    do: [ { rerun_instance: {}, verify: { within: 1m } } ]
"""

HOOKED = """
rules:
  - id: on-deploy
    on: { hook: deploy }
    do: [ { notify: { to: oncall, message: "{{ event.body.version }}" } } ]
"""

TOLD = """
[notifiers.oncall]
type = "webhook"
url = { file = "oncall-url" }
secret = { file = "hook-secret" }
[hooks.deploy]
secret = { file = "hook-secret" }
"""


def _with_oncall(folder: Path) -> None:
    private(folder / "oncall-url", "http://127.0.0.1:1/oncall")


async def test_a_failure_is_seen_rerun_and_verified_and_everything_can_be_told(tmp_path: Path) -> None:
    async with running(tmp_path, RERUN) as here:
        failed = here.simulator.tenant.fail_instance("dws_orders_1d", takes=0.5)
        (action,) = await here.settled(1)
        assert (action["outcome"], action["target"]) in {("accepted", failed.id), ("verified", failed.id)}
        (action,) = await eventually(
            lambda: here.daemon.actions(9), lambda rows: rows[0]["outcome"] == "verified", "ok"
        )
        assert here.simulator.tenant.reruns == {failed.id: 1}
        (firing,) = await eventually(lambda: here.daemon.firings(9), lambda rows: rows[0]["state"] == "done", "done")
        assert (firing["rule"], firing["id"]) == ("rerun", action["firing_id"])
        types = {event["type"] for event in await here.daemon.events(99)}
        assert {"instance.failed", "action.settled"} <= types
        counts = await here.daemon.counts()
        assert counts["actions"] == {"verified": 1}
        assert counts["open"] == 0
        status = here.daemon.status()
        assert (status["ready"], status["reasons"]) == (True, [])
        assert {source["name"]: source["state"] for source in status["tenants"][0]["sources"]}["instances"] == "ok"
        assert sum(here.daemon.calls_today().values()) > 0
        metrics = here.daemon.metrics_snapshot()
        assert ({"state": "loaded"}, 1.0) in metrics["rules"]
        assert ({"type": "instance.failed"}, 1.0) in metrics["events_total"]
        loops = {labels["loop"] for labels, _ in metrics["loop_age_seconds"]}
        assert {"store", "prod/instances", "prod/schedule"} <= loops
        assert here.daemon.healthy() == (True, [])
    assert here.ended == [None]


READ_ONLY = """
write_access_key_id = { file = "writer.id" }
write_access_key_secret = { file = "writer.secret" }
"""


async def test_a_missing_right_costs_one_call_and_one_notice_until_a_person_has_mended_it(tmp_path: Path) -> None:
    def give_a_read_only_key(simulator: Simulator) -> None:
        _with_oncall(tmp_path)
        private(tmp_path / "writer.id", simulator.read_only_key.id)
        private(tmp_path / "writer.secret", simulator.read_only_key.secret)

    async with running(tmp_path, RERUN, extra=READ_ONLY + QUICK + TOLD, before=give_a_read_only_key) as here:

        def writes() -> int:
            return sum(each.api == "OperateInstance" for each in here.simulator.arrivals)

        async def notices() -> int:
            rows = await here.daemon._parts.store.read(lambda tx: tx.all("notice_counts"))
            return sum(row["n"] for row in rows)

        first = here.simulator.tenant.fail_instance("dws_orders_1d", takes=0.5)
        assert [each["outcome"] for each in await here.settled(1)] == ["refused"]
        second = here.simulator.tenant.fail_instance("dws_users_1d", takes=0.5)
        assert [each["outcome"] for each in await here.settled(2)] == ["refused", "refused"]
        assert writes() == 1
        await eventually(notices, bool, "the notice is recorded")
        ended = await eventually(
            lambda: here.daemon.firings(9), lambda rows: {each["state"] for each in rows} == {"failed"}, "both end"
        )
        assert all("Forbidden.RAM" in each["reason"] for each in ended)
        assert "no rule's write until" in ended[0]["reason"]

        rerun = {"ProjectId": 131001, "Operation": "RERUN", "InstanceIdList": [{"Id": first.id}]}
        with pytest.raises(Forbidden):
            await here.daemon.call("OperateInstance", {"OperateCommand": rerun}, timedelta(seconds=9), None)
        here.simulator.gate.keys[here.simulator.read_only_key.id].writes = True
        await here.daemon.call("OperateInstance", {"OperateCommand": rerun}, timedelta(seconds=9), None)
        third = here.simulator.tenant.fail_instance("ods_orders", takes=0.5)
        await eventually(lambda: here.daemon.actions(1), lambda rows: rows[0]["outcome"] == "verified", "rerun again")
        assert here.simulator.tenant.reruns == {first.id: 1, third.id: 1}
        assert second.id not in here.simulator.tenant.reruns
        assert await notices() == 1


async def test_in_shadow_nothing_is_sent_whatever_the_rules_say(tmp_path: Path) -> None:
    async with running(tmp_path, RERUN, shadow=True) as here:
        here.simulator.tenant.fail_instance("dws_orders_1d")
        (action,) = await here.settled(1)
        assert action["outcome"] == "shadow"
        assert here.simulator.tenant.reruns == {}


async def test_it_is_not_ready_before_it_has_taken_stock_nor_when_it_stops(tmp_path: Path) -> None:
    def break_lists(simulator: Simulator) -> None:
        simulator.faults.add(Fault("error", api="ListInstances", count=2))

    async with served(tmp_path, RERUN, before=break_lists) as here, anyio.create_task_group() as group:
        ready, reasons = here.daemon.ready()
        assert not ready
        assert any("instances of prod has not taken stock yet" in reason for reason in reasons)
        group.start_soon(here.run)
        await here.ready()
        here.daemon.stop()
        assert here.daemon.ready() == (False, ["the daemon is stopping"])


async def test_a_second_daemon_on_the_same_store_is_refused(tmp_path: Path) -> None:
    async with served(tmp_path, RERUN) as here:
        with pytest.raises(StoreHeld):
            async with type(here.daemon).open(here.daemon._config, clock=SystemClock()):
                raise AssertionError("it opened")


async def test_a_store_that_is_lost_ends_the_run_even_when_nothing_acts(tmp_path: Path) -> None:
    def steal(tx: Any) -> None:
        tx.run("lease_take", name="main", holder="another")

    async with running(tmp_path, "rules: []", extra='timeout = "1s"\nsettle_after = "2s"') as here:
        store = here.daemon._parts.store
        await until(lambda: "store" in here.daemon._parts.pulse.ages(), "it watches its store", 10)
        await store.write(steal)
        await here.daemon.reload()  # whatever makes it doubt
        await until(lambda: bool(here.ended), "the run ends", 10)
    (error,) = here.ended
    assert isinstance(error, ExceptionGroup)
    assert error.split(StoreLost)[0]


async def test_a_full_disk_stops_writes_is_said_and_passes_with_nothing_lost(tmp_path: Path) -> None:
    async with running(tmp_path, RERUN) as here:
        store = here.daemon._parts.store
        _writable(store, False)
        first = here.simulator.tenant.fail_instance("dws_orders_1d", takes=0.2)
        await until(lambda: bool(store.trouble), "the store is full", 20)
        assert here.daemon.ready()[0] is False
        assert here.daemon.healthy()[0] is True
        second = here.simulator.tenant.fail_instance("dws_users_1d", takes=0.2)
        await anyio.sleep(1.5)
        assert here.simulator.tenant.reruns == {}
        _writable(store, True)
        await here.settled(2)
        assert here.simulator.tenant.reruns == {first.id: 1, second.id: 1}
        await here.ready()


def _writable(store: Any, is_so: bool) -> None:
    """What the machine does to the store, from the side of its thread."""
    store._backend.committer.connection.execute(f"PRAGMA query_only = {'OFF' if is_so else 'ON'}")


@pytest.mark.parametrize("what", ["config", "rule", "nothing"])
async def test_a_reload_puts_in_force_what_is_sound_and_keeps_what_was_good(tmp_path: Path, what: str) -> None:
    async with running(tmp_path, RERUN) as here:
        daemon = here.daemon
        if what == "config":
            here.add_config("\n[nonsense]\nx = 1\n")
            found = await daemon.reload()
            assert not found.accepted
            assert "refused" in found.changed
        elif what == "rule":
            here.write_rules(RERUN.replace("instance.failed", "instance.fialed"))
            found = await daemon.reload()
            assert not found.accepted
            assert [problem.line for problem in found.problems] == [4]
            events = await eventually(lambda: daemon.events(9), lambda rows: "rule.quarantined" in _types(rows), "told")
            assert events
        else:
            here.write_rules(RERUN + RERUN.replace("id: rerun", "id: again").replace("rules:\n", ""))
            found = await daemon.reload()
            assert found.accepted
            assert (found.changed["added"], found.changed["restart"]) == (["again"], [])
        here.simulator.tenant.fail_instance("dws_orders_1d", takes=0.2)
        await here.settled(1)
        assert {row["rule"] for row in await daemon.firings(9)} == (
            {"rerun", "again"} if what == "nothing" else {"rerun"}
        )
        result = "accepted" if what == "nothing" else "refused"
        assert daemon.metrics_snapshot()["reloads_total"] == [({"result": result}, 1.0)]


@pytest.mark.parametrize("how", ["reload", "start"])
async def test_what_waits_is_carried_over_by_a_reload_and_by_a_start(tmp_path: Path, how: str) -> None:
    patient = HOOKED.replace("    do:", "    for: 2h\n    do:")
    clock = ScaledClock(60)
    _with_oncall(tmp_path)
    async with running(tmp_path, patient, extra=QUICK + TOLD, clock=clock) as here:
        assert (await here.daemon.hook("deploy", *_posted("1", now=clock.now())))[0] == 202
        if how == "reload":
            here.write_rules(patient.replace("2h", "10s"))
            with capture_logs() as logs:
                found = await here.daemon.reload()
            keys = [{"key": "for", "old": "2h", "new": "10s"}]
            assert found.changed["diff"] == [{"rule": "on-deploy", "change": "changed", "keys": keys}]
            assert found.changed["carried"] == {"waiting": {"anew": 1}}
            (said,) = (line["diff"] for line in logs if line["event"] == "rules.reloaded")
            assert said == ["on-deploy: for: 2h -> 10s"]
            await eventually(lambda: here.daemon.firings(9), lambda rows: rows[0]["state"] == "done", "it ends")
    if how == "start":
        here.write_rules("rules: []")
        async with Daemon.open(here.daemon._config, clock=clock) as daemon:
            (firing,) = await daemon.firings(9)
            assert (firing["state"], firing["reason"]) == ("skipped", "its rule is not in force any more")


async def test_a_reload_that_cannot_be_recorded_changes_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, RERUN) as here:
        store = here.daemon._parts.store
        here.write_rules(RERUN.replace("id: rerun", "id: again"))
        _writable(store, False)
        found = await here.daemon.reload()
        assert (found.accepted, found.changed["refused"].partition(":")[0]) == (False, "nothing was changed")
        assert [rule.id for rule in here.daemon._in_force().rules] == ["rerun"]
        _writable(store, True)
        assert (await here.daemon.reload()).accepted
        assert [rule.id for rule in here.daemon._in_force().rules] == ["again"]


def _types(rows: list[JsonObject]) -> set[str]:
    return {row["type"] for row in rows}


async def test_what_a_reload_cannot_change_is_named(tmp_path: Path) -> None:
    async with served(tmp_path, RERUN) as here:
        here.add_config("[safety]\nmax_writes_per_hour = 3\n")
        found = await here.daemon.reload()
        assert (found.accepted, found.changed["restart"]) == (True, ["safety"])


def _posted(version: str, *, message: str = "msg_1", now: datetime | None = None) -> tuple[dict[str, str], bytes]:
    body = json.dumps({"version": version}).encode()
    at = now or SystemClock().now()
    headers = {
        "webhook-id": message,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(HOOK_SECRET).sign(message, at, body.decode()),
    }
    return headers, body


async def test_hooks_and_notifiers_of_a_new_config_are_in_force_at_once(tmp_path: Path) -> None:
    _with_oncall(tmp_path)
    async with running(tmp_path, RERUN) as here:
        assert await here.daemon.hook("deploy", *_posted("1")) == (404, "there is no hook «deploy»")
        here.add_config(TOLD)
        here.write_rules(HOOKED)
        found = await here.daemon.reload()
        assert [str(problem) for problem in found.problems] == []
        assert await here.daemon.hook("deploy", *_posted("1")) == (202, "")
        assert await here.daemon.hook("deploy", *_posted("1")) == (202, "")
        headers, body = _posted("2", message="msg_2")
        assert (await here.daemon.hook("deploy", headers, body + b" "))[0] == 401
        assert (await here.daemon.hook("deploy", *_posted("2", now=datetime(2020, 1, 1, tzinfo=UTC))))[0] == 401
        await eventually(
            here.daemon.counts, lambda counts: counts["notices"] == {"ready": 1}, "the notice waits for its receiver"
        )
        private(tmp_path / "hook-secret", "")
        status, reason = await here.daemon.hook("deploy", *_posted("3", message="msg_3"))
        assert (status, "secret" in reason) == (503, True)


async def test_a_hook_that_cannot_be_recorded_is_to_be_sent_again(tmp_path: Path) -> None:
    _with_oncall(tmp_path)
    async with served(tmp_path, HOOKED, extra=QUICK + TOLD) as here:
        store = here.daemon._parts.store
        _writable(store, False)
        big = _posted("x" * 50_000)
        assert await here.daemon.hook("deploy", *big) == (503, "the store cannot be written")
        assert here.daemon.ready()[0] is False
        _writable(store, True)
        assert await here.daemon.hook("deploy", *big) == (202, "")


async def test_what_a_hook_brings_before_the_run_begins_is_not_taken_up_a_second_time(tmp_path: Path) -> None:
    """The door is open while an earlier process's work is looked for: what comes through it is on its way already."""
    _with_oncall(tmp_path)
    patient = HOOKED.replace("    do:", "    for: 2m\n    do:")
    async with served(tmp_path, patient, extra=QUICK + TOLD, clock=ScaledClock(120)) as here:
        now = here.daemon._parts.common.clock.now()
        assert await here.daemon.hook("deploy", *_posted("1", now=now)) == (202, "")
        with capture_logs() as logs:
            async with anyio.create_task_group() as group:
                group.start_soon(here.run)
                await eventually(lambda: here.daemon.firings(9), lambda rows: rows[0]["state"] == "done", "it ends")
                here.daemon.stop()
        assert [line["resumed"] for line in logs if line["event"] == "daemon.started"] == [0]
        assert [line["firing"] for line in logs if line["event"] == "step.done"] == [
            firing["id"] for firing in await here.daemon.firings(9)
        ]
    assert here.ended == [None]


async def test_a_schedule_fires_and_its_loop_shows(tmp_path: Path) -> None:
    _with_oncall(tmp_path)
    rules = """
rules:
  - id: tick
    on: { schedule: "* * * * *" }
    do: [ { call: GetMyTenants } ]
"""
    async with running(tmp_path, rules, clock=ScaledClock(60)) as here:
        await eventually(lambda: here.daemon.firings(9), lambda rows: bool(rows), "it fires")
        assert (await here.settled(1))[0]["step"] == "call"


async def test_a_stop_lets_what_has_left_be_answered_and_recorded(tmp_path: Path) -> None:
    async with running(tmp_path, RERUN) as here:
        here.simulator.faults.add(Fault("slow", api="OperateInstance", seconds=0.5))
        here.simulator.tenant.fail_instance("dws_orders_1d")
        await until(lambda: bool(here.simulator.tenant.reruns), "the rerun has arrived", 20)
        here.daemon.stop()
        await until(lambda: bool(here.ended), "it stops", 10)
        assert (await here.daemon.counts())["open"] == 0
    assert here.ended == [None]


async def test_a_wish_to_call_an_unknown_tenant_names_those_there_are(tmp_path: Path) -> None:
    async with served(tmp_path, RERUN) as here:
        with pytest.raises(ValueError, match="there is no tenant «dev»; there are prod"):
            await here.daemon.call("GetMyTenants", {}, timedelta(seconds=5), "dev")
        reply = await here.daemon.call("GetMyTenants", {}, timedelta(seconds=5), None)
        assert reply["Success"] is True
