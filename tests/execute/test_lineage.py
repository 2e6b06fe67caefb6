"""What hangs below is asked for once for a node, however many of its instances fail."""

from __future__ import annotations

import anyio
import pytest

from phinops.clock import LoopClock
from phinops.errors import Transient
from phinops.event import Event, Instance, Node
from phinops.execute.lineage import KEPT, Lineage
from phinops.execute.steps.kind import Target
from phinops.virtual import run
from worlds import START


class Counting:
    """Answers with how often it was asked; `faults` answers fail first."""

    def __init__(self, clock: LoopClock, faults: int = 0) -> None:
        self.asked: list[str] = []
        self._clock = clock
        self._faults = faults

    async def downstream(self, target: Target) -> int:
        self.asked.append(target.id)
        await self._clock.sleep(0.1)
        if len(self.asked) <= self._faults:
            raise Transient("GetInstanceDownStream", "InternalError", "not now")
        return len(self.asked)


def _failed(number: int, node: str) -> Event:
    return Event(
        id=f"ev_{number}", type="instance.failed", time=START, tenant="t", source="instances",
        instance=Instance(f"t_{number}"), node=Node(node, "dws"),
    )  # fmt: skip


def test_a_hundred_failures_of_ten_nodes_cost_ten_calls_also_when_they_come_at_once() -> None:
    async def main() -> None:
        clock = LoopClock(START)
        look = Counting(clock)
        lineage = Lineage(look, clock)
        async with anyio.create_task_group() as group:
            for number in range(100):
                target = Target("instance", f"t_{number}", "7")
                group.start_soon(lineage.below, target, _failed(number, f"n_{number % 10}"))
        assert len(look.asked) == 10
        print(f"100 failures of 10 nodes: {len(look.asked)} calls for what hangs below")
        await clock.sleep(KEPT + 1)
        await lineage.below(Target("instance", "t_0", "7"), _failed(0, "n_0"))
        assert len(look.asked) == 11

    run(main())


def test_an_instance_that_is_not_the_event_s_is_asked_for_by_itself_and_so_is_a_node() -> None:
    async def main() -> None:
        clock = LoopClock(START)
        look = Counting(clock)
        lineage, event = Lineage(look, clock), _failed(1, "n_1")
        targets = (Target("instance", "t_1"), Target("instance", "t_2"), Target("node", "n_1"), Target("node", "n_1"))
        assert [await lineage.below(target, event) for target in targets] == [1, 2, 3, 3]
        assert look.asked == ["t_1", "t_2", "n_1"]

    run(main())


def test_what_could_not_be_read_is_not_kept_and_whoever_waited_asks_himself() -> None:
    async def main() -> None:
        clock = LoopClock(START)
        look = Counting(clock, faults=1)
        lineage, event, target = Lineage(look, clock), _failed(1, "n_1"), Target("node", "n_1")
        found: list[int] = []

        async def ask() -> None:
            found.append(await lineage.below(target, event))

        async def fail() -> None:
            with pytest.raises(Transient):
                await lineage.below(target, event)

        async with anyio.create_task_group() as group:
            group.start_soon(fail)
            await clock.sleep(0.01)
            group.start_soon(ask)
        assert found == [2]

    run(main())
