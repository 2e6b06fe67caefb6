from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from phinops.errors import Refused, Transient
from phinops.event import Instance, Node, Project
from phinops.execute.steps.kind import BadStep, ItemAnswer, NodeOperation, Step, Target, Write, checked
from phinops.execute.steps.node import NodeParams, PauseNodeParams, paused_by_log, touched
from phinops.execute.steps.table import STEPS
from stillness import StillLook, after, alert, event_of, failure

PAUSE, RESUME = STEPS["pause_node"], STEPS["resume_node"]
BOTH = [
    pytest.param(PAUSE, "PausePhysicalNode", "PauseCommand", id="pause"),
    pytest.param(RESUME, "ResumePhysicalNode", "ResumeCommand", id="resume"),
]


def pause_of(node_id: str) -> Write:
    return Write("pause_node", "PausePhysicalNode", Target("node", node_id, "7"), {}, "PausePhysicalNode|7")


@pytest.mark.parametrize(("step", "api", "command"), BOTH)
async def test_it_acts_on_the_node_of_the_event_s_instance(step: Step, api: str, command: str) -> None:
    write = await step.write(NodeParams(), failure(), StillLook())
    assert write == Write(
        step=step.name,
        api=api,
        target=Target("node", "n_1", "7"),
        params={command: {"ProjectId": 7, "NodeIdList": ["n_1"]}},
        batch=f"{api}|7",
    )
    assert step.writes(NodeParams())


async def test_an_alert_s_node_is_looked_up_through_its_instance() -> None:
    look = StillLook({"t_1": Instance(id="t_1")}, {"n_8": Node(id="n_8")})
    write = await PAUSE.write(PauseNodeParams(), alert("t_1"), look)
    assert write.target == Target("node", "n_8", "7")
    assert look.asked == ["t_1"]


async def test_a_named_node_needs_no_look() -> None:
    look = StillLook()
    write = await PAUSE.write(checked(PAUSE, {"node_id": "n_3", "project_id": 4}), alert("t_1"), look)
    assert (write.target, look.asked) == (Target("node", "n_3", "4"), [])


async def test_an_alert_whose_instance_is_gone_is_refused() -> None:
    with pytest.raises(BadStep, match="the alert's instance t_1 is unknown in project 7"):
        await PAUSE.write(PauseNodeParams(), alert("t_1"), StillLook())


async def test_an_event_without_a_node_needs_its_id() -> None:
    hook = event_of(type="hook.deploy", source="hook", project=Project())
    with pytest.raises(BadStep, match="name one with node_id"):
        await PAUSE.write(checked(PAUSE, {"project_id": "7"}), hook, StillLook())


@pytest.mark.parametrize(("lease", "span"), [("1m", 60), ("2h", 7200), (None, None)])
async def test_a_pause_may_have_a_lease(lease: str | None, span: float | None) -> None:
    write = await PAUSE.write(checked(PAUSE, {"lease": lease} if lease else {}), failure(), StillLook())
    assert write.lease == (timedelta(seconds=span) if span else None)


@pytest.mark.parametrize("lease", ["59s", "0s", "367d", "soon", 5])
def test_a_lease_is_neither_shorter_than_a_minute_nor_longer_than_a_year(lease: object) -> None:
    with pytest.raises(BadStep, match="lease"):
        checked(PAUSE, {"lease": lease})


def test_a_resumption_has_no_lease() -> None:
    with pytest.raises(BadStep, match="lease"):
        checked(RESUME, {"lease": "2h"})


def test_nodes_of_one_project_travel_in_one_call() -> None:
    merged = PAUSE.merge([pause_of("n_1"), pause_of("n_2")])
    assert merged == {"PauseCommand": {"ProjectId": 7, "NodeIdList": ["n_1", "n_2"]}}


def test_each_node_s_answer_is_read() -> None:
    body = {
        "NodeOperateResultList": [
            {"NodeId": "n_1", "Status": "SUCCESS"},
            {"NodeId": "n_2", "Status": "FAILED", "ErrorMessage": "no such node"},
        ]
    }
    assert PAUSE.items(body, ["n_1", "n_2"]) == {"n_1": ItemAnswer(True), "n_2": ItemAnswer(False, "no such node")}
    assert PAUSE.result(body) == {}
    assert not PAUSE.met(Refused("PausePhysicalNode", "DPN.OP.NodeNotFound", ""))


@pytest.mark.parametrize(
    ("paused", "probe", "progress"),
    [(True, "applied", "verified"), (False, "absent", "pending")],
)
async def test_the_list_s_flag_tells(paused: bool, probe: str, progress: str) -> None:
    look = StillLook(shown_nodes={"n_1": Node(id="n_1", paused=paused)})
    assert await PAUSE.probe(look, pause_of("n_1"), {}) == probe
    assert await PAUSE.progress(look, pause_of("n_1"), {}) == progress
    assert "log of n_1" not in look.asked
    assert (await PAUSE.baseline(look, pause_of("n_1"), failure()))["paused"] is paused


async def test_where_no_list_shows_the_node_its_operation_log_tells() -> None:
    look = StillLook(shown_nodes={"n_1": Node(id="n_1")}, logs={"n_1": [NodeOperation("PAUSE_TASK", after(1))]})
    assert await PAUSE.probe(look, pause_of("n_1"), {}) == "applied"
    assert await RESUME.progress(look, pause_of("n_1"), {}) == "pending"
    look.logs["n_1"].insert(0, NodeOperation("RESUME_TASK", after(2)))
    assert await RESUME.progress(look, pause_of("n_1"), {}) == "verified"


async def test_a_node_that_is_gone_is_unclear() -> None:
    assert await PAUSE.probe(StillLook(), pause_of("n_1"), {"paused": False}) == "unclear"
    assert await PAUSE.progress(StillLook(), pause_of("n_1"), {"paused": False}) == "pending"


def test_other_lines_of_the_log_say_nothing_of_the_pause() -> None:
    edit, pause = NodeOperation("UPDATE_NODE", after(3)), NodeOperation("PAUSE_TASK", after(1))
    assert paused_by_log([edit, pause]) is True
    assert paused_by_log([edit]) is None
    assert paused_by_log([]) is None


async def test_the_baseline_keeps_the_newest_line_of_the_log() -> None:
    look = StillLook(shown_nodes={"n_1": Node(id="n_1")}, logs={"n_1": [line("PAUSE_TASK", 3), line("CREATE_NODE", 0)]})
    assert await RESUME.baseline(look, pause_of("n_1"), None) == {"paused": True, "log": kept(line("PAUSE_TASK", 3))}


class Hidden(StillLook):
    async def operations(self, node_id: str) -> Sequence[NodeOperation]:
        raise Refused("GetPhysicalNodeOperationLog", "DPN.NoSuchApi", "not in this version")


async def test_a_node_whose_log_is_not_shown_to_us_can_be_paused_and_is_never_known_to_be_untouched() -> None:
    look = Hidden(shown_nodes={"n_1": Node(id="n_1", paused=False)})
    before = await PAUSE.baseline(look, pause_of("n_1"), None)
    assert before == {"paused": False}
    assert "cannot be read" in await PAUSE.reverse.altered(look, pause_of("n_1"), before, 1)
    seen = {"paused": False, "log": {}}
    assert "cannot be read" in await PAUSE.reverse.altered(look, pause_of("n_1"), seen, 1)


async def test_a_log_that_cannot_be_read_this_time_is_an_error() -> None:
    with pytest.raises(Transient):
        await PAUSE.reverse.altered(StillLook(broken=True), pause_of("n_1"), {"paused": False, "log": {}}, 1)


async def test_what_was_so_before_is_not_ours_to_take_back() -> None:
    look = StillLook()
    assert "was paused before" in await PAUSE.reverse.altered(look, pause_of("n_1"), {"paused": True, "log": {}}, 1)
    assert "was not paused before" in await RESUME.reverse.altered(
        look, pause_of("n_1"), {"paused": False, "log": {}}, 1
    )
    assert look.asked == []


def line(kind: str, minutes: float, operator: str = "us") -> NodeOperation:
    return NodeOperation(kind, after(minutes), operator)


def kept(operation: NodeOperation) -> dict[str, str]:
    assert operation.time
    return {"type": operation.type, "time": operation.time.isoformat(), "operator": operation.operator}


BEFORE = line("CREATE_NODE", 0, "ann")
OURS = line("PAUSE_TASK", 1)


@pytest.mark.parametrize(
    ("since", "sends", "said"),
    [
        ([], 1, ""),  # it was paused by an attempt that came late, or a service that logs late
        ([OURS], 1, ""),
        ([line("PAUSE_TASK", 2), OURS], 2, ""),
        ([line("PAUSE_TASK", 2), OURS], 1, "PAUSE_TASK by us"),
        ([line("PAUSE_TASK", 2, "ann"), OURS], 2, "PAUSE_TASK by ann"),
        ([line("RESUME_TASK", 2, "ann"), OURS], 1, "RESUME_TASK by ann at 2026-01-05T12:02:00+00:00"),
        ([line("PAUSE_TASK", 3, "ann"), line("RESUME_TASK", 2, "ann"), OURS], 3, "RESUME_TASK by ann"),
        ([line("UPDATE_NODE", 2, "ann"), OURS], 1, "UPDATE_NODE by ann"),
        ([line("RESUME_TASK", 2), OURS], 9, "RESUME_TASK by us"),
        ([OURS, line("UPDATE_NODE", 0.5, "ann")], 1, "UPDATE_NODE by ann"),
        ([NodeOperation("", None), OURS], 1, "an operation"),
    ],
)
def test_every_line_since_then_that_is_not_our_own_pause_is_somebody_s_touch(
    since: list[NodeOperation], sends: int, said: str
) -> None:
    found = touched([*since, BEFORE], kept(BEFORE), "PAUSE_TASK", sends)
    assert said in found if said else found == ""
    assert touched(since, {}, "PAUSE_TASK", sends) == found


def test_a_log_that_has_lost_the_line_of_then_tells_nothing() -> None:
    assert "does not show any more" in touched([OURS], kept(BEFORE), "PAUSE_TASK", 1)
