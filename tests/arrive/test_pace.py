"""How often a source is asked, and what is said of one that does not answer. In virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from fake_dataphin import START, ZONE, kinds
from phinops import virtual
from phinops.arrive.arrival import Arrival, Fault
from phinops.arrive.pace import Budget, Pacer, SourceState, budget_of, interval_of
from phinops.clock import LoopClock
from phinops.errors import PhinopsError, QuotaSpent, StoreError, Throttled, Transient
from phinops.event import Event

DOWN = Transient("ListInstances", "ServiceUnavailable", "down")


@dataclass
class Use:
    pool: str
    used: int
    limit: int | None
    reserve: int


def test_the_scarcest_pool_of_a_sources_levels_is_its_budget() -> None:
    pools = [Use("1+2", 100, 1000, 200), Use("3", 0, 10, 0), Use("1", 5, None, 0)]
    noon = datetime(2026, 1, 5, 12, tzinfo=ZONE)
    assert budget_of(pools, (1, 2), noon, ZONE, 3) == Budget(700, 12 * 3600, 3)
    assert budget_of(pools, (3,), noon, ZONE).calls == 10
    assert budget_of([Use("1", 900, 1000, 200)], (1,), noon, ZONE).calls == 0
    assert budget_of([Use("1+2", 5, None, 0)], (1,), noon, ZONE).calls is None


@pytest.mark.parametrize(
    ("budget", "cost", "interval"),
    [
        (Budget(None, 0.0), 5, 30),
        (Budget(40_000, 86_400), 1, 30),
        (Budget(800, 86_400, 2), 1, 216),
        (Budget(800, 86_400, 2), 5, 1080),
        (Budget(10, 86_400), 2, 3600),
        (Budget(1, 600), 2, None),
        (Budget(0, 600), 1, None),
    ],
)
def test_the_rest_of_the_day_is_divided_evenly_from_half_a_minute_to_an_hour(
    budget: Budget, cost: float, interval: float | None
) -> None:
    assert interval_of(budget, cost) == interval


@dataclass
class Course:
    """A source that answers by `answer`, and all that its pacer did."""

    answer: Callable[[int], Arrival | Exception] = lambda _: Arrival("instances", "prod", calls=1)
    every: timedelta | None = None
    budget: Callable[[], Budget] = lambda: Budget(None, 0.0)
    used: Callable[[], bool] = lambda: True
    deaf: int = 0
    hangs: bool = False
    polls: list[float] = field(default_factory=list)
    told: list[Event] = field(default_factory=list)
    states: list[SourceState] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = LoopClock(START)
        self.pacer = Pacer(
            "instances",
            "prod",
            self.clock,
            every=self.every,
            budget=lambda: self.budget(),
            used=lambda: self.used(),
            chance=random.Random(1),
        )

    async def once(self, _: datetime) -> Arrival:
        self.polls.append(self.clock.monotonic() - 1000)
        if self.hangs:
            await asyncio.Event().wait()
        answer = self.answer(len(self.polls))
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def tell(self, event: Event) -> None:
        self.deaf -= 1
        if self.deaf >= 0:
            raise StoreError("the disk is full")
        self.told.append(event)

    def last(self, seconds: float, *, looks: tuple[float, ...] = (), nudges: tuple[float, ...] = ()) -> Course:
        """Run for so long; `states` at each of the `looks`."""

        async def play() -> None:
            running = asyncio.create_task(self.pacer.run(self.once, self.tell))
            for moment in sorted({*looks, *nudges, seconds}):
                await asyncio.sleep(1000 + moment - asyncio.get_running_loop().time())
                if moment in nudges:
                    self.pacer.nudge()
                else:
                    self.states.append(self.pacer.state())
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

        virtual.run(play())
        return self


def rounded(times: list[float]) -> list[int]:
    return [round(time) for time in times]


def test_a_fixed_interval_is_kept_from_start_to_start() -> None:
    assert rounded(Course(every=timedelta(seconds=45)).last(181).polls) == [0, 45, 90, 135, 180]


def test_without_a_limit_a_source_is_asked_every_half_minute() -> None:
    course = Course().last(61)
    assert rounded(course.polls) == [0, 30, 60]
    assert (course.states[-1].state, course.states[-1].interval_s, course.states[-1].reason) == ("ok", 30, "")


def test_a_poll_that_costs_more_is_made_less_often() -> None:
    course = Course(lambda _: Arrival("instances", "prod", calls=10), budget=lambda: Budget(1000, 86_400)).last(4000)
    gaps = [later - sooner for sooner, later in pairwise(course.polls)]
    assert gaps == sorted(gaps)
    assert 300 < gaps[0] < 400
    assert gaps[-1] > 600


def test_what_a_poll_could_not_read_is_said_of_a_source_that_is_well() -> None:
    arrival = Arrival("instances", "prod", faults=(Fault("stock", "no right"),))
    (state,) = Course(lambda _: arrival).last(10).states
    assert (state.state, state.reason, state.last_good) == ("ok", "stock: no right", state.last_good)
    assert state.last_good is not None


def test_a_source_that_fails_is_asked_again_later_and_later_and_recovers() -> None:
    course = Course(lambda poll: DOWN if 2 <= poll <= 8 else Arrival("instances", "prod", calls=1))
    course.last(1200, looks=(29, 50, 130))
    gaps = [later - sooner for sooner, later in pairwise(course.polls[1:9])]
    for nth, gap in enumerate(gaps[:6]):
        assert 0.75 <= gap / min(60, max(5 * 2**nth, 7.5)) <= 1.25
    assert [state.state for state in course.states] == ["ok", "failing", "stale", "ok"]
    assert course.states[1].reason == "ListInstances: ServiceUnavailable: down"
    assert kinds(course.told) == ["source.stale", "source.recovered"]
    stale, recovered = course.told
    assert stale.health is not None
    assert recovered.health is not None
    assert (stale.health.name, stale.health.state, recovered.health.state) == ("instances", "stale", "ok")
    assert stale.time - START == timedelta(seconds=1090.001)
    assert stale.health.last_good is not None


def test_a_source_that_is_asked_rarely_is_not_asked_more_often_while_it_fails() -> None:
    course = Course(lambda _: DOWN, budget=lambda: Budget(24, 86_400)).last(40_000)
    gaps = [later - sooner for sooner, later in pairwise(course.polls)]
    assert 0.75 * 900 <= gaps[0] <= 1.25 * 900
    assert all(0.75 * 3600 <= gap <= 1.25 * 3600 for gap in gaps[10:])


def test_the_wait_that_the_service_names_is_kept() -> None:
    throttled = Throttled("ListInstances", "Throttling.User", "slow down", retry_after=200.0)
    course = Course(lambda poll: throttled if poll == 1 else Arrival("instances", "prod", calls=1)).last(220)
    assert rounded(course.polls) == [0, 200]


def test_a_source_that_hangs_is_stale_too() -> None:
    assert kinds(Course(hangs=True).last(200).told) == ["source.stale"]


def test_patience_is_three_intervals_where_that_is_longer() -> None:
    course = Course(lambda poll: DOWN if poll > 1 else Arrival("x", "prod", calls=1), every=timedelta(minutes=10))
    course.last(1801, looks=(1799,))
    assert [state.state for state in course.states] == ["failing", "stale"]


def test_a_fault_of_our_own_makes_the_source_fail_and_not_the_daemon() -> None:
    course = Course(lambda poll: ZeroDivisionError() if poll == 1 else Arrival("instances", "prod", calls=1))
    course.last(40, looks=(1,))
    assert (course.states[0].state, course.states[0].reason) == ("failing", "ZeroDivisionError")
    assert course.states[1].state == "ok"


def test_what_could_not_be_told_is_told_later() -> None:
    course = Course(lambda poll: DOWN if poll < 8 else Arrival("instances", "prod", calls=1), deaf=2).last(1500)
    assert kinds(course.told) == ["source.stale", "source.recovered"]


def test_a_spent_budget_lets_the_source_rest_without_a_call_until_there_is_one() -> None:
    left = [Budget(0, 1000)]
    course = Course(budget=lambda: left[0])

    def refill() -> bool:
        left[0] = Budget(0, 1000) if course.clock.monotonic() < 2000 else Budget(1000, 86_400)
        return True

    course.used = refill
    course.last(1900, looks=(500,))
    assert [state.state for state in course.states] == ["resting", "ok"]
    assert course.states[0].interval_s is None
    assert course.states[0].reason == "the day's calls for polls are spent"
    assert course.polls[0] > 1000
    assert course.told == []


def test_a_fixed_interval_is_kept_until_the_limiter_says_that_the_day_is_spent() -> None:
    def spent(poll: int) -> Arrival | PhinopsError:
        return QuotaSpent("2 calls are kept for actions") if 3 <= poll <= 4 else Arrival("instances", "prod")

    course = Course(spent, every=timedelta(seconds=30), budget=lambda: Budget(0, 0)).last(1300, looks=(500,))
    assert rounded(course.polls)[:5] == [0, 30, 60, 660, 1260]
    assert (course.states[0].state, course.states[0].reason) == ("resting", "2 calls are kept for actions")


def test_a_source_that_no_rule_listens_to_idles_until_one_does() -> None:
    listened = [False]
    course = Course(used=lambda: listened[0])

    async def play() -> None:
        running = asyncio.create_task(course.pacer.run(course.once, course.tell))
        await asyncio.sleep(500)
        course.states.append(course.pacer.state())
        listened[0] = True
        course.pacer.nudge()
        await asyncio.sleep(1)
        course.states.append(course.pacer.state())
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    virtual.run(play())
    assert [state.state for state in course.states] == ["idle", "ok"]
    assert course.states[0].reason == "no rule listens to it"
    assert rounded(course.polls) == [500]
    assert course.told == []


def test_a_source_with_a_fixed_interval_is_polled_though_no_rule_listens() -> None:
    assert len(Course(every=timedelta(seconds=30), used=lambda: False).last(31).polls) == 2


def test_a_nudge_polls_at_once() -> None:
    assert rounded(Course().last(29, nudges=(10,)).polls) == [0, 10]


def test_before_its_first_poll_a_source_is_starting() -> None:
    course = Course()

    async def look() -> SourceState:
        return course.pacer.state()

    assert virtual.run(look()).state == "starting"
