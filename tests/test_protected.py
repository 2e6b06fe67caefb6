"""What is protected takes no write of a rule's, and neither does what may be."""

from __future__ import annotations

from typing import Any

import pytest

from phinops.event import JsonObject, Node
from phinops.execute.guard import Protected, Rails
from phinops.virtual import run
from worlds import Stage, failed_event, firing_of, stage

RAILS = Rails(500, Protected(nodes=("dws*",)))


async def _do(shown: Stage, step: JsonObject, **changes: Any) -> Any:
    event = failed_event(shown.world.add_failed("t_1"))
    firing = firing_of(event, [step], **changes)
    await shown.add(firing, event)
    (ended,) = await shown.ended(firing.id)
    return ended


@pytest.mark.parametrize(("mode", "told"), [("armed", ["protected from r"]), ("shadow", [])])
def test_a_protected_node_is_refused_without_a_call_in_shadow_too(mode: str, told: list[str]) -> None:
    async def main() -> None:
        async with stage(rails=RAILS) as shown:
            ended = await _do(shown, {"kind": "rerun_instance"}, mode=mode)
            assert ended.results["s0"].outcome == "refused"
            assert "safety.protected: node dws is protected by «dws*»" in ended.reason
            assert (await shown.last_step(ended.id)).result["reason"] == ended.results["s0"].reason
            assert (shown.world.calls, shown.world.reads) == ([], 0)
            assert [alarm.about for alarm in shown.alarms] == told

    run(main())


def test_another_node_is_written_to_and_one_that_cannot_be_read_is_not() -> None:
    async def main() -> None:
        async with stage(rails=RAILS) as shown:
            shown.world.nodes["n_2"] = Node(id="n_2", name="ods", paused=False)
            other = {"kind": "pause_node", "params": {"node_id": "n_2", "project_id": "7"}}
            assert (await _do(shown, other)).state == "done"
            unknown = {"kind": "pause_node", "params": {"node_id": "n_3", "project_id": "7"}}
            ended = await _do(shown, unknown, id="fi_2")
            assert "is not known: the name of node n_3 cannot be read" in ended.reason
            assert shown.world.calls == [["n_2"]]

    run(main())
