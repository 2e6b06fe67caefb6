"""Leases of pauses end by themselves: once, over restarts, and not where somebody has touched the node."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from frozen import FREEZE, MINUTE, NODE, Frozen, emitted, freezing, two
from phinops.errors import NotUndone
from phinops.event import JsonObject
from phinops.firing import Aftermath, Intent, StepResult
from phinops.leases import standing
from phinops.record.leases import Lease
from phinops.simulate.faults import Fault, Kind
from records import LONG

ONCE = [("pause_node", "accepted"), ("resume_node", "verified")]


def test_a_leased_pause_is_resumed_once_when_its_time_is_over(tmp_path: Path) -> None:
    async def story(it: Frozen) -> None:
        await it.freeze()
        lease = await it.lease()
        assert (lease["state"], lease["rule"], lease["node_id"]) == ("running", "freeze", it.node.id)
        await it.here.minutes(116)
        assert it.node.paused
        await it.here.minutes(4)
        assert not it.node.paused
        await it.here.minutes(30)
        assert ((await it.lease())["state"], await it.actions()) == ("resumed", ONCE)
        assert it.log == ["PAUSE_TASK", "RESUME_TASK"]
        assert await it.audit() == ["lease.taken", "lease.resumed"]
        (resumed,), (pause,) = await it.rows("resume_node"), await it.rows("pause_node")
        assert (resumed["reverses"], pause["undone_by"]) == (pause["id"], resumed["id"])
        (event,) = await it.here.events("lease.ended")
        (told,) = await it.here.here.explain(event["id"]) or ()
        assert (told["rule"], told["outcome"], told["state"]) == ("freeze", "fired", "done")
        assert [each["id"] for each in told["actions"]] == [resumed["id"]]
        assert (event["caused_by"], event["action"]["step"], event["action"]["rule"]) == (
            pause["id"],
            "pause_node",
            "freeze",
        )

    freezing(tmp_path, story)


@pytest.mark.parametrize("down", [1, 130, 600])
def test_a_lease_that_ends_during_downtime_resumes_once_at_start(tmp_path: Path, down: int) -> None:
    async def story(it: Frozen) -> None:
        await it.freeze()
        await it.here.minutes(110)
        await it.restart(down)
        await it.here.minutes(2 if down > 10 else 10)
        assert not it.node.paused
        await it.restart()
        await it.here.minutes(30)
        assert (await it.actions(), it.log) == (ONCE, ["PAUSE_TASK", "RESUME_TASK"])
        assert (await it.lease())["state"] == "resumed"

    freezing(tmp_path, story)


def test_a_reload_that_drops_the_rule_leaves_its_lease_running(tmp_path: Path) -> None:
    async def story(it: Frozen) -> None:
        await it.freeze()
        it.here.write_rules("rules: []\n")
        assert (await it.here.here.reload()).accepted
        await it.here.minutes(121)
        assert await it.actions() == ONCE

    freezing(tmp_path, story)


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("touch", ["resumed", "resumed and paused", "edited"])
def test_a_node_that_somebody_has_touched_is_left_as_it_is_and_people_are_told(
    tmp_path: Path, touch: str, down: bool
) -> None:
    async def story(it: Frozen) -> None:
        await it.freeze()
        if down:
            await it.here.kill()
        await it.here.minutes(30)
        if touch == "edited":
            it.edit()
        else:
            it.by_hand(paused=False)
        if touch == "resumed and paused":
            await it.here.minutes(1)
            it.by_hand(paused=True)
        before = list(it.log)
        await it.here.minutes(120)
        if down:
            await it.here.start(ready=False)
            await it.here.minutes(3)
        assert (it.log, it.node.paused) == (before, touch != "resumed")
        lease = await it.lease()
        line = "UPDATE_NODE" if touch == "edited" else "RESUME_TASK"
        assert lease["state"] == "left"
        assert f"somebody has touched the node since: {line} by {it.node.owner.id}" in lease["reason"]
        assert await it.actions() == [("pause_node", "accepted"), ("resume_node", "skipped")]
        assert await it.audit() == ["lease.taken", "lease.left"]
        (notice,) = it.notices
        assert "leaves a node as it is" in notice
        assert it.node.id in notice

    freezing(tmp_path, story)


def test_a_node_that_was_paused_already_is_not_resumed(tmp_path: Path) -> None:
    async def story(it: Frozen) -> None:
        it.by_hand(paused=True)
        await it.fails()
        assert await it.actions() == [("pause_node", "skipped")]
        assert (await it.leases(), await it.audit()) == ([], ["lease.not_taken"])
        await it.here.minutes(130)
        assert it.log == ["PAUSE_TASK"]

    freezing(tmp_path, story)


@pytest.mark.parametrize(("lease", "over"), [("3h", 240), ("5m", 120)])
def test_a_second_pause_makes_a_lease_longer_and_never_shorter(tmp_path: Path, lease: str, over: int) -> None:
    async def story(it: Frozen) -> None:
        await it.freeze()
        await it.here.minutes(58)
        await emitted(it, "again")
        begun = it.node.operations[0].at
        assert len(await it.leases()) == 1
        await it.here.minutes(over - 61 - 2)
        assert it.node.paused
        await it.here.minutes(4)
        assert it.node.operations[1].at - begun == pytest.approx(over * 60, abs=90)
        assert await it.rows("resume_node") == [await latest(it)]

    freezing(tmp_path, story, two(f", lease: {lease}"))


async def latest(it: Frozen) -> JsonObject:
    return (await it.here.here.actions(1))[0]


def test_a_pause_without_end_outlives_the_lease_of_an_earlier_one(tmp_path: Path) -> None:
    async def story(it: Frozen) -> None:
        await it.freeze()
        await emitted(it, "again")
        lease = await it.lease()
        assert (lease["state"], "wants it paused without end" in lease["reason"]) == ("left", True)
        await it.here.minutes(130)
        assert it.log == ["PAUSE_TASK"]

    freezing(tmp_path, story, two(""))


def test_what_phinops_resumes_earlier_ends_the_lease_at_once_and_quietly(tmp_path: Path) -> None:
    async def story(it: Frozen) -> None:
        await it.freeze()
        await emitted(it, "resume")
        lease = await it.lease()
        assert (lease["state"], it.node.paused, it.notices) == ("cancelled", False, [])
        await it.here.minutes(130)
        assert it.log == ["PAUSE_TASK", "RESUME_TASK"]

    freezing(tmp_path, story, two(", lease: 2h"))


def test_a_pause_that_is_refused_has_no_lease(tmp_path: Path) -> None:
    async def story(it: Frozen) -> None:
        it.here.simulator.faults.add(Fault("refuse", api="PausePhysicalNode", code="DPN.OP.NoPermission"))
        await it.fails()
        lease = await it.lease()
        assert (lease["state"], lease["reason"]) == ("void", "its pause was not done")
        await it.here.minutes(130)
        assert (it.log, await it.rows("resume_node")) == ([], [])

    freezing(tmp_path, story)


def test_in_shadow_nothing_is_paused_and_no_lease_is_taken(tmp_path: Path) -> None:
    async def story(it: Frozen) -> None:
        await it.fails()
        assert (await it.actions(), await it.leases()) == ([("pause_node", "shadow")], [])
        await it.here.minutes(130)
        assert await it.actions() == [("pause_node", "shadow")]

    freezing(tmp_path, story, FREEZE.replace("armed", "shadow"))


@pytest.mark.parametrize("kind", ["reset", "reset_after", "error", "bad_gateway_after", "throttle", "unavailable"])
@pytest.mark.parametrize("api", ["PausePhysicalNode", "ResumePhysicalNode"])
def test_lost_and_refused_answers_change_nothing(tmp_path: Path, kind: Kind, api: str) -> None:
    async def story(it: Frozen) -> None:
        it.here.simulator.faults.add(Fault(kind, api=api, count=1, seconds=3))
        await it.fails()
        await it.here.minutes(125)
        assert it.log == ["PAUSE_TASK", "RESUME_TASK"]
        assert ((await it.lease_of_done())["state"], it.notices) == ("resumed", [])

    freezing(tmp_path, story)


@pytest.mark.parametrize(("times", "minutes"), [(2, 2), pytest.param(3, 80, id="also past a breaker")])
def test_a_resumption_that_is_refused_is_tried_again(tmp_path: Path, times: int, minutes: int) -> None:
    async def story(it: Frozen) -> None:
        refuse = Fault("refuse", api="ResumePhysicalNode", code="DPN.OP.Busy", count=times)
        it.here.simulator.faults.add(refuse)
        await it.freeze()
        await it.here.minutes(120 + minutes)
        assert (it.log, refuse.struck) == (["PAUSE_TASK", "RESUME_TASK"], times)
        assert (await it.lease())["state"] == "resumed"

    freezing(tmp_path, story)


def test_a_resumption_that_never_succeeds_is_told_to_people(tmp_path: Path) -> None:
    async def story(it: Frozen) -> None:
        it.here.simulator.faults.add(Fault("refuse", api="ResumePhysicalNode", code="DPN.OP.Busy", message="busy"))
        await it.freeze()
        await it.here.minutes(250)
        lease = await it.lease()
        assert (lease["state"], "DPN.OP.Busy" in lease["reason"], it.node.paused) == ("left", True, True)
        assert len([each for each in it.notices if "phinops leaves a node as it is" in each]) == 1

    freezing(tmp_path, story)


def test_a_lease_waits_until_a_person_has_said_what_became_of_its_pause(tmp_path: Path) -> None:
    async def story(it: Frozen) -> None:
        await it.freeze()
        (pause,) = await it.rows("pause_node")
        await it.here.store.write(lambda tx: tx._connection.execute(_UNKNOWN))
        with pytest.raises(NotUndone, match="nobody knows whether it was done"):
            await it.undo(pause["id"])
        await it.here.minutes(130)
        assert ((await it.lease())["state"], it.log) == ("waiting", ["PAUSE_TASK"])
        assert await it.here.here.resolutions.resolve(pause["id"], "done", "ann", "seen in the console")
        await it.here.minutes(3)
        assert ((await it.lease())["state"], it.log) == ("resumed", ["PAUSE_TASK", "RESUME_TASK"])

    freezing(tmp_path, story)


_UNKNOWN = "UPDATE step SET state = 'unknown', outcome = 'unknown' WHERE kind = 'pause_node'"


def test_while_no_write_may_leave_the_node_waits_for_its_resumption(tmp_path: Path) -> None:
    async def story(it: Frozen) -> None:
        await it.freeze()
        await it.here.here.kill_switch.pause("ann", "release")
        await it.here.minutes(240)
        assert (it.log, (await it.lease())["state"], it.node.paused) == (["PAUSE_TASK"], "resuming", True)
        await it.here.here.kill_switch.resume("ann")
        await it.here.minutes(20)
        assert (it.log, (await it.lease())["state"]) == (["PAUSE_TASK", "RESUME_TASK"], "resumed")

    freezing(tmp_path, story)


NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
PAUSE = Intent(
    "act_1", "fi_1", 0, "pause", 1, "pause_node", "PausePhysicalNode", "t", "node", "n_1", "7", {"lease_s": 60.0}, {},
    state="done",
)  # fmt: skip
LEASE = Lease("act_1", "fi_1", "t", "7", "n_1", "freeze", "h", NOW - MINUTE, NOW, "done")
RESUMED = replace(PAUSE, action_id="act_2", kind="resume_node", api="ResumePhysicalNode", request={})
BY_HAND = replace(RESUMED, kind="call")


def result(outcome: Any, reason: str = "") -> dict[str, StepResult]:
    return {"back": StepResult(outcome, reason)}


@pytest.mark.parametrize(
    ("lease", "later", "others", "what"),
    [
        pytest.param({}, [], [], "resume", id="its time is over"),
        pytest.param({"due": NOW + MINUTE}, [], [], "", id="it runs"),
        pytest.param({"pause": "intent"}, [], [], "", id="its pause is being read back"),
        pytest.param({"pause": "unknown"}, [], [], "", id="nobody knows whether it was paused"),
        pytest.param({"pause": "abandoned"}, [], [], "left", id="nobody will ever know whether it was paused"),
        pytest.param({"pause": "absent"}, [], [], "void", id="it was not paused"),
        pytest.param({"pause": "failed", "due": NOW + MINUTE}, [], [], "void", id="it was refused"),
        pytest.param({"due": NOW + MINUTE}, [RESUMED], [], "cancelled", id="a rule has resumed it"),
        pytest.param({}, [BY_HAND], [], "cancelled", id="a person's call has resumed it"),
        pytest.param({}, [replace(RESUMED, state="unknown")], [], "", id="perhaps it was resumed"),
        pytest.param({}, [replace(RESUMED, state="intent")], [], "", id="it is being resumed"),
        pytest.param({}, [replace(PAUSE, action_id="act_3", request={})], [], "left", id="paused without end"),
        pytest.param({}, [replace(PAUSE, action_id="act_3")], [], "resume", id="paused again, with a lease"),
        pytest.param({}, [], [{"action_id": "act_3", "since": NOW}], "cancelled", id="paused anew since"),
        pytest.param({}, [], [{"action_id": "act_3", "since": NOW, "pause": "absent"}], "resume", id="not paused anew"),
        pytest.param({}, [], [{"action_id": "act_3", "since": NOW, "node_id": "n_2"}], "resume", id="another node"),
        pytest.param({"resuming": "fi_2"}, [], [], "", id="its node is being resumed"),
    ],
)
def test_what_is_to_be_done_about_a_lease_follows_from_the_journal(
    lease: dict[str, Any], later: list[Intent], others: list[dict[str, Any]], what: str
) -> None:
    here = replace(LEASE, **lease)
    company = [here, *(replace(LEASE, **each) for each in others)]
    assert standing(here, Aftermath(PAUSE, later), company, NOW).what == what


@pytest.mark.parametrize(
    ("results", "what", "tell"),
    [
        (result("verified"), "resumed", False),
        (result("accepted"), "resumed", False),
        (result("timed_out"), "resumed", True),
        (result("skipped", "somebody has touched it"), "left", True),
        (result("refused", "no"), "left", True),
        (result("unknown"), "left", True),
        ({}, "left", True),
    ],
)
def test_how_a_lease_ended_follows_from_what_became_of_the_resumption(
    results: dict[str, StepResult], what: str, tell: bool
) -> None:
    ended = replace(LEASE, resuming="fi_2", resumed_at=NOW, firing_reason="phinops failed", results=results)
    found = standing(ended, Aftermath(PAUSE), [ended], NOW)
    assert (found.what, found.tell) == (what, tell)
    assert found.reason if tell else True


@pytest.mark.long
@pytest.mark.parametrize("seed", range(150 if LONG else 12))
def test_kills_at_any_moment_change_nothing(tmp_path: Path, seed: int) -> None:
    """Of the pause and of the resumption each is done once, however often the daemon dies."""
    chance = random.Random(seed)

    async def story(it: Frozen) -> None:
        it.here.simulator.faults.add(Fault("reset_after", probability=0.3, only="writes"))
        it.here.simulator.faults.add(Fault("reset", probability=0.3, only="writes"))
        it.tenant.fail_instance(NODE, takes=0.5)
        for _ in range(chance.randint(2, 8)):
            await it.here.clock.sleep(chance.choice([chance.uniform(0, 90), chance.uniform(0, 1200), 900]))
            await it.restart(chance.choice([0, 0, 0, chance.uniform(0, 150)]))
        await it.here.until(lambda: it.log[-1:] == ["RESUME_TASK"], "it is resumed", 5 * 3600)
        await it.here.minutes(60)
        assert it.log == ["PAUSE_TASK", "RESUME_TASK"]
        assert ((await it.lease_of_done())["state"], it.notices) == ("resumed", [])

    freezing(tmp_path, story, FREEZE.replace("2h", "45m"))
