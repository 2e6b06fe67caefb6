"""The kill switch: what was about to be written waits and says so, and is looked at anew before it leaves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import anyio

from phinops.clock import LoopClock
from phinops.event import Event, JsonObject
from phinops.firing import Firing
from phinops.record.sqlite import Store
from phinops.virtual import run
from worlds import START, Stage, World, failed_event, firing_of, stage

RERUN: JsonObject = {"kind": "rerun_instance"}
TELL: JsonObject = {"kind": "notify", "params": {"to": ["oncall"], "title": "t", "message": "m", "severity": "info"}}


async def _begin(shown: Stage, *steps: JsonObject, name: str = "t_1") -> tuple[Firing, Event]:
    event = failed_event(shown.world.add_failed(name))
    firing = firing_of(event, steps)
    await shown.add(firing, event)
    await anyio.sleep(600)
    return firing, event


async def _audit(store: Store) -> list[tuple[str, str]]:
    def op(tx: Any) -> list[tuple[str, str]]:
        query = "SELECT what, detail FROM audit WHERE what LIKE 'writes.%' ORDER BY seq"
        return [tuple(row) for row in tx._connection.execute(query)]

    return await store.read(op)


def test_a_write_waits_with_its_reason_while_notices_leave_and_goes_on_at_once() -> None:
    async def main() -> None:
        async with stage() as shown:
            await shown.switch.pause("ada", "a release")
            firing, _ = await _begin(shown, TELL, RERUN)
            held = await shown.firing(firing.id)
            assert held.state == "running"
            assert held.reason == "step s1 waits: writes are paused by ada since 2026-01-05 00:16:40+00:00: a release"
            assert held.results["s0"].outcome == "accepted"
            assert shown.world.calls == []
            before = shown.world.clock.monotonic()
            assert await shown.switch.resume("bob")
            (ended,) = await shown.ended(firing.id)
            assert (ended.state, shown.world.calls) == ("done", [["t_1"]])
            assert shown.world.clock.monotonic() - before < 5
            assert shown.world.reads  # what it looked like before the pause is not relied on
            assert [what for what, _ in await _audit(shown.store)] == ["writes.paused", "writes.resumed"]

    run(main())


def test_what_recovered_meanwhile_is_left_alone() -> None:
    async def main() -> None:
        async with stage() as shown:
            await shown.switch.pause("ada", "")
            firing, _ = await _begin(shown, RERUN)
            shown.world.instances["t_1"] = replace(shown.world.instances["t_1"], status="SUCCESS")
            await shown.switch.resume("ada")
            (ended,) = await shown.ended(firing.id)
            assert shown.world.calls == []
            assert ended.results["s0"].outcome in ("skipped", "refused")

    run(main())


def test_a_restart_leaves_it_paused_and_the_write_waiting() -> None:
    async def main() -> None:
        clock = LoopClock(START)
        async with Store.open(":memory:", clock) as store:
            world = World(clock)
            async with stage(store, world) as shown:
                await shown.switch.pause("ada", "")
                firing, _ = await _begin(shown, RERUN)
            async with stage(store, world) as shown:
                await shown.courses.resume(await shown.courses.left_open())
                await anyio.sleep(600)
                assert "paused by ada" in (await shown.firing(firing.id)).reason
                assert world.calls == []
                await shown.switch.resume("ada")
                (ended,) = await shown.ended(firing.id)
                assert (ended.state, world.calls) == ("done", [["t_1"]])

    run(main())


def test_a_write_that_waited_for_its_turn_when_the_switch_was_pulled_does_not_leave() -> None:
    async def main() -> None:
        async with stage() as shown:
            event = failed_event(shown.world.add_failed("t_1"))
            firing = firing_of(event, [RERUN])
            await shown.add(firing, event)
            await anyio.sleep(0.005)  # the call's turn comes after 0.01
            await shown.switch.pause("ada", "")
            await anyio.sleep(600)
            assert shown.world.calls == []
            assert "paused by ada" in (await shown.firing(firing.id)).reason
            await shown.switch.resume("ada")
            (ended,) = await shown.ended(firing.id)
            assert ended.state == "done"

    run(main())


def test_a_request_that_changes_something_elsewhere_waits_as_well_and_a_read_does_not() -> None:
    async def main() -> None:
        async with stage() as shown:
            await shown.switch.pause("ada", "")
            post = {"kind": "http", "params": {"url": "http://127.0.0.1:9/", "method": "POST"}}
            firing, _ = await _begin(shown, {"kind": "call", "params": {"call": "GetMyTenants", "with": {}}}, post)
            held = await shown.firing(firing.id)
            assert held.results["s0"].outcome == "accepted"
            assert held.reason.startswith("step s1 waits: writes are paused by ada")
            await shown.switch.resume("ada")
            (ended,) = await shown.ended(firing.id)
            assert "refused" in ended.reason  # nobody listens there

    run(main())
