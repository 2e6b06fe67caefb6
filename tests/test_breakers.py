"""Breakers around a tenant that refuses: they open once, outlast a restart, try one write and close again."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import timedelta

import anyio

from phinops.clock import LoopClock
from phinops.execute.guard import Breakers, Rails
from phinops.firing import Firing
from phinops.record.sqlite import Store
from phinops.virtual import run
from worlds import START, Fault, Stage, World, failed_event, firing_of, stage

RULE = Breakers(rule=3, target=99, open_for=timedelta(hours=1))
TARGET = Breakers(rule=99, target=2, open_for=timedelta(hours=1))


async def _rerun(shown: Stage, name: str, faults: Sequence[Fault] = (), run: str = "") -> Firing:
    """The end of a firing that reruns an instance which failed."""
    shown.world.faults = deque(faults)
    event = failed_event(shown.world.add_failed(name))
    firing = firing_of(event, [{"kind": "rerun_instance"}], id=f"fi_{name}{run}")
    await shown.add(firing, event)
    (ended,) = await shown.ended(firing.id)
    return ended


def test_what_dataphin_refuses_again_and_again_is_not_asked_for_any_more_until_one_write_gets_through() -> None:
    async def main() -> None:
        async with stage(rails=Rails(500, breakers=RULE)) as shown:
            for number in range(3):
                assert "DPN.OP.NoPermission" in (await _rerun(shown, f"t_{number}", ["refused"])).reason
            for number in range(3, 8):
                ended = await _rerun(shown, f"t_{number}")
                assert "breaker of rule r: 3 writes in a row were refused" in ended.reason
                assert "none until 2026-01-05 01:16:4" in ended.reason
                assert "NoPermission" in ended.reason
            assert len(shown.world.calls) == 3
            assert {alarm.about for alarm in shown.alarms} == {"breaker of rule r"}
            await anyio.sleep(3600)
            assert (await _rerun(shown, "t_8", ["refused"])).reason.endswith("no")
            assert "4 writes in a row" in (await _rerun(shown, "t_9")).reason
            await anyio.sleep(3600)
            assert (await _rerun(shown, "t_10")).state == "done"
            assert (await _rerun(shown, "t_11", ["refused"])).reason.endswith("no")
            assert (await _rerun(shown, "t_12")).state == "done"

    run(main())


def test_a_target_that_takes_nothing_is_left_alone_while_the_rule_goes_on_elsewhere() -> None:
    async def main() -> None:
        async with stage(rails=Rails(500, breakers=TARGET)) as shown:
            for number in range(2):
                await _rerun(shown, "t_1", ["refused"], run=f"_{number}")
            assert "breaker of target t_1: 2 writes" in (await _rerun(shown, "t_1", run="_2")).reason
            assert (await _rerun(shown, "t_2")).state == "done"
            assert len(shown.world.calls) == 3

    run(main())


def test_of_those_that_ask_when_the_time_is_over_one_goes_out_and_the_others_wait_for_what_it_finds() -> None:
    async def main() -> None:
        async with stage(rails=Rails(500, breakers=RULE)) as shown:
            for number in range(3):
                await _rerun(shown, f"t_{number}", ["refused"])
            await anyio.sleep(3600)
            events = [failed_event(shown.world.add_failed(f"t_{number}")) for number in range(10, 15)]
            firings = [firing_of(event, [{"kind": "rerun_instance"}], id=f"fi_{event.id}") for event in events]
            for firing, event in zip(firings, events, strict=True):
                await shown.add(firing, event)
            ended = await shown.ended(*(firing.id for firing in firings))
            assert [each.state for each in ended] == ["done"] * 5
            assert [len(call) for call in shown.world.calls[3:]] == [1, 4]

    run(main())


def test_a_breaker_is_open_after_a_restart_too() -> None:
    async def main() -> None:
        clock = LoopClock(START)
        async with Store.open(":memory:", clock) as store:
            world = World(clock)
            async with stage(store, world, rails=Rails(500, breakers=RULE)) as shown:
                for number in range(3):
                    await _rerun(shown, f"t_{number}", ["refused"])
            async with stage(store, world, rails=Rails(500, breakers=RULE)) as shown:
                assert "breaker of rule r" in (await _rerun(shown, "t_3")).reason
            assert len(world.calls) == 3

    run(main())
