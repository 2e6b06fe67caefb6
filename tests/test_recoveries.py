"""What verification saw of a failure is told by itself: at once, once, and without another call."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from phinops.errors import StoreError
from phinops.event import JsonObject
from phinops.lookout import SIGHTINGS, Sightings
from phinops.simulate.model import Instance
from phinops.virtual import run
from test_watch import view_of
from vigil import Vigil, vigil

RULES = """
rules:
  - id: rerun
    on: instance.failed
    if: event.instance.attempts < 3
    mode: armed
    do:
      - rerun_instance: {}
        verify: { within: 30m }
"""

FIVE_MINUTES = timedelta(minutes=5)
TAKES = 400.0


def fail(here: Vigil, fails: int = 1, takes: float = TAKES) -> Instance:
    return here.simulator.tenant.fail_instance("ods_orders", fails=fails, takes=takes)


def polls(here: Vigil) -> set[str]:
    return {api for api, who in here.calls if who == "POLL"}


async def told(here: Vigil, instance: Instance) -> list[str]:
    events: list[JsonObject] = list(reversed(await here.here.events(10_000)))
    return [each["type"] for each in events if (each.get("instance") or {}).get("id") == instance.id]


async def outcome(here: Vigil) -> str:
    return str((await here.here.actions(1))[0]["outcome"])


async def verified(here: Vigil) -> None:
    for _ in range(3600):
        if await outcome(here) == "verified":
            return
        await here.clock.sleep(1.0)
    raise AssertionError("it is verified")


def test_a_recovery_is_told_when_it_is_verified_and_costs_no_poll(tmp_path: Path) -> None:
    async def main() -> None:
        async with vigil(tmp_path, RULES, every=FIVE_MINUTES) as here:
            instance = fail(here)
            await here.minutes(6)
            assert await told(here, instance) == ["instance.failed"]
            await verified(here)
            await here.clock.sleep(0.1)
            assert await told(here, instance) == ["instance.failed", "instance.succeeded"]
            (event,) = await here.events("instance.succeeded")
            assert (event["project"]["name"], event["node"]["name"]) == ("retail_dw", "ods_orders")
            assert event["time"] == event["instance"]["ended_at"]
            assert event["caused_by"]
            await here.minutes(60)
            assert await told(here, instance) == ["instance.failed", "instance.succeeded"]
            assert polls(here) == {"ListInstances", "ListProjects"}

    run(main())


def test_a_second_failure_is_found_and_rerun_and_the_recovery_is_told_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with vigil(tmp_path, RULES, every=FIVE_MINUTES) as here:
            instance = fail(here, fails=2)
            await here.minutes(90)
            assert await told(here, instance) == ["instance.failed", "instance.failed", "instance.succeeded"]
            assert [each["instance"]["attempts"] for each in await here.events("instance.failed")] == [1, 2]
            assert polls(here) == {"ListInstances", "ListProjects"}

    run(main())


@pytest.mark.parametrize("after", [0.0, 3.0, 390.0, 900.0])
def test_a_kill_while_it_is_verified_loses_nothing_and_tells_nothing_twice(tmp_path: Path, after: float) -> None:
    async def main() -> None:
        async with vigil(tmp_path, RULES, every=FIVE_MINUTES) as here:
            instance = fail(here)
            await here.until(lambda: any(who == "WRITE" for _, who in here.calls), "it is rerun")
            await here.clock.sleep(after)
            await here.kill()
            await here.clock.sleep(60.0)
            await here.start()
            await here.minutes(40)
            assert await told(here, instance) == ["instance.failed", "instance.succeeded"]
            assert await outcome(here) == "verified"

    run(main())


def test_what_could_not_be_recorded_the_next_poll_finds(tmp_path: Path) -> None:
    async def main() -> None:
        async with vigil(tmp_path, RULES, every=FIVE_MINUTES) as here:
            instance = fail(here)
            watch: Any = next(each for each in here.here._watches if each.source.name == "instances")
            take = watch.take

            async def full(arrival: Any) -> Any:
                if arrival.part is None:
                    raise StoreError("the disk is full")
                return await take(arrival)

            watch.take = full
            await here.minutes(6)
            await verified(here)
            await here.clock.sleep(0.1)
            assert await told(here, instance) == ["instance.failed"]
            await here.minutes(6)
            assert await told(here, instance) == ["instance.failed", "instance.succeeded"]
            assert "GetPhysicalInstance" in polls(here)

    run(main())


def test_how_long_runs_take_is_known_after_a_restart(tmp_path: Path) -> None:
    async def main() -> None:
        async with vigil(tmp_path, RULES, edition="agile", every=FIVE_MINUTES) as here:
            fail(here)
            await here.minutes(30)
            await here.kill()
            await here.start()
            before = here.reads("VERIFY")
            fail(here)
            await here.minutes(30)
            assert len(await here.events("instance.succeeded")) == 2
            assert here.reads("VERIFY") == before + 1

    run(main())


async def test_only_so_many_recoveries_wait_to_be_told() -> None:
    sightings = Sightings()
    for number in range(SIGHTINGS + 10):
        sightings.saw(view_of(f"t_{number}"))
    found = await sightings.take()
    assert [len(rows) for rows in found.values()] == [SIGHTINGS]
    assert "t_9" not in found["7"]
