from __future__ import annotations

import pytest

from phinops.errors import Refused
from phinops.event import Instance, Node, Project
from phinops.execute.steps.kind import BadStep, ItemAnswer, NodeOperation, Step, Target, Write, checked
from phinops.execute.steps.node import NodeParams, PauseNodeParams, paused_by_log
from phinops.execute.steps.table import STEPS
from stillness import Checked, StillLook, after, alert, event_of, failure

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


def test_a_lease_is_known_and_not_there_yet() -> None:
    params = PauseNodeParams.model_validate({"lease": "2h"})
    [(path, message)] = PAUSE.problems(params, Checked())
    assert path == ("lease",)
    assert "not in this version yet" in message
    assert PAUSE.problems(PauseNodeParams(), Checked()) == []
    assert RESUME.problems(NodeParams(), Checked()) == []
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
    assert await PAUSE.baseline(look, pause_of("n_1"), failure()) == {"paused": paused}
    assert await PAUSE.probe(look, pause_of("n_1"), {}) == probe
    assert await PAUSE.progress(look, pause_of("n_1"), {}) == progress
    assert ("log of n_1" in look.asked) is paused  # to tell whose pause is there already


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
