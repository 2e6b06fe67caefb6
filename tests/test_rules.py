"""The example rules: each is loaded, and each does on a simulated tenant what it says.

All nine are on watch in one night that goes by in some seconds, so that they also show that they do not get in each
other's way; the tests look at what was done.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import anyio
import pytest

from nights import Deed, Night, Told, night
from phinops.decide.blueprint import make_rule
from phinops.decide.language import Language
from phinops.decide.load import load_rules
from phinops.event import JsonObject
from phinops.simulate import Fault
from settings import SETTING

RULES = Path(__file__).parent.parent / "rules"
FILES = sorted(RULES.glob("*.rules.yaml"))

NIGHT: JsonObject = {
    "projects": {"retail_dw": {"nodes": {"dwd_orders": {"paused": True}}}},
    "incidents": {
        "cured by one rerun": {"node": "dws_users_1d", "after": "1m", "fails": 1},
        "cured by nothing": {"node": "dws_orders_1d", "after": "1m", "fails": "always"},
        "a logical table": {"node": "dim_goods", "after": "1m", "fails": 1},
        "hung": {"node": "ods_orders", "after": "1m", "what": "stick"},
        "long, but no sync": {"node": "dws_ledger_1d", "after": "1m", "what": "stick"},
        "failing": {"api": "get_orders", "after": "2m", "lasts": "6m", "rate": 0.5},
        "the odd error": {"api": "get_stock", "after": "2m", "lasts": "6m", "rate": 0.005},
    },
    "alerts": {
        "quality": {
            "system": "DQE", "reason": "DQE_TABLE", "object": "dwd_orders", "object_type": "DQE_PHYSICAL_TABLE",
            "project": "retail_dw", "after": "1m", "every": "3m",
        },
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Seen:
    """What was done and told in the night. Instances go by what befell them."""

    deeds: list[Deed]
    told: list[Told]
    firings: list[JsonObject]
    due: list[datetime]
    reruns: dict[str, int]
    refusals: dict[str, int]
    cured: str
    hopeless: str
    hopeless_node: str
    logical: str
    hung: str
    patient: str
    deployed: str
    deployed_node: str
    corrected: str
    resumed: bool

    def by(self, rule: str, *, told: bool = False) -> list[tuple[str, str, str]]:
        """What the rule did, in order: step, target and outcome; its notices only when asked."""
        return [
            (deed.step, deed.target, deed.outcome)
            for deed in self.deeds
            if deed.rule == rule and (told or deed.step != "notify")
        ]

    def told_by(self, rule: str) -> list[Told]:
        return [notice for notice in self.told if notice.rule == rule]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return anyio.run(_a_night, tmp_path_factory.mktemp("night"))


async def _a_night(folder: Path) -> Seen:
    async with night(folder, FILES, NIGHT) as shown:
        tenant = shown.simulator.tenant
        # It failed two hours ago: nobody's business before somebody deploys its node.
        deployed = tenant.fail_instance("dwd_orders", ago=7200)
        node = tenant.node("dwd_orders")
        body = {"project_id": str(node.project.id), "node_id": node.id, "instance_id": deployed.id}
        assert (await shown.post({"status": "failed", **body}))[0] == 202
        assert (await shown.post({"status": "deployed", **body}))[0] == 202
        board = tenant.node("ads_orders_board")
        days = {"first_day": "2025-12-01", "last_day": "2025-12-03"}
        corrected = {"status": "corrected", "project_id": str(board.project.id), "node_id": board.id, **days}
        assert (await shown.post(corrected))[0] == 202
        await shown.come(
            "the hopeless node is paused", lambda deed: (deed.step, deed.outcome) == ("pause_node", "verified")
        )
        _mend(shown, "dws_orders_1d")
        await shown.come("it is resumed", lambda deed: deed.rule == "resume-mended-nodes" and deed.step == "notify")
        hung = tenant.node("ods_orders").instances[-1]
        await shown.come(
            "the hung one is rerun",
            lambda deed: (deed.step, deed.target, deed.outcome) == ("rerun_instance", hung.id, "verified"),
        )
        await shown.hear(
            "the alert once more", lambda notice: notice.title.startswith("DQE") and notice.severity == "critical"
        )
        await shown.hear("the API is well", lambda notice: notice.title == "API get_orders: well again")
        await shown.come("the backfill", lambda deed: deed.rule == "backfill-corrected-days" and deed.step == "notify")
        await shown.come("the schedule", lambda deed: deed.rule == "watch-the-way-in")
        return Seen(
            deeds=shown.deeds,
            told=list(shown.told),
            firings=shown.firings,
            due=[
                datetime.fromisoformat(event["schedule"]["due"])
                for event in await shown.daemon.events(10_000)
                if event["type"] == "schedule.fired"
            ],
            reruns=dict(tenant.reruns),
            refusals=dict(shown.simulator.refusals),
            cured=tenant.node("dws_users_1d").instances[-1].id,
            hopeless=tenant.node("dws_orders_1d").instances[-1].id,
            hopeless_node=tenant.node("dws_orders_1d").id,
            logical=tenant.node("dim_goods").instances[-1].id,
            hung=hung.id,
            patient=tenant.node("dws_ledger_1d").instances[-1].id,
            deployed=deployed.id,
            deployed_node=node.id,
            corrected=board.id,
            resumed=not tenant.node("dws_orders_1d").paused,
        )


def _mend(shown: Night, name: str) -> None:
    """Somebody mends the node's script and reruns its newest instance by hand."""
    tenant = shown.simulator.tenant
    instance = tenant.node(name).instances[-1]
    instance.fails = 0
    tenant.lives.start(instance, "rerun")


def test_there_are_nine_example_rules_each_with_its_tests_and_none_has_a_mistake() -> None:
    found = load_rules([RULES], SETTING)
    assert [str(problem) for problem in found.problems] == []
    assert len(found.rules) == len(FILES) - 1 == 9
    for rule in found.rules:
        assert rule.description
        assert Path(rule.file).name == f"{rule.id}.rules.yaml"
        assert Path(rule.file).with_name(f"{rule.id}.test.yaml").is_file()


def test_the_example_blueprints_carry_their_tests_and_can_be_used(tmp_path: Path) -> None:
    own = tmp_path / "own.rules.yaml"
    shown = (RULES / "blueprints.rules.yaml").read_text("utf-8").partition("\n#\n")[2].partition("\n#\n")[0]
    own.write_text(re.sub("(?m)^# ", "", shown), encoding="utf-8")
    found = load_rules([own, RULES], SETTING)
    assert [str(problem) for problem in found.problems] == []
    assert [each.id for each in found.blueprints] == ["rerun-with-notice", "escalate-alert"]
    assert all(len(each.tests) >= 2 for each in found.blueprints)
    for blueprint in found.blueprints:
        assert blueprint.description
        assert all(each.description or each.choices for each in blueprint.inputs.values())
        for test in blueprint.tests:
            assert make_rule(blueprint, test.values, SETTING, Language(SETTING.zone)).id == blueprint.id
    assert {"rerun-dws", "escalate-quality"} <= {rule.id for rule in found.rules}


def test_what_failed_is_rerun_and_what_that_does_not_cure_twice(seen: Seen) -> None:
    done = seen.by("rerun-failed-instances")
    assert sorted(done) == sorted([
        ("rerun_instance", seen.cured, "verified"),
        ("rerun_instance", seen.logical, "verified"),
        ("rerun_instance", seen.hopeless, "failed"),
        ("rerun_instance", seen.hopeless, "failed"),
        ("rerun_instance", seen.hung, "verified"),
    ])  # fmt: skip
    assert seen.told_by("rerun-failed-instances") == []


def test_the_node_of_what_failed_three_times_is_paused_and_somebody_is_called(seen: Seen) -> None:
    assert seen.by("pause-failing-nodes", told=True) == [
        ("pause_node", seen.hopeless_node, "verified"),
        ("notify", "oncall", "accepted"),
    ]
    (notice,) = seen.told_by("pause-failing-nodes")
    assert (notice.severity, notice.title) == ("critical", "dws_orders_1d failed 3 times")
    assert notice.message.endswith("Pausing its node: verified. Owner: zhang_wei.")


def test_a_mended_node_is_put_back_on_its_schedule(seen: Seen) -> None:
    assert seen.by("resume-mended-nodes") == [("resume_node", seen.hopeless_node, "verified")]
    assert seen.resumed
    (notice,) = seen.told_by("resume-mended-nodes")
    assert (notice.severity, notice.title) == ("info", "dws_orders_1d is back on its schedule")


def test_a_hung_sync_is_terminated_and_a_long_mart_is_not(seen: Seen) -> None:
    assert seen.by("terminate-hung-syncs") == [("terminate_instance", seen.hung, "verified")]
    assert seen.patient not in {deed.target for deed in seen.deeds}
    (notice,) = seen.told_by("terminate-hung-syncs")
    assert notice.title == "ods_orders hung"


def test_an_alert_is_passed_on_once_in_half_an_hour_and_urgently_when_it_goes_on(seen: Seen) -> None:
    notices = [notice for notice in seen.told_by("pass-on-alerts") if notice.title == "DQE_TABLE: dwd_orders"]
    assert [notice.severity for notice in notices] == ["warning", "critical"]
    assert re.match(r"DQE_PHYSICAL_TABLE in retail_dw, alert no\. \d since 2026-01-05T20:3", notices[0].message)
    skipped = {
        each["reason"] for each in seen.firings if each["rule"] == "pass-on-alerts" and each["state"] == "skipped"
    }
    assert skipped
    assert all(reason.startswith("cooldown") for reason in skipped)


def test_failed_tasks_are_left_to_the_rules_that_do_something_about_them(seen: Seen) -> None:
    assert {notice.title for notice in seen.told_by("pass-on-alerts")} == {"DQE_TABLE: dwd_orders"}


def test_a_failing_api_is_told_of_as_badly_as_it_fails_until_it_is_well_again(seen: Seen) -> None:
    notices = seen.told_by("tell-of-failing-apis")
    orders = [notice for notice in notices if "get_orders" in notice.title]
    assert orders[0].title == "API get_orders: failing"
    assert {notice.title for notice in orders[1:-1]} <= {"API get_orders: still failing"}
    assert "critical" in {notice.severity for notice in orders[:-1]}
    assert any("shop: " in notice.message for notice in orders[:-1])
    assert (orders[-1].title, orders[-1].severity) == ("API get_orders: well again", "info")
    assert {notice.severity for notice in notices if "get_stock" in notice.title} == {"info"}


def test_dataphin_is_asked_every_ten_minutes_and_nobody_is_told_while_it_answers(seen: Seen) -> None:
    asked = seen.by("watch-the-way-in")
    assert asked
    assert set(asked) == {("call", asked[0][1], "accepted")}
    assert seen.due
    assert all(moment.minute % 10 == moment.second == 0 for moment in seen.due)
    assert seen.told_by("watch-the-way-in") == []


def test_somebody_is_told_when_dataphin_does_not_answer(tmp_path: Path) -> None:
    async def main() -> None:
        async with night(tmp_path, [RULES / "watch-the-way-in.rules.yaml"]) as shown:
            shown.simulator.faults.add(Fault("refuse", api="ListProjects", count=1, code="DPN.Commons.NoPermission"))
            await shown.hear("that it does not answer", lambda notice: notice.title == "Dataphin does not answer")
            await shown.come("a good answer", lambda deed: (deed.step, deed.outcome) == ("call", "accepted"))
            outcomes = [deed.outcome for deed in shown.deeds if deed.step == "call"]
            assert outcomes[:2] == ["refused", "accepted"]
            assert len(shown.told) == 1

    anyio.run(main)


def test_a_deployment_resumes_its_node_and_reruns_its_instance_and_a_failed_one_does_not(seen: Seen) -> None:
    assert seen.by("go-on-after-a-deployment") == [
        ("resume_node", seen.deployed_node, "verified"),
        ("rerun_instance", seen.deployed, "verified"),
    ]
    (notice,) = seen.told_by("go-on-after-a-deployment")
    assert notice.message == "Resuming the node: verified. Rerunning the instance: verified."


def test_days_whose_data_were_corrected_are_backfilled_to_the_last(seen: Seen) -> None:
    assert seen.by("backfill-corrected-days") == [("backfill", seen.corrected, "verified")]
    (notice,) = seen.told_by("backfill-corrected-days")
    assert (notice.severity, notice.title) == ("info", f"{seen.corrected}, 2025-12-01 to 2025-12-03")
    assert notice.message.startswith("Backfilling corrected data: verified.")


def test_no_two_rules_want_the_same_instance_at_the_same_time(seen: Seen) -> None:
    assert "business" not in seen.refusals
    writes = [deed for deed in seen.deeds if deed.step not in ("notify", "call")]
    assert {deed.outcome for deed in writes} <= {"verified", "failed"}
    assert seen.reruns == {seen.cured: 1, seen.logical: 1, seen.hopeless: 2, seen.hung: 1, seen.deployed: 1}
    for first, second in pairwise(deed for deed in writes if deed.target == seen.hopeless_node):
        assert {first.step, second.step} == {"pause_node", "resume_node"}
