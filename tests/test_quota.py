"""The quota against the simulated tenant: who spends it, what is told of it, and the events of its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from phinops.clock import Clock, ScaledClock
from phinops.config import Config, load_config
from phinops.daemon import Daemon
from phinops.errors import PhinopsError
from phinops.record import spends
from phinops.simulate import Fault, Simulator, serve
from running import until, write_config
from served import Served, eventually, running, served

WAIT = timedelta(seconds=10)
NOON = datetime(2026, 1, 5, 4, tzinfo=UTC)

RERUN = """
rules:
  - id: rerun
    on: instance.failed
    mode: armed
    do: [ { rerun_instance: {}, verify: { within: 1m } } ]
"""

TOLD = """
rules:
  - id: little-left
    on: [quota.low, quota.exhausted]
    if: event.quota.left <= event.quota.reserve && event.quota.day != ""
    key: event.type
    do:
      - id: tell
        call: GetMyTenants
        with: {}
"""

CALM = """
timeout = "1s"
settle_after = "1s"
[tenants.sources]
instances = { every = "1h" }
alerts = { every = "1h" }
"""


def small(limit: int, reserve: float = 0.2) -> str:
    """An account of so many calls a day, of which polls leave a part."""
    return f'{CALM}\n[tenants.quota]\ndaily = {{ "1+2+3" = {limit} }}\naction_reserve = {reserve}\n'


async def spent(here: Served) -> Counter[tuple[str, str, str]]:
    """Calls by source, rule and API, once all of them are written."""
    found: Counter[tuple[str, str, str]] = Counter()
    for pool in await here.daemon.quota(limit=1000):
        for each in pool["spenders"]:
            found[each["source"], each["rule"], each["api"]] += each["calls"]
    return found


async def told(here: Served) -> list[tuple[str, str]]:
    """Events of the quota by type and pool, oldest first."""
    rows = await here.daemon.events(1000)
    return [(row["type"], row["quota"]["pool"]) for row in reversed(rows) if row["type"].startswith("quota.")]


async def spend(here: Served, calls: int) -> None:
    for _ in range(calls):
        await here.daemon.call("GetMyTenants", {}, WAIT, None)


async def test_every_call_is_told_with_whose_it_was_and_none_is_missing(tmp_path: Path) -> None:
    async with running(tmp_path, RERUN) as here:
        here.simulator.tenant.fail_instance("dws_orders_1d", takes=0.5)
        await here.settled(1)
        await eventually(lambda: here.daemon.firings(9), lambda rows: rows[0]["state"] == "done", "done")
        await spend(here, 3)
        (firing,) = await here.daemon.firings(9)
        here.daemon.stop()
        await until(lambda: bool(here.ended), "it ends", 20)
        found = await spent(here)
        assert found["operator", "", "GetMyTenants"] == 3
        assert found["rules", "rerun", "OperateInstance"] == 1
        assert {source for source, _, _ in found} == {"alerts", "instances", "rules", "operator"}
        apis = {source: {api for each, _, api in found if each == source} for source, _, _ in found}
        assert "ListAlertEvents" in apis["alerts"] - apis["instances"]
        assert found.total() == here.simulator.calls.total()
        by_firing = [row for pool in await here.daemon.quota("firing") for row in pool["spenders"]]
        assert {(row["firing"], row["rule"]) for row in by_firing} == {(firing["id"], "rerun")}
        assert sum(row["calls"] for row in by_firing) == sum(n for (_, rule, _), n in found.items() if rule == "rerun")


async def test_tries_that_are_repeated_count_each(tmp_path: Path) -> None:
    async with served(tmp_path, "rules: []", extra=CALM) as here:
        here.simulator.faults.add(Fault("bad_gateway", api="GetMyTenants", count=2))
        await spend(here, 1)
        assert (await spent(here))["operator", "", "GetMyTenants"] == 3


async def test_a_write_of_a_person_is_the_operators(tmp_path: Path) -> None:
    async with served(tmp_path, "rules: []", extra=CALM) as here:
        failed = here.simulator.tenant.fail_instance("dws_orders_1d").id
        command = {"ProjectId": 131001, "Operation": "RERUN", "InstanceIdList": [{"Id": failed}]}
        await here.daemon.call("OperateInstance", {"OperateCommand": command}, WAIT, None)
        assert {key[:2] for key in await spent(here)} == {("operator", "")}


ON_ALERTS = """
rules:
  - id: see
    on: alert.opened
    do: [ { call: GetMyTenants, with: {} } ]
"""


async def test_lists_of_projects_are_the_doing_of_the_source_that_has_them_read(tmp_path: Path) -> None:
    extra = 'timeout = "1s"\nsettle_after = "1s"\n[tenants.sources]\nalerts = { every = "1s" }\n'
    async with running(tmp_path, ON_ALERTS, extra=extra) as here:
        here.simulator.tenant.fail_instance("dws_orders_1d", takes=0.2)

        def by_the_rule(found: Counter[tuple[str, str, str]]) -> bool:
            return any(source == "rules" for source, _, _ in found)

        found = await eventually(lambda: spent(here), by_the_rule, "an alert fires the rule, and it calls")
        assert found["alerts", "", "ListProjects"] > 0
        assert {source for source, _, _ in found} == {"alerts", "rules"}


async def test_each_pool_is_told_with_what_is_left_and_until_when(tmp_path: Path) -> None:
    async with served(tmp_path, "rules: []", extra=small(50), clock=ScaledClock(1.0, NOON)) as here:
        await spend(here, 5)
        (pool,) = await here.daemon.quota()
        assert (pool["tenant"], pool["tenants"], pool["pool"]) == ("prod", ["prod"], "1+2+3")
        assert [pool[name] for name in ("day", "used", "left", "limit", "reserve")] == ["2026-01-05", 5, 45, 50, 10]
        assert (pool["spent"], pool["pace_per_hour"]) == (False, 5.0)
        assert pool["runs_out"] is not None
        assert datetime.fromisoformat(pool["runs_out"]) - NOON == pytest.approx(
            timedelta(hours=9), abs=timedelta(minutes=2)
        )
        assert pool["resets"] == "2026-01-06T00:00:00+08:00"
        assert pool["spenders"] == [{"source": "operator", "rule": "", "api": "GetMyTenants", "calls": 5}]
        assert await here.daemon.quota("api", 1, "prod") == [
            {**pool, "spenders": [{"api": "GetMyTenants", "calls": 5}]}
        ]
        assert await here.daemon.quota(tenant="other") == []


async def test_a_pool_without_a_limit_is_told_with_nulls(tmp_path: Path) -> None:
    async with served(tmp_path, "rules: []", extra=CALM, edition="intelligent") as here:
        await spend(here, 1)
        pools = {pool["pool"]: pool for pool in await here.daemon.quota()}
        assert [pools["1"][name] for name in ("left", "limit", "reserve", "runs_out")] == [None] * 4
        assert (pools["1"]["used"], pools["1"]["spent"]) == (1, False)
        assert pools["3"]["limit"] == 10_000


async def test_numbers_of_the_quota_are_published(tmp_path: Path) -> None:
    async with served(tmp_path, "rules: []", extra=small(5), clock=ScaledClock(1.0, NOON)) as here:
        labels = {"tenant": "prod", "pool": "1+2+3"}
        assert "quota_runs_out_timestamp_seconds" not in await here.daemon.quota_samples()
        await spend(here, 4)
        found = await here.daemon.quota_samples()
        assert found["quota_left"] == [(labels, 1.0)]
        assert found["quota_spent"] == [(labels, 0.0)]
        assert found["rate_limit_calls_per_second"] == found["rate_allowed_calls_per_second"] != []
        assert found["calls_by_source"] == [({"source": "operator", "level": "1"}, 4.0)]
        ((_, runs_out),) = found["quota_runs_out_timestamp_seconds"]
        assert runs_out - NOON.timestamp() == pytest.approx(900, abs=120)
        calls = here.daemon.metrics_snapshot()["calls_today"]
        assert ({"level": "1"}, 4.0) in calls
        await spend(here, 1)
        assert (await here.daemon.quota_samples())["quota_spent"] == [(labels, 1.0)]


# Events ---------------------------------------------------------------------------------------------------------------


async def test_a_rule_hears_once_that_little_is_left_and_once_that_nothing_is_also_over_restarts(
    tmp_path: Path,
) -> None:
    clock = ScaledClock(1.0, NOON)
    async with serve("quiet", clock=clock, edition="basic") as simulator:
        config = load_config(write_config(tmp_path, simulator, TOLD, small(30)))
        async with opened(config, clock, simulator, tmp_path) as here:
            used = here.daemon.status()["tenants"][0]["quota"][0]["used"]
            assert await told(here) == []
            await spend(here, 24 - used)
            await eventually(lambda: told(here), bool, "quota.low")
            (firing,) = await eventually(lambda: here.daemon.firings(9), bool, "the rule fires")
            assert firing["rule"] == "little-left"
            row = next(row for row in await here.daemon.events(99) if row["type"] == "quota.low")
            assert (row["tenant"], row["source"], row["quota"]["day"]) == ("prod", "quota", "2026-01-05")
            assert (row["quota"]["limit"], row["quota"]["left"], row["quota"]["reserve"]) == (30, 6, 6)
            assert datetime.fromisoformat(row["quota"]["runs_out"]) > NOON
            await eventually(lambda: here.daemon.firings(9), lambda rows: rows[0]["state"] == "done", "it is done")
        async with opened(config, clock, simulator, tmp_path) as here:
            left = 30 - here.daemon.status()["tenants"][0]["quota"][0]["used"]
            await spend(here, left)
            await eventually(lambda: told(here), lambda rows: len(rows) == 2, "quota.exhausted")
        async with opened(config, clock, simulator, tmp_path) as here:
            await eventually(lambda: quota_told(here), bool, "it has looked at the quota")
            assert await told(here) == [("quota.low", "1+2+3"), ("quota.exhausted", "1+2+3")]


@asynccontextmanager
async def opened(config: Config, clock: Clock, simulator: Simulator, folder: Path) -> AsyncGenerator[Served]:
    """One process on the config after the other, running and ready."""
    async with Daemon.open(config, clock=clock) as daemon, anyio.create_task_group() as group:
        here = Served(daemon, simulator, folder)
        group.start_soon(here.run)
        try:
            await here.ready()
            yield here
        finally:
            daemon.stop()


async def quota_told(here: Served) -> bool:
    return len(here.daemon._quotas._told) == 2


async def test_a_day_that_dataphin_calls_spent_is_exhausted_whatever_is_left(tmp_path: Path) -> None:
    clock = ScaledClock(600.0, NOON)
    async with running(tmp_path, TOLD, extra=small(1000), clock=clock) as here:
        here.simulator.gate.quota.plan = type(here.simulator.gate.quota.plan)({}, {"1+2+3": 1})
        here.simulator.gate.quota.spend_day("1+2+3")
        await eventually(lambda: refused_or_told(here), bool, "quota.exhausted", 60)
        assert ("quota.exhausted", "1+2+3") in await told(here)
        (pool,) = await here.daemon.quota()
        assert pool["spent"] is True
        assert pool["left"] > 0


async def refused_or_told(here: Served) -> bool:
    with anyio.move_on_after(2), suppress(PhinopsError):
        await here.daemon.call("GetMyTenants", {}, WAIT, None)
    return ("quota.exhausted", "1+2+3") in await told(here)


async def test_in_the_last_hour_it_is_no_news_that_little_is_left(tmp_path: Path) -> None:
    late = ScaledClock(1.0, datetime(2026, 1, 5, 15, 10, tzinfo=UTC))
    async with running(tmp_path, TOLD, extra=small(30), clock=late) as here:
        await spend(here, 30 - here.daemon.status()["tenants"][0]["quota"][0]["used"])
        assert await eventually(lambda: told(here), bool, "quota.exhausted") == [("quota.exhausted", "1+2+3")]


async def test_a_store_that_cannot_be_written_delays_the_event_and_loses_no_spend(tmp_path: Path) -> None:
    async with running(tmp_path, TOLD, extra=small(30), clock=ScaledClock(20.0, NOON)) as here:
        connection: Any = here.daemon._parts.store._backend.committer.connection
        before = (await spent(here)).total()
        await spend(here, 23 - here.daemon.status()["tenants"][0]["quota"][0]["used"])
        connection.execute("PRAGMA query_only = ON")
        with pytest.raises(Exception, match="read-only"):
            await spend(here, 1)
        await until(lambda: bool(here.daemon._parts.store.trouble), "the store is in trouble", 20)
        connection.execute("PRAGMA query_only = OFF")
        await spend(here, 1)
        await eventually(lambda: told(here), bool, "quota.low")
        assert here.ended == []
        found = await spent(here)
        assert found["operator", "", "GetMyTenants"] <= 24
        assert found.total() > before


async def test_spends_are_written_without_a_lease_twice_a_minute(tmp_path: Path) -> None:
    async with running(tmp_path, RERUN, extra=CALM, clock=ScaledClock(60.0, NOON)) as here:
        await spend(here, 7)

        async def stored() -> int:
            limiter = here.daemon._parts.servings["prod"].limiter
            found = await here.daemon._parts.store.read(
                lambda tx: spends.by_source(tx, limiter.account, limiter.today())
            )
            return found.get(("operator", 1), 0)

        assert await eventually(stored, lambda n: n == 7, "all seven are written") == 7
