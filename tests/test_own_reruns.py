"""Dataphin's own reruns are waited out before ours."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import anyio
import pytest

from phinops.clock import LoopClock
from phinops.event import Event, JsonObject
from phinops.execute.own_reruns import OwnReruns
from phinops.firing import Firing
from phinops.record.sqlite import Store
from phinops.virtual import run
from worlds import START, Stage, World, failed_event, firing_of, stage

OWN = OwnReruns(times=1, every=timedelta(minutes=30))
"""The instance's run ended five minutes before START: a rerun of Dataphin's shows by 26 minutes after it."""
RERUN: JsonObject = {"kind": "rerun_instance"}


def _failed(shown: Stage, attempts: int | None = 1) -> Event:
    event = failed_event(shown.world.add_failed("t_1"))
    assert event.instance
    return replace(event, instance=replace(event.instance, attempts=attempts))


async def _begin(shown: Stage, attempts: int | None = 1, **changes: Any) -> Firing:
    event = _failed(shown, attempts)
    firing = firing_of(event, [RERUN], **changes)
    await shown.add(firing, event)
    return firing


def _minutes(shown: Stage) -> float:
    return (shown.world.clock.now() - START).total_seconds() / 60


@pytest.mark.parametrize("attempts", [1, None])
def test_the_first_failure_waits_with_its_reason_and_is_rerun_when_dataphin_did_not(attempts: int | None) -> None:
    async def main() -> None:
        async with stage(own_reruns=OWN) as shown:
            firing = await _begin(shown, attempts)
            await anyio.sleep(60)
            held = await shown.firing(firing.id)
            assert held.reason == (
                "step s0 waits until 2026-01-05 00:26:00+00:00: Dataphin itself may rerun t_1 (auto_rerun)"
            )
            assert held.wake_at == START + timedelta(minutes=26)
            (ended,) = await shown.ended(firing.id)
            assert (ended.state, shown.world.reruns) == ("done", {"t_1": 1})
            assert 26 <= _minutes(shown) < 27

    run(main())


@pytest.mark.parametrize(
    ("status", "again"), [("RUNNING", True), ("SUCCESS", True), ("FAILED", True), ("SUCCESS", False)]
)
def test_what_was_run_again_meanwhile_is_left_alone(status: str, again: bool) -> None:
    async def main() -> None:
        async with stage(own_reruns=OWN) as shown:
            firing = await _begin(shown)
            await anyio.sleep(60)
            known = shown.world.instances["t_1"]
            started = START + timedelta(minutes=25) if again else known.started_at
            shown.world.instances["t_1"] = replace(known, status=status, started_at=started)
            (ended,) = await shown.ended(firing.id)
            assert (ended.state, ended.results["s0"].outcome) == ("done", "skipped")
            assert f"t_1 was run again meanwhile and is {status}" in ended.results["s0"].reason
            assert (await shown.last_step(ended.id)).outcome == "skipped"
            assert shown.world.calls == []

    run(main())


@pytest.mark.parametrize(("attempts", "mode", "own"), [(2, "armed", OWN), (1, "shadow", OWN), (1, "armed", None)])
def test_what_failed_more_often_what_is_only_rendered_and_other_tenants_do_not_wait(
    attempts: int, mode: str, own: OwnReruns | None
) -> None:
    async def main() -> None:
        async with stage(own_reruns=own) as shown:
            firing = await _begin(shown, attempts, mode=mode)
            (ended,) = await shown.ended(firing.id)
            assert ended.state == "done"
            assert _minutes(shown) < 18

    run(main())


def test_the_wait_goes_on_after_a_restart_and_counts_from_the_same_moment() -> None:
    async def main() -> None:
        clock = LoopClock(START)
        async with Store.open(":memory:", clock) as store:
            world = World(clock)
            async with stage(store, world, own_reruns=OWN) as shown:
                firing = await _begin(shown)
                await anyio.sleep(120)
            async with stage(store, world, own_reruns=OWN) as shown:
                await shown.courses.resume(await shown.courses.left_open())
                (ended,) = await shown.ended(firing.id)
                assert (ended.state, world.reruns) == ("done", {"t_1": 1})
                assert 26 <= _minutes(shown) < 27

    run(main())
