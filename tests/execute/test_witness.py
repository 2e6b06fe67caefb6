from __future__ import annotations

import json

from phinops.event import Instance, Node
from phinops.execute.steps.kind import NodeOperation, Taskrun
from phinops.execute.witness import RUNS, Witness
from stillness import NOON, StillLook, after


async def test_what_was_read_last_is_remembered_as_json() -> None:
    look = StillLook(
        {"t_1": Instance("t_1", "RUNNING", started_at=NOON)},
        {"n_1": Node("n_1", paused=True)},
        {"n_1": [NodeOperation("PAUSE_TASK", after(n)) for n in range(9)]},
    )
    witness = Witness(look)
    assert witness.saw == {}
    assert witness.flows is look.flows
    await witness.instance("7", "t_1")
    look.shown_instances["t_1"] = Instance("t_1", "SUCCESS", started_at=NOON, ended_at=after(5))
    assert await witness.instance("7", "t_1") == await look.instance("7", "t_1")
    await witness.instances("7", ["t_1"])
    await witness.node("7", "n_1")
    await witness.operations("n_1")
    await witness.taskruns("7", "t_1")
    saw = json.loads(json.dumps(witness.saw))
    assert saw["instance"]["status"] == "SUCCESS"
    assert saw["instances"]["t_1"] == saw["instance"]
    assert saw["node"] == {"paused": True}
    assert [line["type"] for line in saw["operations"]] == ["PAUSE_TASK"] * RUNS
    assert saw["taskruns"] == []
    assert await witness.shows("GetX", {}, "true", {}) == await look.shows("GetX", {}, "true", {})
    assert set(witness.saw["GetX"]) == {"shows", "reason"}


async def test_of_runs_the_newest_are_remembered_and_what_is_not_there_is_nothing() -> None:
    witness = Witness(StillLook(runs={"t_1": [Taskrun(f"run_{n}", "FAILED", after(n)) for n in range(5)]}))
    await witness.taskruns("7", "t_1")
    await witness.instance("7", "t_1")
    await witness.node("7", "n_1")
    assert len(witness.saw["taskruns"]) == RUNS
    assert (witness.saw["instance"], witness.saw["node"]) == (None, None)
