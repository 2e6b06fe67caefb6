"""A whole daemon on a simulated tenant whose answers get lost, late or dropped: done once, and looked at once more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from phinops.event import JsonObject
from phinops.simulate.faults import Fault, Kind
from phinops.simulate.operate import operate
from phinops.virtual import run
from vigil import Vigil, vigil

RULES = """\
rules:
  - id: again
    on: instance.failed
    if: event.node.name == "dws_orders_1d"
    mode: armed
    cooldown: 2h
    do: [ { rerun_instance: {} } ]
"""


def lived(folder: Path, story: Any) -> None:
    async def main() -> None:
        async with vigil(folder, RULES) as here:
            await story(here)

    run(main())


async def rerun(here: Vigil, *faults: Kind) -> tuple[Any, JsonObject]:
    """An instance that fails and whose rerun meets the faults; with the action once that is over."""
    for each in faults:
        here.simulator.faults.add(Fault(each, api="OperateInstance", count=1))
    instance = here.simulator.tenant.fail_instance("dws_orders_1d", takes=30.0)
    await here.until(lambda: here.simulator.tenant.reruns[instance.id] == 1, "it was rerun")
    for _ in range(600):
        rows = await here.here.actions(9)
        if rows and rows[0]["outcome"] == "accepted":
            return instance, rows[0]
        await here.clock.sleep(1.0)
    raise AssertionError(rows)


async def doubled(here: Vigil) -> tuple[int, list[str]]:
    rows = await here.here.actions(9)
    return (await here.here.counts())["doubled"], [row["doubled"] for row in rows if "doubled" in row]


@pytest.mark.parametrize(
    "faults", [("reset_after",), ("bad_gateway",), ("hang_after",), ("reset", "html_after"), ("unavailable", "hang")]
)
def test_whatever_becomes_of_the_answer_it_is_done_once_and_nobody_is_alarmed(
    tmp_path: Path, faults: tuple[Kind, ...]
) -> None:
    async def story(here: Vigil) -> None:
        instance, _ = await rerun(here, *faults)
        await here.minutes(30)
        assert here.simulator.tenant.reruns[instance.id] == 1
        assert await doubled(here) == (0, [])
        assert ("GetPhysicalInstanceLog", "VERIFY") in here.calls  # the second look

    lived(tmp_path, story)


@pytest.mark.parametrize("dies", [False, True])
def test_a_second_run_of_somebody_s_is_found_also_by_the_process_after_the_one_that_settled(
    tmp_path: Path, dies: bool
) -> None:
    async def story(here: Vigil) -> None:
        instance, action = await rerun(here, "reset_after")
        await here.minutes(3)
        operate(here.simulator.tenant, "RERUN", instance)
        if dies:
            await here.kill()
            await here.minutes(20)
            await here.start()
        await here.minutes(12)
        found = "done twice, and meant once"
        assert await doubled(here) == (1, [found])
        (row,) = [each for each in await here.here.actions(9) if "doubled" in each]
        assert row["id"] == action["id"]

    lived(tmp_path, story)


def test_an_answer_that_came_costs_no_second_look(tmp_path: Path) -> None:
    async def story(here: Vigil) -> None:
        await rerun(here)
        await here.minutes(30)
        assert not [api for api, _ in here.calls if api == "GetPhysicalInstanceLog"]

    lived(tmp_path, story)
