"""Calls of persons: through the same limiter, guards and journal as everything else."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from phinops.clock import SystemClock
from phinops.config import load_config
from phinops.daemon import Daemon
from phinops.errors import Ambiguous, QuotaSpent, Refused, Transient
from phinops.event import JsonObject
from phinops.record import journal
from phinops.record.audit import Wanted
from phinops.simulate import Fault
from running import until
from served import Served, eventually, served

WAIT = timedelta(seconds=5)
NO_RULES = "rules: []"
QUICK = 'timeout = "1s"\nsettle_after = "1s"\n'


def _rerun(instance_id: str, project_id: int = 131001) -> JsonObject:
    return {"OperateCommand": {"ProjectId": project_id, "Operation": "RERUN", "InstanceIdList": [{"Id": instance_id}]}}


@asynccontextmanager
async def desk(folder: Path, extra: str = "", **more: Any) -> AsyncGenerator[tuple[Served, str]]:
    """A daemon that does not run, and the id of an instance that has failed."""
    async with served(folder, NO_RULES, extra=QUICK + extra, **more) as here:
        yield here, here.simulator.tenant.fail_instance("dws_orders_1d").id


async def _row(here: Served) -> JsonObject:
    return (await here.daemon.actions(1))[0]


async def _firing(here: Served) -> JsonObject:
    return (await here.daemon.firings(1))[0]


async def test_a_read_gives_the_services_reply_and_leaves_no_row(tmp_path: Path) -> None:
    async with desk(tmp_path) as (here, _):
        reply = await here.daemon.call("GetMyTenants", {}, WAIT, "prod")
        assert reply["Success"] is True
        assert await here.daemon.actions(9) == []


async def test_a_write_is_journalled_with_its_target_and_its_answer(tmp_path: Path) -> None:
    async with desk(tmp_path) as (here, failed):
        reply = await here.daemon.call("OperateInstance", _rerun(failed), WAIT, None)
        row, firing = await _row(here), await _firing(here)
        assert (row["outcome"], row["target"], row["request_id"]) == ("accepted", failed, reply["RequestId"])
        assert (firing["rule"], firing["state"], firing["event_id"]) == ("operator", "done", "")
        assert here.simulator.tenant.reruns == {failed: 1}


async def test_the_audit_tells_who_asked(tmp_path: Path) -> None:
    async with desk(tmp_path) as (here, failed):
        await here.daemon.call("OperateInstance", _rerun(failed), WAIT, None, by="wang")
        row = await _row(here)
        lines = (await here.daemon.audit(Wanted(action=row["id"]), 0, 9))["lines"]
        assert (lines[0]["what"], lines[0]["by"]) == ("call.asked", "wang")


@pytest.mark.parametrize(
    ("api", "params", "why"),
    [
        ("OperateInstances", {}, "OperateInstance"),
        ("OperateInstance", {"OperateComand": {}}, "OperateComand"),
        ("OperateInstance", _rerun("t_1") | {"Nonsense": 1}, "Nonsense"),
    ],
)
async def test_what_is_wrong_is_said_before_anything_is_sent(
    tmp_path: Path, api: str, params: JsonObject, why: str
) -> None:
    async with desk(tmp_path) as (here, _):
        with pytest.raises(ValueError, match=why):
            await here.daemon.call(api, params, WAIT, None)
        assert list(here.simulator.arrivals) == []
        assert await here.daemon.actions(9) == []


async def test_what_the_edition_does_not_have_is_refused(tmp_path: Path) -> None:
    async with desk(tmp_path, edition="agile") as (here, _):
        with pytest.raises(ValueError, match="needs the basic edition; this tenant's is agile"):
            await here.daemon.call("GetDataServiceMyProjects", {}, WAIT, None)


async def test_a_refusal_is_recorded_and_raised(tmp_path: Path) -> None:
    async with desk(tmp_path) as (here, failed):
        here.simulator.faults.add(Fault("refuse", api="OperateInstance", count=1))
        with pytest.raises(Refused):
            await here.daemon.call("OperateInstance", _rerun(failed), WAIT, None)
        assert (await _row(here))["outcome"] == "refused"
        assert (await _firing(here))["state"] == "failed"


async def test_a_target_that_the_reply_refuses_is_recorded_so(tmp_path: Path) -> None:
    async with desk(tmp_path) as (here, _):
        reply = await here.daemon.call("OperateInstance", _rerun("t_1_20260101_1"), WAIT, None)
        assert reply["InstanceStatusList"][0]["Status"] != "SUCCESS"
        assert (await _row(here))["outcome"] == "refused"
        assert (await _firing(here))["state"] == "failed"


@pytest.mark.parametrize(("kind", "reruns"), [("reset_after", 1), ("bad_gateway", 0), ("hang_after", 1)])
async def test_a_write_whose_answer_is_lost_stays_unknown_and_blocks_its_target(
    tmp_path: Path, kind: Any, reruns: int
) -> None:
    async with desk(tmp_path) as (here, failed):
        here.simulator.faults.add(Fault(kind, api="OperateInstance", count=1))
        with pytest.raises(Ambiguous):
            await here.daemon.call("OperateInstance", _rerun(failed), WAIT, None)
        assert (await _row(here))["outcome"] == "unknown"
        assert (await _firing(here))["state"] == "needs_decision"
        with pytest.raises(ValueError, match="unknown outcome"):
            await here.daemon.call("OperateInstance", _rerun(failed), WAIT, None)
        assert (await _row(here))["outcome"] == "refused"
        assert here.simulator.tenant.reruns[failed] == reruns


async def test_the_ceiling_holds_for_persons_too(tmp_path: Path) -> None:
    async with desk(tmp_path, "[safety]\nmax_writes_per_hour = 0\n") as (here, failed):
        with pytest.raises(ValueError, match="max_writes_per_hour"):
            await here.daemon.call("OperateInstance", _rerun(failed), WAIT, None)
        assert (await _firing(here))["state"] == "failed"
        assert here.simulator.tenant.reruns == {}


async def test_while_writes_are_paused_a_person_s_is_refused_too_and_reads_go_on(tmp_path: Path) -> None:
    async with desk(tmp_path) as (here, failed):
        await here.daemon.kill_switch.pause("ada", "a release")
        with pytest.raises(ValueError, match="writes are paused by ada since"):
            await here.daemon.call("OperateInstance", _rerun(failed), WAIT, None)
        assert (await _row(here))["outcome"] == "refused"
        assert (await here.daemon.call("GetMyTenants", {}, WAIT, None))["Success"]
        assert here.daemon.status()["paused"]["by"] == "ada"
        await here.daemon.kill_switch.resume("bob")
        await here.daemon.call("OperateInstance", _rerun(failed), WAIT, None)
        assert here.simulator.tenant.reruns == {failed: 1}


async def test_what_is_protected_takes_a_person_s_write_only_when_he_says_so(tmp_path: Path) -> None:
    async with desk(tmp_path, '[safety]\nprotected = { nodes = ["dws_orders*"] }\n') as (here, failed):
        with pytest.raises(ValueError, match="node dws_orders_1d is protected by «dws_orders"):
            await here.daemon.call("OperateInstance", _rerun(failed), WAIT, None)
        assert (await _row(here))["outcome"] == "refused"
        await here.daemon.call("OperateInstance", _rerun(failed), WAIT, None, override=True)
        assert here.simulator.tenant.reruns == {failed: 1}


async def test_a_turn_that_does_not_come_in_time_leaves_no_row(tmp_path: Path) -> None:
    async with desk(tmp_path) as (here, failed):
        with pytest.raises(QuotaSpent):
            await here.daemon.call("OperateInstance", _rerun(failed), timedelta(0), None)
        assert await here.daemon.actions(9) == []


async def test_once_it_has_left_its_outcome_is_recorded_whether_or_not_the_person_waits(tmp_path: Path) -> None:
    async with desk(tmp_path) as (here, failed):
        here.simulator.faults.add(Fault("slow", api="OperateInstance", seconds=0.3))
        async with anyio.create_task_group() as group:
            group.start_soon(here.daemon.call, "OperateInstance", _rerun(failed), WAIT, None)
            await until(lambda: bool(here.simulator.tenant.reruns), "it has arrived", 10)
            group.cancel_scope.cancel()
        row = await eventually(lambda: _row(here), lambda row: bool(row["outcome"]), "it is recorded")
        assert row["outcome"] == "accepted"


async def test_a_person_who_goes_before_the_turn_comes_sends_nothing(tmp_path: Path) -> None:
    async with desk(tmp_path) as (here, failed):
        here.daemon._parts.servings["prod"].limiter.throttled(2, 60.0)
        async with anyio.create_task_group() as group:
            group.start_soon(here.daemon.call, "OperateInstance", _rerun(failed), WAIT, None)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        await here.daemon._calls.drain()
        assert here.simulator.tenant.reruns == {}
        assert await here.daemon.actions(9) == []


async def test_a_daemon_that_stops_sends_nothing_more_and_waits_for_what_has_left(tmp_path: Path) -> None:
    async with desk(tmp_path) as (here, failed):
        here.simulator.faults.add(Fault("slow", api="OperateInstance", seconds=0.3))
        async with anyio.create_task_group() as group:
            group.start_soon(here.daemon.call, "OperateInstance", _rerun(failed), WAIT, None)
            await until(lambda: bool(here.simulator.tenant.reruns), "it has arrived", 10)
            await here.daemon._calls.drain()
            assert (await _row(here))["outcome"] == "accepted"
        with pytest.raises(Transient, match="the daemon is stopping"):
            await here.daemon.call("OperateInstance", _rerun(failed), WAIT, None)


async def test_an_answer_that_cannot_be_recorded_is_given_and_recorded_later(tmp_path: Path) -> None:
    async with desk(tmp_path) as (here, failed):
        store = here.daemon._parts.store
        connection: Any = store._backend.committer.connection
        here.simulator.faults.add(Fault("slow", api="OperateInstance", seconds=0.4))
        replies: list[JsonObject] = []

        async def call() -> None:
            replies.append(await here.daemon.call("OperateInstance", _rerun(failed), WAIT, None))

        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await until(lambda: bool(here.simulator.tenant.reruns), "it has arrived", 10)
            connection.execute("PRAGMA query_only = ON")
        assert replies[0]["Success"] is True
        assert (await _row(here))["outcome"] == ""
        connection.execute("PRAGMA query_only = OFF")
        await here.daemon._calls.drain()
        assert (await _row(here))["outcome"] == "accepted"


async def test_what_an_earlier_process_left_open_is_unknown_at_the_next_start(tmp_path: Path) -> None:
    async with desk(tmp_path) as (here, failed):
        here.simulator.faults.add(Fault("hang", api="OperateInstance", count=1))
        async with anyio.create_task_group() as group:
            group.start_soon(_call_and_forget, here.daemon, failed)
            await eventually(lambda: here.daemon.actions(1), bool, "it is intended")
            group.cancel_scope.cancel()
        store = here.daemon._parts.store
        assert await store.write(journal.abandon_operator_calls) == 0  # its own are under way
        config = load_config(tmp_path / "phinops.toml")
        crew = here.daemon._parts.crew._group
        assert crew
        crew.cancel_scope.cancel()
    async with Daemon.open(config, clock=SystemClock()) as later:
        assert await later._parts.store.write(journal.abandon_operator_calls) == 1
        assert [row["outcome"] for row in await later.actions(1)] == ["unknown"]
        assert [row["state"] for row in await later.firings(1)] == ["needs_decision"]
        assert await later._parts.store.write(journal.abandon_operator_calls) == 0


async def _call_and_forget(daemon: Daemon, failed: str) -> None:
    await daemon.call("OperateInstance", _rerun(failed), WAIT, None)
