"""What verifications cost: many of one project, and one on a day that has few calls left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

import anyio
import pytest

from counting import MemoryLedger
from phinops.catalog.quotas import PLANS
from phinops.clock import LoopClock
from phinops.errors import QuotaSpent
from phinops.event import Instance, JsonObject
from phinops.execute.journal import Journal
from phinops.execute.limit import Limiter
from phinops.execute.look import Look
from phinops.execute.patience import patiently
from phinops.execute.priority import Priority
from phinops.execute.runtimes import RunTimes
from phinops.execute.settle import Settler
from phinops.execute.steps.kind import Step, Target, Write
from phinops.execute.steps.table import STEPS
from phinops.firing import Intent
from phinops.virtual import run
from settings import SHANGHAI
from worlds import START

RERUN = STEPS["rerun_instance"]
HALF_AN_HOUR = timedelta(minutes=30)
BEFORE = {"status": "FAILED", "started_at": "2026-01-05T00:00:00+08:00", "ended_at": "2026-01-05T00:01:00+08:00"}


class Judged:
    """A journal that keeps what verifications came to."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()

    async def move(self, *_: Any) -> None:
        """What a firing waits for is not looked at here."""

    async def judge(self, action_id: str, outcome: str, reason: str, saw: JsonObject) -> None:
        self.outcomes[outcome] += 1


@dataclass(slots=True)
class Project:
    """Reruns that began at `START`: each succeeds after so many seconds as `ends` says. `others` fill its lists.

    `calls` are the reads, `left` what the day has; None: no limit.
    """

    clock: LoopClock
    ends: Mapping[str, float]
    others: int = 0
    left: int | None = None
    latency: float = 0.05
    calls: Counter[str] = field(default_factory=Counter)
    at: list[float] = field(default_factory=list)

    async def read(self, api: str, params: JsonObject) -> Mapping[str, Any]:
        if self.left == 0:
            raise QuotaSpent("the day is spent")
        if self.left is not None:
            self.left -= 1
        self.calls[api] += 1
        self.at.append(round(self.clock.monotonic() - 1000, 1))
        await anyio.sleep(self.latency)
        if api == "GetPhysicalInstance":
            return {"Instance": self._row(params["InstanceId"])}
        query = params["ListQuery"]
        rows = [self._row(f"t_0_20260104_{number}") for number in range(10_000, 10_000 + self.others)]
        rows += [self._row(name) for name in self.ends]
        if "RunStatusList" in query:
            rows = [row for row in rows if row["StatusList"][0] in query["RunStatusList"]]
        first = (query["Page"] - 1) * query["PageSize"]
        return {"PageResult": {"Data": rows[first : first + query["PageSize"]], "TotalCount": len(rows)}}

    def _row(self, name: str) -> JsonObject:
        done = self.clock.now() >= START + timedelta(seconds=self.ends.get(name, 0.0))
        return {
            "Id": name,
            "BizDate": "2026-01-04",
            "StatusList": ["SUCCESS" if done else "RUNNING"],
            "StartExecuteTime": "2026-01-05 08:00:00",
            "NodeInfo": {"Id": "n_1", "Name": "dws", "Type": "DATA_PROCESS", "SubDetailType": "SHELL"},
        }


@dataclass(slots=True)
class Bench:
    """Follows every rerun of a project; the n-th begins `apart` seconds times n after the first."""

    project: Project
    outcomes: Counter[str]
    settler: Settler
    run_times: RunTimes
    step: Step = RERUN

    async def follow(self, apart: float = 0.0, within: timedelta = HALF_AN_HOUR) -> None:
        async def one(name: str, after: float) -> None:
            await anyio.sleep(after)
            write = Write(self.step.name, "OperateInstance", Target("instance", name, "7"), {})
            until = self.project.clock.now() + within
            await self.settler.verify(self.step, write, intent_on(name), until)

        async with anyio.create_task_group() as group:
            for number, name in enumerate(self.project.ends):
                group.start_soon(one, name, number * apart)


def intent_on(name: str) -> Intent:
    return Intent(
        action_id=f"act_{name}",
        firing_id="fi_1",
        n=0,
        step_id="s0",
        attempt=1,
        kind=RERUN.name,
        api="OperateInstance",
        tenant="t",
        target_kind="instance",
        target_id=name,
        project_id="7",
        request={"params": {}, "batch": ""},
        probe=BEFORE,
    )


def bench(ends: Sequence[float], **more: Any) -> Bench:
    clock = LoopClock(START - timedelta(seconds=1000))
    named = {f"t_{number}_20260104_{number}": end for number, end in enumerate(ends)}
    project = Project(clock, named, **more)
    journal = Judged()
    look = Look(project.read, SHANGHAI)
    run_times = RunTimes()
    settler = Settler(look, cast(Journal, journal), clock, 15.0, lambda: project.left, run_times)
    return Bench(project, journal.outcomes, settler, run_times)


def ended(name: str, length: float) -> Instance:
    """An instance whose run took so long and succeeded."""
    return Instance(name, "SUCCESS", started_at=START, ended_at=START + timedelta(seconds=length))


def cost(ends: Sequence[float], apart: float = 0.0, **more: Any) -> tuple[int, Counter[str]]:
    """The calls, and what the verifications came to."""

    async def main() -> tuple[int, Counter[str]]:
        here = bench(ends, **more)
        await here.follow(apart)
        return here.project.calls.total(), here.outcomes

    return run(main())


NEVER = 1e9


@pytest.mark.parametrize(("apart", "more"), [(0.0, 0), (0.2, 6), (0.7, 12)])
@pytest.mark.parametrize("end", [90.0, 600.0, NEVER])
def test_fifty_of_one_project_cost_nearly_what_one_costs(end: float, apart: float, more: int) -> None:
    alone, _ = cost([end])
    calls, outcomes = cost([end] * 50, apart)
    assert outcomes == {"timed_out" if end == NEVER else "verified": 50}
    assert calls <= alone + more, (alone, calls)


def test_in_a_project_of_thousands_they_read_the_short_list() -> None:
    """The first look must find out how long the list is; those that end are read once each."""
    alone, _ = cost([1200.0] * 1, others=9_000)
    calls, outcomes = cost([1200.0] * 50, 0.2, others=9_000)
    assert outcomes == {"verified": 50}
    assert calls <= alone + 50 + 6, (alone, calls)


@pytest.mark.parametrize(("left", "calls"), [(None, 33), (1000, 9), (300, 9), (100, 5), (60, 3), (10, 3), (2, 2)])
def test_one_costs_what_the_day_can_give(left: int | None, calls: int) -> None:
    found, outcomes = cost([NEVER], left=left)
    assert outcomes == {"timed_out": 1}
    assert found == calls
    assert found <= max(3, (left or 9999) // 20)


def test_on_a_day_with_few_calls_it_reads_when_the_run_may_be_over_and_at_the_end() -> None:
    async def main() -> list[float]:
        here = bench([NEVER], left=100)
        await here.follow()
        return here.project.at

    at = run(main())
    # The run that failed took a minute; so does this one, as far as is known.
    assert 60.0 <= at[0] <= 90.0
    assert at[-1] == 1800.0


def reads_of_one(ends: float, learned: Sequence[float], **more: Any) -> list[float]:
    """When a run that ends after so long is read, where runs of other nodes took as long as `learned` says."""

    async def main() -> list[float]:
        here = bench([ends], **more)
        for number, length in enumerate(learned):
            here.run_times.saw(ended(f"t_9{number}_20260103_1", length))
        await here.follow()
        return here.project.at

    return run(main())


def test_what_runs_took_before_saves_reads_where_calls_are_few_and_only_there() -> None:
    learned = [200, 220, 240, 260, 280, 300]
    plenty = reads_of_one(270, learned)
    assert plenty == reads_of_one(270, [], left=100_000) == reads_of_one(270, [])
    assert len(plenty) == 8
    few = reads_of_one(270, learned, left=1000)
    assert few == [260, 320]
    late = reads_of_one(500, learned, left=1000)
    assert len(late) <= 4
    assert 500 <= late[-1] <= 700


def test_what_may_be_done_twice_begins_no_run_and_is_read_soon() -> None:
    async def main() -> list[float]:
        here = bench([NEVER], left=1000)
        here.step = STEPS["set_instance_success"]
        with anyio.move_on_after(100):
            await here.follow()
        return here.project.at

    assert run(main()) == [5, 20, 40, 80]


def test_what_a_poll_saw_the_end_of_is_read_at_once() -> None:
    async def main() -> list[float]:
        here = bench([100.0], left=1000)
        for number in range(5):
            here.run_times.saw(ended(f"t_9{number}_20260103_1", 600))
        async with anyio.create_task_group() as group:
            group.start_soon(here.follow)
            await anyio.sleep(130)
            (name,) = here.project.ends
            here.settler.heard("8", name)
            here.settler.heard("7", "another")
            here.settler.heard("7", name)
        return here.project.at

    assert run(main()) == [130]


def test_who_is_followed_is_told_as_long_as_that_lasts() -> None:
    async def main() -> None:
        here = bench([100.0, 400.0], left=100_000)
        async with anyio.create_task_group() as group:
            group.start_soon(here.follow)
            assert here.settler.followed("7") == frozenset()
            await anyio.sleep(60)
            assert here.settler.followed("7") == here.project.ends.keys()
            assert here.settler.followed("8") == frozenset()
            await anyio.sleep(200)
            assert len(here.settler.followed("7")) == 1
        assert here.settler.followed("7") == frozenset()

    run(main())


def test_a_day_that_begins_meanwhile_is_made_use_of() -> None:
    async def main() -> tuple[int, Counter[str]]:
        here = bench([900.0], left=0)

        async def midnight() -> None:
            await anyio.sleep(700)
            here.project.left = 1000

        async with anyio.create_task_group() as group:
            group.start_soon(midnight)
            group.start_soon(here.follow)
        return here.project.calls.total(), here.outcomes

    calls, outcomes = run(main())
    assert outcomes == {"verified": 1}
    assert calls <= 5


def test_a_wall_clock_that_passes_the_end_ends_it_within_a_minute() -> None:
    async def main() -> tuple[float, Counter[str]]:
        here = bench([NEVER], left=0)

        async def jump() -> None:
            await anyio.sleep(500)
            here.project.clock.jumped = timedelta(hours=1)

        async with anyio.create_task_group() as group:
            group.start_soon(jump)
            group.start_soon(here.follow)
        return here.project.clock.monotonic() - 1000, here.outcomes

    ended, outcomes = run(main())
    assert outcomes == {"timed_out": 1}
    assert 500 <= ended <= 560


async def _waited(clock: LoopClock, ask: Callable[[], Any]) -> list[str]:
    told: list[str] = []

    async def tell(reason: str) -> None:
        told.append(reason)

    assert await patiently(clock, ask, "it", tell) == "yes"
    return told


def test_asking_on_a_spent_day_costs_no_call_and_goes_on_with_the_next() -> None:
    async def main() -> None:
        clock = LoopClock(START - timedelta(seconds=1000))  # eight in the morning in Shanghai
        ledger = MemoryLedger()
        limiter = Limiter("a", PLANS["personal"], ledger, clock, timeout=10, zone=SHANGHAI)
        today = clock.now().astimezone(SHANGHAI).date()
        await ledger.lease("a", today, 1, 100, {})

        async def ask() -> str:
            async with limiter.turn(1, Priority.VERIFY) as turn:
                turn.sent()
                turn.answered()
            return "yes"

        told = await _waited(clock, ask)
        assert len(told) > 100
        assert 16 <= (clock.now() - START).total_seconds() / 3600 < 16.2
        tomorrow = clock.now().astimezone(SHANGHAI).date()
        assert (ledger.counts["a", today][1], ledger.counts["a", tomorrow][1]) == (100, 1)

    run(main())
