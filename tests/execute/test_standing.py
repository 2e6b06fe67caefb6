"""What is not sent, because somebody else was there first; and what waits until the write before it shows."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any

import anyio
import pytest

from phinops.event import JsonObject, Node
from phinops.execute.steps.kind import NodeOperation
from phinops.firing import Firing
from phinops.virtual import run
from worlds import START, Stage, failed_event, firing_of, stage

RERUN: JsonObject = {"kind": "rerun_instance"}
NODE: JsonObject = {"params": {"node_id": "n_1", "project_id": "7"}}


async def _later(shown: Stage, becomes: dict[str, Any], *steps: JsonObject) -> Firing:
    """A firing that was decided on a failed instance long ago, which has become something else meanwhile."""
    event = failed_event(shown.world.add_failed("t_1"))
    shown.world.instances["t_1"] = replace(shown.world.instances["t_1"], **becomes)
    firing = firing_of(event, [*steps] or [RERUN], state="running", started_at=START)
    await shown.add(firing, event)
    (ended,) = await shown.ended(firing.id)
    return ended


@pytest.mark.parametrize(
    ("becomes", "said"),
    [
        ({"status": "SUCCESS"}, "it was FAILED when the rule decided, and is SUCCESS now"),
        ({"status": "RUNNING", "ended_at": None}, "it was FAILED when the rule decided, and is RUNNING again"),
        ({"started_at": START}, "another run of it has begun since the rule decided"),
    ],
)
def test_an_instance_that_somebody_saw_to_is_left_alone_and_the_reason_names_what_changed(
    becomes: dict[str, Any], said: str
) -> None:
    async def main() -> None:
        async with stage() as shown:
            ended = await _later(shown, becomes)
            assert (ended.state, shown.world.calls) == ("failed", [])
            assert ended.results["s0"].outcome == "refused"
            assert ended.results["s0"].reason == f"t_1 was left alone: {said}"

    run(main())


def test_a_rerun_of_an_instance_that_shows_nowhere_is_not_sent_blindly() -> None:
    async def main() -> None:
        async with stage() as shown:
            event = failed_event(shown.world.add_failed("t_1"))
            firing = firing_of(event, [{**RERUN, "params": {"instance_id": "t_2"}}])
            await shown.add(firing, event)
            (ended,) = await shown.ended(firing.id)
            assert (ended.state, shown.world.calls) == ("failed", [])
            assert "project 7 has no such instance" in ended.reason

    run(main())


def test_what_has_nothing_to_do_is_skipped_says_so_and_the_next_step_runs() -> None:
    async def main() -> None:
        async with stage() as shown:
            terminate, again = {"kind": "terminate_instance"}, {**RERUN, "if": "steps.s0.outcome == 'skipped'"}
            ended = await _later(shown, {}, terminate, again)
            assert [result.outcome for result in ended.results.values()] == ["skipped", "accepted"]
            assert ended.results["s0"].reason == "nothing was sent to t_1: it is FAILED already"
            assert shown.world.reruns == {"t_1": 1}
            assert [event.action.outcome for event in shown.events if event.action] == ["accepted"]
            row = await shown.last_step(ended.id, 0)
            assert (row.state, row.outcome, row.target_id) == ("skipped", "skipped", "t_1")

    run(main())


def test_a_node_that_a_person_paused_is_left_alone_and_the_log_tells_who_it_was() -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.nodes["n_1"] = Node(id="n_1", paused=True)
            shown.world.logs["n_1"] = [NodeOperation("UPDATE_NODE", START), NodeOperation("PAUSE_TASK", START, "Li")]
            event = failed_event(shown.world.add_failed("t_1"))
            firing = firing_of(event, [{"kind": "pause_node", **NODE}])
            await shown.add(firing, event)
            (ended,) = await shown.ended(firing.id)
            assert (ended.state, shown.world.calls) == ("done", [])
            assert ended.results["s0"].reason == (
                f"nothing was sent to n_1: it is paused already, by Li, since {START.isoformat()}"
            )

    run(main())


@pytest.mark.parametrize(("late", "calls"), [(0.0, 2), (6.0, 2), (14.0, 2)])
def test_a_resume_is_not_overtaken_by_the_pause_before_it(late: float, calls: int) -> None:
    """Within the time that a write may take to take hold, whether or not the rule follows the first one."""

    async def main() -> None:
        async with stage() as shown:
            shown.world.nodes["n_1"] = Node(id="n_1", paused=False)
            shown.world.flag_delays = deque([late])
            event = failed_event(shown.world.add_failed("t_1"))
            firing = firing_of(event, [{"kind": "pause_node", **NODE}, {"kind": "resume_node", **NODE}])
            await shown.add(firing, event)
            (ended,) = await shown.ended(firing.id)
            assert [result.outcome for result in ended.results.values()] == ["accepted", "accepted"]
            await anyio.sleep(100)
            view = await shown.world.node("7", "n_1")
            assert view is not None
            assert (view.node.paused, len(shown.world.calls)) == (False, calls)

    run(main())


def test_a_write_after_one_that_never_shows_waits_for_the_quiet_time_and_no_longer() -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.nodes["n_1"] = Node(id="n_1", paused=False)
            shown.world.flag_delays = deque([1e6])
            event = failed_event(shown.world.add_failed("t_1"))
            firing = firing_of(event, [{"kind": "pause_node", **NODE}, {"kind": "resume_node", **NODE}])
            began = shown.world.clock.monotonic()
            await shown.add(firing, event)
            (ended,) = await shown.ended(firing.id)
            assert (ended.results["s1"].outcome, len(shown.world.calls)) == ("accepted", 2)  # the flag may lie
            assert 15 <= shown.world.clock.monotonic() - began < 20

    run(main())


@pytest.mark.parametrize(("fault", "reruns"), [("lost after", 1), ("lost before", 1)])
def test_the_log_of_runs_tells_what_a_record_without_times_does_not(fault: Any, reruns: int) -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.faults = deque([fault])
            shown.world.shows_after = 1e9
            shown.world.instances["t_1"] = replace(shown.world.add_failed("t_1"), started_at=None, ended_at=None)
            event = failed_event(shown.world.instances["t_1"])
            firing = firing_of(event, [RERUN])
            await shown.add(firing, event)
            (ended,) = await shown.ended(firing.id)
            assert ended.results["s0"].outcome == "accepted"
            assert shown.world.reruns == {"t_1": reruns}

    run(main())


PROBED: JsonObject = {
    "kind": "call",
    "params": {
        "call": "PausePhysicalNode",
        "with": {"PauseCommand": {"ProjectId": 7, "NodeIdList": ["n_1"]}},
        "probe": {
            "call": "GetPhysicalNode",
            "with": {"NodeId": "n_1"},
            "if": "sent.PauseCommand.NodeIdList[0] in reply.Paused",
        },
    },
}


@pytest.mark.parametrize(("fault", "calls"), [("lost after", 1), ("lost before", 2)])
def test_a_call_with_a_probe_is_settled_by_it_and_sent_again_only_if_it_was_not_done(fault: Any, calls: int) -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.faults = deque([fault])
            shown.world.nodes["n_1"] = Node(id="n_1", paused=False)
            event = failed_event(shown.world.add_failed("t_1"))
            firing = firing_of(event, [{**PROBED, "verify_s": 600}])
            await shown.add(firing, event)
            (ended,) = await shown.ended(firing.id)
            assert ended.results["s0"].outcome == "verified"
            assert (len(shown.world.calls), shown.world.nodes["n_1"].paused) == (calls, True)

    run(main())


def test_a_call_whose_probe_holds_already_is_not_sent() -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.nodes["n_1"] = Node(id="n_1", paused=True)
            event = failed_event(shown.world.add_failed("t_1"))
            firing = firing_of(event, [PROBED])
            await shown.add(firing, event)
            (ended,) = await shown.ended(firing.id)
            assert (ended.results["s0"].outcome, shown.world.calls) == ("skipped", [])
            assert "GetPhysicalNode shows already what its probe asks for" in ended.results["s0"].reason

    run(main())


def test_a_call_whose_probe_cannot_be_told_is_not_sent_blindly() -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.nodes["n_1"] = Node(id="n_1", paused=False)
            event = failed_event(shown.world.add_failed("t_1"))
            params = {**PROBED["params"], "probe": {**PROBED["params"]["probe"], "if": "reply.Nothing == 1"}}
            firing = firing_of(event, [{**PROBED, "params": params}])
            await shown.add(firing, event)
            (ended,) = await shown.ended(firing.id)
            assert (ended.results["s0"].outcome, shown.world.calls) == ("refused", [])
            assert 'there is no key "Nothing"' in ended.results["s0"].reason

    run(main())


@pytest.mark.parametrize("dies", [0.02, 0.05, 5.0, 16.0, 30.0])
def test_a_call_with_a_probe_survives_a_restart_at_any_moment(dies: float) -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.nodes["n_1"] = Node(id="n_1", paused=False)
            event = failed_event(shown.world.add_failed("t_1"))
            firing = firing_of(event, [PROBED])
            with anyio.move_on_after(dies):
                async with stage(shown.store, shown.world) as first:
                    first.world.faults = deque(["lost before"])
                    await first.add(firing, event)
                    await anyio.sleep_forever()
            shown.world.faults.clear()
            async with stage(shown.store, shown.world) as again:
                await again.courses.resume(await again.courses.left_open())
                (ended,) = await again.ended(firing.id)
            assert ended.results["s0"].outcome == "accepted"
            assert len(shown.world.logs["n_1"]) == 1

    run(main())
