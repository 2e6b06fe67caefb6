"""What lasts too long, end to end: the daemon on a simulated tenant, in virtual time."""

from __future__ import annotations

import os
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from phinops.event import JsonObject
from phinops.simulate.model import Instance
from phinops.virtual import run
from vigil import Vigil, vigil

RULE = """
rules:
  - id: {id}
    on: {on}
    mode: {mode}
    do: [ {{ notify: {{ to: nobody, message: "{{{{ event.lasting.state }}}} too long" }} }} ]
"""
STUCK = "{ event: instance.stuck, state: RUNNING, after: 20m }"
OVERDUE = "{ event: instance.overdue, after: 30m }"


def rule(on: str, id: str = "r", mode: str = "shadow") -> str:
    return RULE.format(on=on, id=id, mode=mode)


def hang(here: Vigil, node: str = "ods_orders") -> Instance:
    """An instance that begins to run now, and does not end."""
    here.simulator.tenant.settle()
    instance = here.simulator.tenant.add_instance(node)
    instance.stuck = True
    here.simulator.tenant.lives.start(instance, "schedule")
    return instance


def end(here: Vigil, instance: Instance) -> None:
    here.simulator.tenant.settle()
    here.simulator.tenant.lives.settle(instance, "SUCCESS")


def wait(here: Vigil, *, due: float = 0.0, node: str = "ods_orders") -> Instance:
    """An instance that is due in so many seconds, and does not start."""
    tenant = here.simulator.tenant
    return tenant.add_instance(node, due=tenant.settle() + due)


def when(event: JsonObject) -> datetime:
    return datetime.fromisoformat(event["time"])


def test_an_instance_that_runs_for_too_long_is_told_once_and_at_its_time(tmp_path: Path) -> None:
    async def main() -> None:
        async with vigil(tmp_path, rule(STUCK)) as here:
            began = here.clock.now()
            instance = hang(here)
            await here.minutes(19.8)
            assert await here.events("instance.stuck") == []
            await here.minutes(0.4)
            (event,) = await here.events("instance.stuck")
            assert event["instance"]["id"] == instance.id
            assert event["lasting"]["state"] == "RUNNING"
            assert event["lasting"]["after_s"] == 1200
            assert abs(datetime.fromisoformat(event["lasting"]["since"]) - began) < timedelta(seconds=1)
            assert when(event) - datetime.fromisoformat(event["lasting"]["since"]) == timedelta(minutes=20)
            assert (event["project"]["name"], event["node"]["name"]) == ("retail_dw", "ods_orders")
            assert event["source"] == "instances"
            assert here.reads() == 1
            (firing,) = await here.here.firings(9)
            assert (firing["rule"], firing["event_id"]) == ("r", event["id"])
            await here.minutes(300)
            assert len(await here.events("instance.stuck")) == 1
            assert here.reads() == 1
            assert await here.events("instance.running") == []  # nobody asked for that
            end(here, instance)
            await here.minutes(2)
            assert await here.timers() == []

    run(main())


def test_a_state_that_is_left_in_time_costs_no_read(tmp_path: Path) -> None:
    async def main() -> None:
        async with vigil(tmp_path, rule(STUCK)) as here:
            instance = hang(here)
            await here.minutes(10)
            assert len(await here.timers()) == 1
            end(here, instance)
            await here.minutes(2)
            assert await here.timers() == []
            await here.minutes(30)
            assert await here.events("instance.stuck") == []
            assert here.reads() == 0

    run(main())


def test_what_ended_between_two_polls_is_found_when_it_is_due(tmp_path: Path) -> None:
    async def main() -> None:
        async with vigil(tmp_path, rule(STUCK), every=timedelta(minutes=15)) as here:
            instance = hang(here)
            await here.minutes(16)
            end(here, instance)
            await here.minutes(5)
            assert await here.events("instance.stuck") == []
            assert await here.timers() == []
            assert here.reads() == 1

    run(main())


def test_an_instance_that_is_not_started_is_told_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with vigil(tmp_path, rule(OVERDUE)) as here:
            late = wait(here, due=600)
            started = wait(here, due=600, node="dim_goods")
            here.simulator.tenant.lives.expect(started)
            await here.minutes(39.9)
            assert await here.events("instance.overdue") == []
            await here.minutes(0.5)
            (event,) = await here.events("instance.overdue")
            assert event["instance"]["id"] == late.id
            assert event["lasting"]["since"] == event["instance"]["due_time"]
            assert (event["lasting"]["state"], event["lasting"]["after_s"]) == ("WAITING", 1800)
            await here.minutes(300)
            assert len(await here.events("instance.overdue")) == 1

    run(main())


def test_a_rerun_that_waits_is_not_overdue(tmp_path: Path) -> None:
    async def main() -> None:
        async with vigil(tmp_path, rule(OVERDUE)) as here:
            instance = here.simulator.tenant.fail_instance("ods_orders", ago=60)
            await here.minutes(2)
            instance.enter("WAITING")
            await here.minutes(60)
            assert await here.events("instance.overdue") == []

    run(main())


def test_killed_and_started_anew_before_it_is_due_it_is_told_once_at_its_time(tmp_path: Path) -> None:
    async def main() -> None:
        async with vigil(tmp_path, rule(STUCK)) as here:
            hang(here)
            await here.minutes(12)
            await here.kill()
            await here.minutes(3)
            await here.start()
            await here.minutes(5.5)
            (event,) = await here.events("instance.stuck")
            await here.kill()
            await here.start()
            await here.minutes(60)
            assert [each["id"] for each in await here.events("instance.stuck")] == [event["id"]]
            assert len(await here.here.firings(9)) == 1

    run(main())


def test_what_became_due_while_nobody_looked_is_told_at_the_start(tmp_path: Path) -> None:
    async def main() -> None:
        async with vigil(tmp_path, rule(STUCK)) as here:
            hang(here)
            await here.minutes(2)
            await here.kill()
            await here.minutes(90)
            await here.start()
            await here.minutes(0.5)
            (event,) = await here.events("instance.stuck")
            assert here.clock.now() - when(event) > timedelta(hours=1)

    run(main())


def test_a_reload_counts_from_the_same_moment_and_drops_what_nobody_asks_for(tmp_path: Path) -> None:
    async def main() -> None:
        async with vigil(tmp_path, rule(STUCK)) as here:
            hang(here)
            await here.minutes(10)
            here.write_rules(rule(STUCK.replace("20m", "12m")))
            await here.here.reload()
            await here.minutes(1)
            assert await here.events("instance.stuck") == []
            await here.minutes(1.5)
            (event,) = await here.events("instance.stuck")
            assert event["lasting"]["after_s"] == 720
            here.write_rules(rule(STUCK.replace("20m", "11m")))
            await here.here.reload()
            await here.minutes(0.5)
            (_, shorter) = await here.events("instance.stuck")
            assert shorter["lasting"]["after_s"] == 660
            here.write_rules(rule(STUCK, mode="off"))
            await here.here.reload()
            await here.minutes(60)
            assert await here.timers() == []
            assert len(await here.events("instance.stuck")) == 2

    run(main())


def test_a_rule_that_comes_asks_of_what_runs_already(tmp_path: Path) -> None:
    async def main() -> None:
        async with vigil(tmp_path, rule("instance.failed"), every=timedelta(hours=2)) as here:
            hang(here)
            await here.minutes(30)
            here.write_rules(rule("instance.failed") + rule(STUCK, "s").removeprefix("\nrules:\n"))
            await here.here.reload()
            await here.minutes(1)
            (event,) = await here.events("instance.stuck")
            assert here.clock.now() - when(event) > timedelta(minutes=10)

    run(main())


def test_at_the_very_first_start_what_was_too_long_before_the_lookback_is_no_news(tmp_path: Path) -> None:
    async def main() -> None:
        async with vigil(tmp_path, rule(STUCK), start=False) as here:
            old = hang(here)
            await here.minutes(120)
            young = hang(here, "dim_goods")
            await here.minutes(30)
            await here.start()
            await here.minutes(1)
            (event,) = await here.events("instance.stuck")
            assert event["instance"]["id"] == young.id
            await here.minutes(60)
            assert len(await here.events("instance.stuck")) == 1
            assert old.state == "RUNNING"

    run(main())


def test_a_second_run_is_told_again_and_a_failure_that_nobody_mends_as_well(tmp_path: Path) -> None:
    failed = STUCK.replace("RUNNING", "FAILED")

    async def main() -> None:
        async with vigil(tmp_path, rule(STUCK) + rule(failed, "f").removeprefix("\nrules:\n")) as here:
            tenant = here.simulator.tenant
            instance = hang(here)
            await here.minutes(21)
            tenant.settle()
            tenant.lives.settle(instance, "FAILED")
            await here.minutes(21)
            instance.stuck = True
            tenant.settle()
            tenant.lives.start(instance, "rerun")
            await here.minutes(21)
            told = await here.events("instance.stuck")
            assert [each["lasting"]["state"] for each in told] == ["RUNNING", "FAILED", "RUNNING"]
            assert told[1]["instance"]["attempts"] == 1
            assert (told[2]["instance"]["attempts"], told[2]["instance"]["previous_status"]) == (1, "FAILED")

    run(main())


def test_what_waits_is_listed_for_the_personal_edition_too_and_leaves_what_actions_need(tmp_path: Path) -> None:
    """Forty that wait, and one of them for ever: no more calls than polls have, and it is told."""

    async def main() -> None:
        async with vigil(tmp_path, rule(OVERDUE), edition="personal", every="auto") as here:
            late = wait(here, due=1800)
            for _ in range(39):
                here.simulator.tenant.lives.expect(wait(here, due=1800))
            await here.minutes(14 * 60)
            (event,) = await here.events("instance.overdue")
            assert event["instance"]["id"] == late.id
            (quota,) = here.here.status()["tenants"][0]["quota"]
            assert quota["used"] <= quota["limit"] - quota["reserve"]

    run(main())


def test_a_schedule_of_a_rule_fires_at_its_minutes_in_virtual_time(tmp_path: Path) -> None:
    async def main() -> None:
        async with vigil(tmp_path, rule('{ schedule: "*/20 * * * *" }').replace("event.lasting.state", "now")) as here:
            await here.minutes(120)
            fired = [when(event) for event in await here.events("schedule.fired")]
            assert [moment.minute for moment in fired] == [40, 0, 20, 40, 0, 20]
            assert len(await here.here.firings(9)) == 6

    run(main())


LONG = bool(os.environ.get("PHINOPS_LONG"))


@dataclass(slots=True)
class Story:
    """Six instances that hang for a while or for ever; killed, started anew and reloaded at moments of their own."""

    here: Vigil
    chance: random.Random
    trouble: random.Random
    made: dict[int, Instance] = field(default_factory=dict)

    async def start(self, number: int) -> None:
        self.made[number] = hang(self.here, self.chance.choice(["ods_orders", "dim_goods", "ods_ledger"]))

    async def stop(self, number: int) -> None:
        end(self.here, self.made[number])

    async def fall(self) -> None:
        await self.here.kill()
        await self.here.clock.sleep(self.trouble.uniform(1, 60))
        await self.here.start(ready=False)

    async def reload(self) -> None:
        await self.here.here.reload()

    async def play(self, *, interrupted: bool) -> None:
        happenings: list[tuple[float, Callable[[], Awaitable[None]]]] = []
        for number in range(6):
            begin = self.chance.uniform(0, 3600)
            # None ends while it is being found out that it lasts, which takes longer where nobody is there.
            lasts = 60 * self.chance.choice([3, 8, 14, 36, 50, 500])
            happenings += [(begin, partial(self.start, number)), (begin + lasts, partial(self.stop, number))]
        if interrupted:
            happenings += [(self.trouble.uniform(0, 5400), self.fall) for _ in range(4)]
            happenings += [(self.trouble.uniform(0, 5400), self.reload) for _ in range(3)]
        origin = self.here.clock.monotonic()
        for at, happen in sorted((each for each in happenings if each[0] < 7200), key=lambda each: each[0]):
            await self.here.clock.sleep(origin + at - self.here.clock.monotonic())
            await happen()
        await self.here.minutes(60)


def _outcome(folder: Path, seed: int, *, interrupted: bool) -> list[tuple[str, int, str]]:
    folder.mkdir()
    both = rule(STUCK) + rule(STUCK.replace("20m", "25m"), "later").removeprefix("\nrules:\n")

    async def main() -> list[tuple[str, int, str]]:
        async with vigil(folder, both) as here:
            await Story(here, random.Random(seed), random.Random(-seed)).play(interrupted=interrupted)
            told = await here.events("instance.stuck")
            firings = {firing["event_id"]: firing["rule"] for firing in await here.here.firings(99)}
            assert len(firings) == len(told)
            return sorted((e["instance"]["id"], e["lasting"]["after_s"], firings[e["id"]]) for e in told)

    return run(main())


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100 if LONG else 6))
def test_killed_and_reloaded_at_any_moment_the_same_is_told(tmp_path: Path, seed: int) -> None:
    whole = _outcome(tmp_path / "whole", seed, interrupted=False)
    assert _outcome(tmp_path / "cut", seed, interrupted=True) == whole
