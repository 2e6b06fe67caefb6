"""Backfills, fixes and manual runs by the whole daemon, in virtual time: once each, to their end, over kills."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from phinops.event import JsonObject
from phinops.record import journal
from phinops.simulate import Fault
from phinops.virtual import run
from vigil import Vigil, vigil

RULE = """
rules:
  - id: submit
    on: instance.failed
    if: event.instance.attempts == 1
    mode: armed
    do:
      - STEP
        verify: { within: 2h }
"""
DAYS = "start: 2025-12-01, end: 2025-12-03, parallelism: 2"
STEPS = {
    "backfill": f"backfill: {{ {DAYS} }}",
    "backfill below": f"backfill: {{ {DAYS}, downstream: all }}",
    "manual run": "run_manual_node: { node_id: MANUAL, biz_date: 2026-01-04 }",
    "fix": "fix_data: { range: all, force: true }",
}
APIS = {
    "backfill": "CreateNodeSupplement",
    "backfill below": "CreateNodeSupplement",
    "manual run": "ExecuteManualNode",
    "fix": "FixData",
}


def on_watch(folder: Path, step: str, play: Callable[[Vigil], Awaitable[None]]) -> None:
    """A daemon whose rule takes that step, and whose event has come when `play` begins."""

    async def main() -> None:
        async with vigil(folder, "", start=False) as here:
            manual = here.simulator.tenant.node("clean_up").id
            here.write_rules(RULE.replace("STEP", STEPS[step]).replace("MANUAL", manual))
            await here.start()
            await play(here)

    run(main())


def fail(here: Vigil) -> None:
    here.simulator.tenant.fail_instance("dwd_orders", fails=1, takes=5.0)


def done(here: Vigil, step: str) -> int:
    """How often Dataphin did what was to be done once."""
    here.simulator.tenant.settle()
    effects = [each for each in here.simulator.tenant.effects if each.api == APIS[step]]
    return len({each.at for each in effects}) if step == "fix" else len(effects)


async def outcome(here: Vigil, within: float = 3600.0) -> str:
    """What the newest action came to, once its firing is over."""

    async def over() -> list[JsonObject]:
        firings = await here.here.firings(10)
        return [each for each in firings if each["state"] in ("done", "failed", "needs_decision")]

    end = here.clock.monotonic() + within
    while not await over():
        assert here.clock.monotonic() < end, await here.here.firings(10)
        await here.clock.sleep(5.0)
    return str((await here.here.actions(10))[0]["outcome"])


@pytest.mark.parametrize("step", STEPS)
def test_what_is_submitted_is_followed_to_its_end_on_the_priority_of_verifying(tmp_path: Path, step: str) -> None:
    async def play(here: Vigil) -> None:
        fail(here)
        assert await outcome(here) == "verified"
        assert done(here, step) == 1
        reads = {api for api, who in here.calls if who == "VERIFY"}
        assert reads >= {"GetSupplementDagrun"} if "backfill" in step else reads >= {"GetPhysicalInstance"}

    on_watch(tmp_path, step, play)


@pytest.mark.parametrize(
    ("step", "kind", "late", "came", "times"),
    [
        ("backfill", "reset", 0.0, "unknown", 0),
        ("backfill", "reset_after", 0.0, "verified", 1),
        ("backfill", "hang_after", 20.0, "verified", 1),
        ("backfill", "bad_gateway_after", 120.0, "unknown", 1),
        ("backfill below", "reset_after", 0.0, "timed_out", 1),
        ("manual run", "reset", 0.0, "verified", 1),
        ("manual run", "reset_after", 0.0, "verified", 1),
        ("manual run", "hang_after", 20.0, "verified", 1),
        ("fix", "reset", 0.0, "verified", 1),
        ("fix", "reset_after", 0.0, "verified", 1),
        ("fix", "hang_after", 20.0, "verified", 1),
    ],
)
def test_a_lost_answer_leads_to_one_effect_at_most(
    tmp_path: Path, step: str, kind: str, late: float, came: str, times: int
) -> None:
    async def play(here: Vigil) -> None:
        here.simulator.tenant.quirks.state_delay = late
        here.simulator.faults.add(Fault(kind, api=APIS[step], count=1))  # type: ignore[arg-type]
        fail(here)
        assert await outcome(here, 9000.0) == came
        await here.minutes(15)
        assert done(here, step) == times
        assert (await here.store.read(journal.counts))["doubled"] == 0

    on_watch(tmp_path, step, play)


@pytest.mark.parametrize("step", ["manual run", "fix"])
def test_what_takes_effect_later_than_was_waited_for_is_found_to_be_done_twice_and_left_so(
    tmp_path: Path, step: str
) -> None:
    async def play(here: Vigil) -> None:
        here.simulator.tenant.quirks.state_delay = 60.0
        here.simulator.faults.add(Fault("hang_after", api=APIS[step], count=1))
        fail(here)
        await outcome(here)
        await here.minutes(15)
        assert done(here, step) == 2
        assert (await here.store.read(journal.counts))["doubled"] == 1

    on_watch(tmp_path, step, play)


@pytest.mark.parametrize("step", STEPS)
def test_what_is_followed_is_followed_on_after_kill_9(tmp_path: Path, step: str) -> None:
    async def play(here: Vigil) -> None:
        fail(here)
        await here.until(lambda: done(here, step) == 1, "it is submitted")
        await here.clock.sleep(2.0)
        await here.kill()
        await here.start()
        assert await outcome(here) == "verified"
        assert done(here, step) == 1

    on_watch(tmp_path, step, play)


@pytest.mark.parametrize("step", STEPS)
def test_an_answer_that_nobody_lived_to_see_is_read_back(tmp_path: Path, step: str) -> None:
    async def play(here: Vigil) -> None:
        here.simulator.faults.add(Fault("hang_after", api=APIS[step], count=1))
        fail(here)
        await here.until(lambda: done(here, step) == 1, "it has arrived")
        await here.kill()
        await here.minutes(5)
        await here.start()
        # No answer told the flow's id: what runs below it cannot be followed.
        assert await outcome(here, 9000.0) == ("timed_out" if step == "backfill below" else "verified")
        assert done(here, step) == 1

    on_watch(tmp_path, step, play)


@pytest.mark.parametrize("step", ["backfill", "backfill below"])
def test_a_day_that_fails_is_the_end_of_a_backfill(tmp_path: Path, step: str) -> None:
    async def play(here: Vigil) -> None:
        fail(here)
        await here.until(lambda: done(here, step) == 1, "it is submitted")
        (flow,) = here.simulator.tenant.flows.values()
        flow.dagruns[1].instances[-1].fails = 1
        assert await outcome(here) == "failed"

    on_watch(tmp_path, step, play)


def test_what_needs_a_decision_is_not_submitted_by_another_firing_either(tmp_path: Path) -> None:
    async def play(here: Vigil) -> None:
        here.simulator.faults.add(Fault("reset", api=APIS["backfill"], count=1))
        fail(here)
        assert await outcome(here) == "unknown"
        fail(here)
        await here.minutes(10)
        assert [each["outcome"] for each in await here.here.actions(10)] == ["refused", "unknown"]
        assert done(here, "backfill") == 0

    on_watch(tmp_path, "backfill", play)
