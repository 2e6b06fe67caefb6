"""Scenario files: those that phinops carries, mistakes in others, overrides, seeds."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from phinops.errors import ConfigError
from phinops.simulate import Scenario, load_scenario, make_simulator, scenario_names
from simulated import HandClock, desk


def test_phinops_carries_these_scenarios_and_each_says_what_it_is() -> None:
    assert scenario_names() == ["default", "night", "old-failures", "quiet", "storm"]
    for name in scenario_names():
        scenario = load_scenario(name)
        assert scenario.name == name
        assert scenario.description
        desk(name)


def ids(**arguments: Any) -> list[str]:
    simulator = desk("default", **arguments).simulator
    tenant = simulator.tenant
    return [
        simulator.access_key_id,
        simulator.access_key_secret,
        *tenant.nodes,
        *tenant.instances,
        *(f"{each.id} {each.status} {each.times}" for each in tenant.alerts.rows.values()),
    ]


def test_the_same_seed_is_the_same_tenant_and_another_is_not() -> None:
    assert ids(seed=3) == ids(seed=3)
    assert not set(ids(seed=3)) & set(ids(seed=4)) - {""}


def test_the_default_scenario_is_there_at_once() -> None:
    clock = HandClock()
    make_simulator("default", clock=clock)
    best = min(_seconds_to_start(clock) for _ in range(3))
    assert best < 0.150


def _seconds_to_start(clock: HandClock) -> float:
    began = time.process_time()
    make_simulator("default", clock=clock)
    return time.process_time() - began


def test_the_demo_s_tenant_is_full_of_incidents_within_ten_seconds() -> None:
    front = desk("default")
    tenant = front.simulator.tenant
    assert {each.node.name for each in tenant.failed()} == {"dwd_customers", "ads_campaign"}
    front.clock.turn(10)
    failed = {each.node.name for each in tenant.failed()}
    assert failed >= {"dws_orders_1d", "dws_customers_1d", "dwd_ledger", "ads_tax_report", "ads_stock_feed"}
    assert {alert.reason for alert in tenant.alerts.rows.values()} >= {
        "VDM_BATCH_ERROR",
        "OS_ERROR_RATE",
        "DQE_TABLE",
        "KGB_EARLY_WARNING",
        "STREAM_BACKPRESSURE",
    }
    assert {tenant.status(each.id) for each in tenant.instances.values()} >= {
        "FAILED",
        "RUNNING",
        "DISPATCH_BLOCKED",
        "WAIT_SUBMISSION",
    }
    _, api = tenant.find_api("get_orders")
    assert api.tally(tenant.now - 60, tenant.now).errors > 50
    front.clock.turn(3600)
    assert len(tenant.failed()) > 60
    assert max(alert.times for alert in tenant.alerts.rows.values()) >= 6


def test_a_paused_node_ends_a_steady_incident() -> None:
    front = desk("default")
    tenant = front.simulator.tenant
    node = tenant.node("ads_stock_feed")
    front.clock.turn(3)
    tenant.settle()
    node.paused = True
    front.clock.turn(300)
    assert [each.due for each in tenant.failed() if each.node is node] == [tenant.started]
    assert any(tenant.status(each.id) == "WAIT_SCHEDULE" for each in node.instances)


def test_a_storm_is_as_large_as_asked() -> None:
    overrides = {"projects": {"storm_dw": {"nodes": {"job": {"count": 500}}}}}
    front = desk("storm", overrides=overrides)
    front.clock.turn(1.9)
    assert front.simulator.tenant.failed() == []
    front.clock.turn(0.1)
    assert len(front.simulator.tenant.failed()) == 500


def test_old_failures_lie_days_back_and_ten_within_the_hour() -> None:
    tenant = desk("old-failures").simulator.tenant
    ages = sorted(tenant.now - (each.ended or 0) for each in tenant.failed())
    assert len(ages) == 1010
    assert ages[9] <= 3600
    assert ages[10] > 86_400


def test_a_night_is_large_and_the_platform_helps() -> None:
    front = desk("night")
    tenant = front.simulator.tenant
    assert len(tenant.nodes) == 618
    front.clock.turn(3600)
    assert len(tenant.failed()) > 10
    assert sum(tenant.lives.auto_reruns.values()) > 10


def test_incidents_come_as_often_as_they_say() -> None:
    incident = {"node": "dws_users_1d", "after": "10s", "every": "1m", "times": 2, "takes": "5s", "fails": "always"}
    api = {"api": "get_stock", "after": "10s", "lasts": "5s", "every": "1m", "times": 2, "app": "shop"}
    front = desk(overrides={"incidents": {"one": incident, "two": api}})
    tenant = front.simulator.tenant
    counts = []
    for _ in range(4):
        front.clock.turn(60)
        counts.append(len(tenant.failed()))
    assert counts == [1, 2, 2, 2]
    _, stock = tenant.find_api("get_stock")
    assert stock.tally(tenant.now - 240, tenant.now).errors == pytest.approx(5, abs=1)


def test_somebody_mends_the_cause_and_runs_it_again() -> None:
    incident = {"node": "dws_users_1d", "fails": "always", "takes": "5s", "mended": "1m"}
    front = desk(overrides={"incidents": {"one": incident}})
    (failed,) = front.simulator.tenant.failed()
    front.clock.turn(66)
    assert front.simulator.tenant.status(failed.id) == "SUCCESS"
    assert front.simulator.tenant.reruns == {}
    early = desk(overrides={"incidents": {"one": {**incident, "fails": 0}}})
    early.clock.turn(66)
    assert [len(each.runs) for each in early.simulator.tenant.node("dws_users_1d").instances] == [1, 1, 1]


def test_an_incident_may_hold_all_that_hangs_below_each_once() -> None:
    front = desk(overrides={"incidents": {"one": {"node": "dwd_orders", "cascade": True, "takes": "1s"}}})
    tenant = front.simulator.tenant
    names = ("dws_orders_1d", "dws_users_1d", "ads_orders_board", "dws_ledger_1d")
    held = [tenant.node(name).instances[-1] for name in names]
    assert {tenant.status(each.id) for each in held} == {"WAIT_SUBMISSION"}
    assert [len(each.upstream) for each in held] == [1, 1, 2, 1]
    (failed,) = tenant.failed()
    tenant.lives.start(failed, "rerun")
    front.clock.turn(120)
    assert {tenant.status(each.id) for each in held} == {"SUCCESS"}


def test_periods_decide_on_which_days_a_node_runs() -> None:
    nodes: dict[str, dict[str, Any]] = {
        name: {"period": period, "at": "00:10", "duration": "1s"}
        for name, period in (("w", "WEEKLY"), ("m", "MONTHLY"), ("y", "YEARLY"), ("h", "HOURLY"), ("five", "MINUTELY"))
    }
    nodes["h"]["upstream"] = ["y", "m"]  # on most days there is nothing to wait for
    front = desk(overrides={"projects": {"retail_dw": {"nodes": nodes}}, "history": 5})
    counts = {name: len(front.simulator.tenant.node(name).instances) for name in nodes}
    assert counts == {"w": 1, "m": 1, "y": 1, "h": 6 * 24, "five": 6 * 286}


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("projects:\n  a: {id: one}\n", 2, 7, "projects.a.id"),
        ("projects:\n  a: {id: 1, colour: red}\n", 2, 14, "projects.a.colour"),
        ("projects:\n  a:\n    id: 1\n    nodes:\n      n: {at: 10:30}\n", 5, 11, "in quotes"),
        ("incidents:\n  x: {}\n", 2, 3, "either a node or an api"),
        ("incidents:\n  x: {node: n, what: block}\n", 2, 3, "how long it lasts"),
        ("incidents:\n  x: {node: n, after: soon}\n", 2, 16, "is not a duration"),
        ("faults:\n  x: {kind: gremlin}\n", 2, 7, "faults.x.kind"),
        ("edition: tiny\n", 1, 1, "edition"),
        ("projects:\n  a:\n    id: 1\n    nodes:\n      n: {upstream: [[]]}\n", 5, 11, "nodes.n.upstream.0"),
        ("projects: [1]\n", 1, 1, "projects"),
        ("projects: {a: {}}\n", 1, 12, "projects.a.id"),
        ("a: [\n", 2, 1, "not YAML"),
        ("- a\n", 1, 1, "mapping"),
    ],
)
def test_a_mistake_is_shown_in_its_place(tmp_path: Path, text: str, line: int, column: int, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_scenario(path)
    (problem,) = caught.value.problems
    assert (problem.file, problem.line, problem.column) == (str(path), line, column)
    assert message in problem.message
    assert str(problem) in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"tenant": {"zone": "Moon/Tycho"}}, "Moon/Tycho"),
        ({"incidents": {"x": {"node": "nothing"}}}, "incidents.x.node"),
        ({"incidents": {"x": {"api": "nothing"}}}, "incidents.x.api"),
        ({"incidents": {"x": {"api": "get_stock", "app": "nobody"}}}, "incidents.x.app"),
        ({"projects": {"retail_dw": {"nodes": {"n": {"upstream": ["nothing"]}}}}}, "nodes.n.upstream"),
        ({"projects": {"twin": {"id": 131001}}}, "131001"),
    ],
)
def test_what_refers_to_nothing_is_a_mistake(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        desk(overrides=overrides)


def test_a_scenario_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="one of default, night"):
        load_scenario("stormy")
    with pytest.raises(ConfigError, match="cannot read"):
        load_scenario(tmp_path)


def test_an_empty_file_is_an_empty_tenant(tmp_path: Path) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text("")
    front = desk(str(path))
    assert front.simulator.edition == "basic"
    assert front.ask("ListProjects", ListQuery={}).body["PageResult"]["TotalCount"] == 0


def test_overrides_reach_into_files_and_into_scenarios_and_null_removes() -> None:
    changes: dict[str, Any] = {"edition": "agile", "projects": {"locked_dw": None}, "tenant": {"id": 7}}
    scenario = load_scenario("quiet")
    for source in ("quiet", scenario):
        simulator = make_simulator(source, clock=HandClock(), overrides=changes)
        assert (simulator.edition, simulator.op_tenant_id) == ("agile", 7)
        assert [each.name for each in simulator.tenant.projects.values()] == ["retail_dw", "finance_dw"]
    assert make_simulator(Scenario(), clock=HandClock(), edition="personal").edition == "personal"


def test_the_scenario_in_the_documents_works(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text(encoding="utf-8")
    path = tmp_path / "documented.yaml"
    path.write_text(text.partition("```yaml\n")[2].partition("```")[0])
    front = desk(str(path))
    front.clock.turn(5)
    assert [each.node.name for each in front.simulator.tenant.failed()] == ["dws_orders_1d"]
