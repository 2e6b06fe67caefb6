"""`phinops undo`: what was done is taken back, once, and only while its target is as it was left."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from frozen import FREEZE, MINUTE, NODE, Frozen, emitted, freezing, two
from phinops.errors import NotUndone
from phinops.event import JsonObject
from phinops.record.audit import entries_of
from phinops.simulate.faults import Fault
from phinops.simulate.model import Instance
from records import LONG

UNLEASED = FREEZE.replace("{ lease: 2h }", "{}")
HOLD = """
rules:
  - id: hold
    on: custom.hold
    mode: armed
    do: [ { STEP: { instance_id: "{{ event.data.id }}", project_id: "131001" } } ]
"""


async def only(it: Frozen, step: str) -> JsonObject:
    (row,) = await it.rows(step)
    return row


def test_an_action_that_is_not_on_record_is_not_found(tmp_path: Path) -> None:
    async def story(it: Frozen) -> None:
        for name in ("act_nobody", "", "fi_1", "../x"):
            with pytest.raises(LookupError, match="is on record"):
                await it.undo(name)

    freezing(tmp_path, story, UNLEASED)


def test_a_pause_is_taken_back_verified_linked_and_told_in_the_trail(tmp_path: Path) -> None:
    async def story(it: Frozen) -> None:
        await it.freeze()
        pause = await only(it, "pause_node")
        plan = await it.here.here.undo_preview(pause["id"])
        assert (plan["step"], plan["api"], plan["rule"]) == ("resume_node", "ResumePhysicalNode", "freeze")
        assert plan["params"] == {"ResumeCommand": {"ProjectId": 131001, "NodeIdList": [it.node.id]}}
        done = await it.undo(pause["id"])
        resume, pause = await only(it, "resume_node"), await only(it, "pause_node")
        assert done == {
            "action": pause["id"], "firing_id": resume["firing_id"], "undone_by": resume["id"], "outcome": "verified",
            "state": "done", "reason": "the target reached its goal",
        }  # fmt: skip
        assert (pause["undone_by"], resume["reverses"]) == (resume["id"], pause["id"])
        assert it.log == ["PAUSE_TASK", "RESUME_TASK"]
        (asked, *_) = await it.here.store.read(lambda tx: entries_of(tx, resume["firing_id"]))
        assert (asked.what, asked.detail) == ("undo.asked", {"action": pause["id"], "by": "ann", "reason": "because"})
        (firing,) = [each for each in await it.here.here.firings(9) if each["id"] == resume["firing_id"]]
        assert firing["rule"] == "operator"
        with pytest.raises(NotUndone, match=f"it was taken back already, by {resume['id']}"):
            await it.undo(pause["id"])
        with pytest.raises(NotUndone, match="it was taken back already"):
            await it.here.here.undo_preview(pause["id"])

    freezing(tmp_path, story, UNLEASED)


def test_what_was_taken_back_may_be_done_again_in_the_same_way(tmp_path: Path) -> None:
    async def story(it: Frozen) -> None:
        await it.freeze()
        first = await it.undo((await only(it, "pause_node"))["id"])
        again = await it.undo(first["undone_by"])
        assert (again["outcome"], it.node.paused, it.log[-1]) == ("verified", True, "PAUSE_TASK")

    freezing(tmp_path, story, UNLEASED)


def test_undoing_a_leased_pause_ends_its_lease(tmp_path: Path) -> None:
    async def story(it: Frozen) -> None:
        await it.freeze()
        await it.undo((await only(it, "pause_node"))["id"])
        await it.here.minutes(1)
        assert (await it.lease())["state"] == "cancelled"
        await it.here.minutes(130)
        assert (it.log, it.notices) == (["PAUSE_TASK", "RESUME_TASK"], [])

    freezing(tmp_path, story)


@pytest.mark.parametrize("touch", ["resumed", "edited"])
def test_a_node_that_somebody_has_touched_since_is_left_and_the_answer_says_by_whom(tmp_path: Path, touch: str) -> None:
    async def story(it: Frozen) -> None:
        await it.freeze()
        pause = await only(it, "pause_node")
        if touch == "edited":
            it.edit()
        else:
            it.by_hand(paused=False)
        before = list(it.log)
        with pytest.raises(NotUndone, match=f"cannot be taken back: somebody has touched the node since: {before[-1]}"):
            await it.here.here.undo_preview(pause["id"])
        done = await it.undo(pause["id"])  # asked for at once: the firing reads for itself
        assert (done["outcome"], "somebody has touched the node" in done["reason"]) == ("skipped", True)
        assert it.log == before
        assert "undone_by" not in await only(it, "pause_node")

    freezing(tmp_path, story, UNLEASED)


def test_an_action_that_another_of_ours_came_after_is_not_the_last_word(tmp_path: Path) -> None:
    async def story(it: Frozen) -> None:
        await it.freeze()
        await emitted(it, "resume")
        resume = await only(it, "resume_node")
        with pytest.raises(NotUndone, match=rf"{resume['id']} \(resume_node\) came after it"):
            await it.undo((await only(it, "pause_node"))["id"])
        done = await it.undo(resume["id"])
        assert (done["outcome"], it.node.paused) == ("verified", True)

    freezing(tmp_path, story, two(""))


def test_a_node_that_was_paused_before_our_pause_stays_so(tmp_path: Path) -> None:
    async def story(it: Frozen) -> None:
        it.by_hand(paused=True)
        await it.fails()
        with pytest.raises(NotUndone, match="it was never done"):
            await it.here.here.undo_preview((await only(it, "pause_node"))["id"])

    freezing(tmp_path, story, UNLEASED)


def test_a_write_that_was_refused_or_never_sent_was_never_done(tmp_path: Path) -> None:
    async def story(it: Frozen) -> None:
        it.here.simulator.faults.add(Fault("refuse", api="PausePhysicalNode", code="DPN.OP.NoPermission"))
        await it.fails()
        with pytest.raises(NotUndone, match="it was never done"):
            await it.undo((await only(it, "pause_node"))["id"])

    freezing(tmp_path, story, UNLEASED)


def test_a_shadow_was_never_sent(tmp_path: Path) -> None:
    async def story(it: Frozen) -> None:
        await it.fails()
        with pytest.raises(NotUndone, match="it was never sent: its rule was in shadow"):
            await it.undo((await only(it, "pause_node"))["id"])

    freezing(tmp_path, story, UNLEASED.replace("armed", "shadow"))


@pytest.mark.parametrize("kind", ["reset", "reset_after"])
def test_a_lost_answer_of_an_undo_is_settled_by_reading(tmp_path: Path, kind: str) -> None:
    async def story(it: Frozen) -> None:
        it.here.simulator.faults.add(Fault(kind, api="ResumePhysicalNode", count=1))  # type: ignore[arg-type]
        await it.freeze()
        pause = await only(it, "pause_node")
        done = await it.undo(pause["id"])
        assert (done["outcome"], it.log) == ("verified", ["PAUSE_TASK", "RESUME_TASK"])

    freezing(tmp_path, story, UNLEASED)


def test_an_undo_goes_on_after_the_daemon_was_killed(tmp_path: Path) -> None:
    async def story(it: Frozen) -> None:
        it.here.simulator.faults.add(Fault("reset_after", api="ResumePhysicalNode", count=1))
        await it.freeze()
        pause = await only(it, "pause_node")
        asked = await it.here.here.undo(pause["id"], "ann", "", MINUTE / 20)
        assert asked["outcome"] == ""
        with pytest.raises(NotUndone, match=f"it is being taken back already, by {asked['firing_id']}"):
            await it.undo(pause["id"])
        await it.restart()
        await it.here.minutes(3)
        assert (it.log, (await only(it, "resume_node"))["outcome"]) == (["PAUSE_TASK", "RESUME_TASK"], "verified")

    freezing(tmp_path, story, UNLEASED)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100 if LONG else 8))
def test_an_undo_is_done_once_however_often_the_daemon_dies(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)

    async def story(it: Frozen) -> None:
        it.here.simulator.faults.add(Fault("reset_after", probability=0.3, only="writes"))
        it.here.simulator.faults.add(Fault("reset", probability=0.3, only="writes"))
        it.tenant.fail_instance(NODE, takes=0.5)
        await it.here.minutes(5)
        (pause,) = [row for row in await it.rows("pause_node") if row["outcome"] == "accepted"]
        asked = await it.here.here.undo(pause["id"], "ann", "", MINUTE * chance.choice([0, 0, 0.1, 0.5]))
        for _ in range(chance.randint(1, 4)):
            await it.restart(chance.choice([0, 0, chance.uniform(0, 9)]))
            await it.here.clock.sleep(chance.uniform(0, 60))
            with pytest.raises(NotUndone, match="taken back already"):
                await it.undo(pause["id"])
        await it.here.minutes(12)
        assert it.log == ["PAUSE_TASK", "RESUME_TASK"]
        (done,) = [row for row in await it.rows("resume_node") if row["outcome"] != "absent"]
        assert (done["firing_id"], done["outcome"], done["reverses"]) == (asked["firing_id"], "verified", pause["id"])

    freezing(tmp_path, story, UNLEASED)


async def _hold(it: Frozen, instance: Instance) -> None:
    await emitted(it, "hold", id=instance.id)


async def _failed(it: Frozen) -> Instance:
    found = it.tenant.fail_instance(NODE, takes=0.5)
    await it.here.minutes(1)
    return found


def test_an_instance_that_was_held_goes_on(tmp_path: Path) -> None:
    async def story(it: Frozen) -> None:
        held = await _failed(it)
        await _hold(it, held)
        assert held.paused
        done = await it.undo((await only(it, "pause_instance"))["id"])
        assert (done["outcome"], held.paused) == ("verified", False)
        again = await it.undo(done["undone_by"])
        assert (again["outcome"], held.paused) == ("verified", True)

    freezing(tmp_path, story, HOLD.replace("STEP", "pause_instance"))


def test_an_instance_that_somebody_let_go_is_not_as_it_was_left(tmp_path: Path) -> None:
    async def story(it: Frozen) -> None:
        held = await _failed(it)
        await _hold(it, held)
        held.paused = False
        with pytest.raises(NotUndone, match="the instance is not paused any more"):
            await it.here.here.undo_preview((await only(it, "pause_instance"))["id"])

    freezing(tmp_path, story, HOLD.replace("STEP", "pause_instance"))


@pytest.mark.parametrize(
    ("step", "why"),
    [
        ("rerun_instance", "only another run makes good what it wrote"),
        ("set_instance_success", "no call makes a success a failure"),
    ],
)
def test_what_nothing_restores_is_refused_with_the_reason_and_a_way_out(tmp_path: Path, step: str, why: str) -> None:
    async def story(it: Frozen) -> None:
        await _hold(it, await _failed(it))
        action = await only(it, step)
        with pytest.raises(NotUndone, match=why):
            await it.undo(action["id"])

    freezing(tmp_path, story, HOLD.replace("STEP", step))
