"""Some minutes after a write was settled by reading its target is read again, and what was done twice is told."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest

from phinops.event import JsonObject, Node
from phinops.execute.desk import Alarm
from phinops.execute.settle import Settler
from phinops.execute.steps.table import STEPS
from phinops.firing import Notice
from phinops.pulse import Pulse
from phinops.record import journal, lists
from phinops.record.audit import entries_of
from phinops.record.book import Book
from phinops.record.looks import put_look
from phinops.second_look import SecondLooks
from phinops.virtual import run
from worlds import Fault, Reading, Stage, failed_event, firing_of, stage

RERUN: JsonObject = {"kind": "rerun_instance"}
PAUSE: JsonObject = {"kind": "pause_node", "params": {"node_id": "n_1", "project_id": "7"}}
MINUTE = 60.0


@dataclass(slots=True)
class Told:
    alarms: list[Alarm] = field(default_factory=list)

    def of(self, tenant: str, alarm: Alarm) -> Sequence[Notice]:
        self.alarms.append(alarm)
        return [Notice(f"msg_{len(self.alarms)}", "oncall", {"title": alarm.title})]

    def wake(self) -> None:
        pass


async def watch(shown: Stage, told: Told, seconds: float) -> None:
    """Let second looks be made for so long; then whoever makes them dies."""
    world = shown.world
    settler = Settler(Reading(world), Book(shown.store), world.clock, 15.0)
    looks = SecondLooks(shown.store, {"t": settler}, STEPS, world.clock, Pulse(world.clock), told)
    with anyio.move_on_after(seconds):
        await looks.run()


async def act(shown: Stage, step: JsonObject, *faults: Fault, id: str = "fi_1") -> None:
    shown.world.faults = deque(faults)
    known = "t_1" in shown.world.instances
    event = failed_event(shown.world._now("t_1") if known else shown.world.add_failed("t_1"))
    await shown.add(firing_of(event, [step], id=id, key=id, rule=id), event)
    await shown.ended(id)


async def trail(shown: Stage, firing_id: str = "fi_1") -> list[tuple[str, Any]]:
    entries = await shown.store.read(lambda tx: entries_of(tx, firing_id))
    return [(each.what, each.detail["found"]) for each in entries if "found" in each.detail]


async def doubled(shown: Stage) -> list[str]:
    rows = await shown.store.read(lambda tx: lists.list_actions(tx, 10))
    assert (await shown.store.read(journal.counts))["doubled"] == sum("doubled" in row for row in rows)
    return [row.get("doubled", "") for row in rows]


async def notices(shown: Stage) -> int:
    return len(await shown.store.read(lambda tx: tx.all("due_notices", notifier="oncall", now=tx.now, limit=9)))


@pytest.mark.parametrize("fault", ["lost after", "lost before"])
def test_a_write_that_was_done_once_is_looked_at_once_and_nobody_hears_of_it(fault: Fault) -> None:
    async def main() -> None:
        async with stage() as shown:
            await act(shown, RERUN, fault)
            told = Told()
            await watch(shown, told, 8 * MINUTE)
            assert await trail(shown) == []
            await watch(shown, told, 5 * MINUTE)
            assert await trail(shown) == [("action.looked_at", "done once, and meant once")]
            reads = shown.world.reads
            await watch(shown, told, 60 * MINUTE)
            assert (told.alarms, shown.world.reads, set(await doubled(shown))) == ([], reads, {""})

    run(main())


def test_what_was_answered_at_once_is_not_looked_at_again() -> None:
    async def main() -> None:
        async with stage() as shown:
            await act(shown, RERUN)
            reads = shown.world.reads
            await watch(shown, Told(), 60 * MINUTE)
            assert shown.world.reads == reads

    run(main())


def test_a_lost_write_that_arrives_late_is_told_once_and_on_record_and_not_repaired() -> None:
    async def main() -> None:
        async with stage() as shown:
            await act(shown, RERUN, "lost before")
            await anyio.sleep(2 * MINUTE)
            shown.world.ran["t_1"].append(shown.world.clock.now())  # the first attempt, minutes late
            told = Told()
            await watch(shown, told, 15 * MINUTE)
            await watch(shown, told, 60 * MINUTE)
            assert await trail(shown) == [("action.doubled", "done twice, and meant once")]
            (alarm,) = told.alarms
            assert alarm.message.startswith(
                "rerun_instance of t_1 was done twice, and meant once: a lost write of ours"
            )
            assert await notices(shown) == 1
            assert await doubled(shown) == ["", "done twice, and meant once"]
            assert shown.world.reruns == {"t_1": 1}

    run(main())


def test_who_died_before_it_was_due_looks_when_it_lives_again() -> None:
    async def main() -> None:
        async with stage() as shown:
            await act(shown, RERUN, "lost after")
            shown.world.ran["t_1"].append(shown.world.clock.now())
            await watch(shown, told := Told(), 5 * MINUTE)
            await anyio.sleep(600 * MINUTE)
            await watch(shown, told, 1.0)
            assert await trail(shown) == [("action.doubled", "done twice, and meant once")]
            assert len(told.alarms) == 1

    run(main())


def test_two_pauses_in_the_log_of_a_node_are_one_too_many() -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.nodes["n_1"] = Node(id="n_1", paused=False)
            await act(shown, PAUSE, "lost after")
            shown.world.logs["n_1"].insert(0, shown.world.logs["n_1"][0])
            await watch(shown, told := Told(), 15 * MINUTE)
            assert await trail(shown) == [("action.doubled", "done twice, and meant once")]
            assert len(told.alarms) == 1

    run(main())


def test_what_another_rule_of_ours_did_as_well_was_meant() -> None:
    async def main() -> None:
        async with stage() as shown:
            await act(shown, RERUN, "lost after")
            await anyio.sleep(2 * MINUTE)
            await act(shown, RERUN, id="fi_2")
            await watch(shown, told := Told(), 15 * MINUTE)
            assert await trail(shown) == [("action.looked_at", "done twice, and meant twice")]
            assert told.alarms == []

    run(main())


def test_a_target_that_cannot_be_read_is_looked_at_when_it_can() -> None:
    async def main() -> None:
        async with stage() as shown:
            await act(shown, RERUN, "lost after")
            shown.world.read_faults = 3
            await watch(shown, told := Told(), 15 * MINUTE)
            assert await trail(shown) == []
            await watch(shown, told, 30 * MINUTE)
            assert await trail(shown) == [("action.looked_at", "done once, and meant once")]
            shown.world.spent_until = 1e9
            await look_again(shown)
            await watch(shown, told, 30 * 60 * MINUTE)
            assert (await trail(shown))[-1][1].startswith("its target could not be read: the day is spent")

    run(main())


async def look_again(shown: Stage) -> None:
    """Have the attempt looked at once more, as if it had been settled just now."""
    row = await shown.last_step("fi_1")
    await shown.store.write(lambda tx: put_look(tx, row.action_id, tx.now))


def test_a_target_that_does_not_tell_is_asked_once() -> None:
    async def main() -> None:
        async with stage() as shown:
            await act(shown, RERUN, "lost after")
            shown.world.log_refused = True
            await watch(shown, told := Told(), 15 * MINUTE)
            assert await trail(shown) == [("action.looked_at", "its target does not tell how often it was done")]
            assert told.alarms == []

    run(main())


def test_of_two_lost_attempts_of_a_step_the_first_is_looked_at_and_once() -> None:
    async def main() -> None:
        async with stage() as shown:
            await act(shown, RERUN, "lost before", "lost after")
            shown.world.ran["t_1"].append(shown.world.clock.now())
            await watch(shown, told := Told(), 30 * MINUTE)
            assert await trail(shown) == [("action.doubled", "done twice, and meant once")]
            assert len(told.alarms) == 1
            assert [bool(each) for each in await doubled(shown)] == [False, True]

    run(main())
