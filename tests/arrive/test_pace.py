"""How often a source is asked, and what is said of one that does not answer. In virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from fake_dataphin import START, ZONE, kinds
from phinops import virtual
from phinops.arrive.arrival import WHOLE, Arrival, Fault, Part
from phinops.arrive.pace import DOWN_AFTER, Pacer
from phinops.arrive.planner import SHORTEST, Care, Left, Others, Planner
from phinops.arrive.polling import Polled, SourceState
from phinops.clock import LoopClock
from phinops.errors import Forbidden, PhinopsError, QuotaSpent, StoreError, Throttled, Transient
from phinops.event import Event

DOWN = Transient("ListInstances", "ServiceUnavailable", "down")
NO_RIGHT = Forbidden("ListInstances", "DPN.Filter.NoPermission", "no right")
GOOD = Arrival("instances", "prod", calls=1)
PLENTY = Left({}, 43_200.0)


@dataclass
class Course:
    """A source that answers by `answer`, and all that its pacer did; `polls` are (second, part)."""

    answer: Callable[[int, Part], Arrival | Exception] = lambda *_: GOOD
    there: Callable[[], Sequence[Part]] = lambda: (WHOLE,)
    every: timedelta | None = None
    left: Callable[[], Left] = lambda: PLENTY
    care: Callable[[], Care | None] = Care
    known: Mapping[str, datetime] = field(default_factory=dict)
    deaf: int = 0
    hangs: bool = False
    finds: int = 0
    lasts: float = 0.0
    polls: list[tuple[float, str]] = field(default_factory=list)
    hints: list[frozenset[str]] = field(default_factory=list)
    told: list[Event] = field(default_factory=list)
    states: list[SourceState] = field(default_factory=list)
    rolls: int = 0

    def __post_init__(self) -> None:
        self.clock = LoopClock(START - timedelta(seconds=1000))
        self.pacer = Pacer(
            "instances",
            "prod",
            Planner(lambda: self.left(), self.clock, ZONE, others=Others(found=10**9)),
            levels=(1,),
            every=self.every,
            cares=lambda: self.care(),
            chance=random.Random(1),
        )

    async def parts(self) -> Sequence[Part]:
        self.rolls += 1
        return self.there()

    async def last_good(self) -> Mapping[str, datetime]:
        return self.known

    async def found(self) -> Mapping[tuple[str, datetime], int]:
        return {}

    async def once(self, part: Part, hinted: frozenset[str]) -> Polled:
        self.polls.append((self.clock.monotonic() - 1000, part.id))
        self.hints.append(hinted)
        if self.hangs:
            await asyncio.Event().wait()
        await asyncio.sleep(self.lasts)
        answer = self.answer(len(self.polls), part)
        if isinstance(answer, Exception):
            raise answer
        return Polled(answer, self.finds)

    async def tell(self, event: Event) -> None:
        self.deaf -= 1
        if self.deaf >= 0:
            raise StoreError("the disk is full")
        self.told.append(event)

    def last(self, seconds: float, *at: tuple[float, Callable[[], object]], looks: tuple[float, ...] = ()) -> Course:
        """Run for so long, doing what `at` says; `states` at each of the `looks`, and at the end."""

        async def play() -> None:
            running = asyncio.create_task(self.pacer.run(self, self.tell))
            script = [*at, *((look, self.note) for look in (*looks, seconds))]
            for moment, act in sorted(script, key=lambda each: each[0]):
                await asyncio.sleep(1000 + moment - asyncio.get_running_loop().time())
                act()
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

        virtual.run(play())
        return self

    def note(self) -> None:
        self.states.append(self.pacer.state())

    def times(self, part: str = "") -> list[float]:
        return [at for at, polled in self.polls if polled == part]


def rounded(times: Sequence[float]) -> list[int]:
    return [round(time) for time in times]


def gaps(times: Sequence[float]) -> list[float]:
    return [later - sooner for sooner, later in pairwise(times)]


PROJECTS = tuple(Part(str(number), f"p{number}") for number in range(1, 7))


def test_a_fixed_interval_is_kept_from_start_to_start() -> None:
    assert rounded(Course(every=timedelta(seconds=45), lasts=5).last(181).times()) == [0, 45, 90, 135, 180]


def test_without_a_limit_a_source_is_asked_at_the_shortest_interval_and_not_in_step() -> None:
    course = Course().last(600)
    assert len(course.polls) == pytest.approx(600 / SHORTEST, rel=0.1)
    assert len({round(gap, 3) for gap in gaps(course.times())}) > 10
    assert (course.states[-1].state, course.states[-1].interval_s, course.states[-1].reason) == ("ok", SHORTEST, "")


def test_each_part_is_polled_and_all_of_them_divide_the_calls() -> None:
    course = Course(there=lambda: PROJECTS, left=lambda: Left({"1": 432.0}, 43_200)).last(6000)
    assert {part for _, part in course.polls} == {part.id for part in PROJECTS}
    for part in PROJECTS:
        assert len(course.times(part.id)) == pytest.approx(6000 / 600, abs=2)
    assert [each.part for each in course.states[-1].parts] == list(PROJECTS)


def test_a_poll_that_costs_more_is_made_less_often() -> None:
    dear = Arrival("instances", "prod", calls=10)
    course = Course(lambda *_: dear, left=lambda: Left({"1": 1000.0}, 86_400)).last(4000)
    assert gaps(course.times())[0] < 500
    assert gaps(course.times())[-1] > 600


def test_what_a_poll_calls_for_because_of_what_it_finds_makes_it_no_dearer() -> None:
    found = Arrival("instances", "prod", calls=10, follow_ups=9)
    course = Course(lambda *_: found, left=lambda: Left({"1": 1000.0}, 86_400)).last(4000)
    assert len(course.polls) == pytest.approx(4000 / 86.4, rel=0.1)


def test_a_change_makes_the_next_poll_of_the_same_part_come_sooner() -> None:
    there = PROJECTS[:2]
    calm = Course(there=lambda: there, left=lambda: Left({"1": 100.0}, 43_200)).last(1)
    shaken = Course(there=lambda: there, left=lambda: Left({"1": 100.0}, 43_200), finds=1)

    def answer(_: int, part: Part) -> Arrival:
        shaken.finds = int(part.id == "1")
        return GOOD

    shaken.answer = answer
    shaken.last(1)
    before = {each.part.id: each.interval_s for each in calm.states[-1].parts}
    after = {each.part.id: each.interval_s for each in shaken.states[-1].parts}
    assert after["1"] < before["1"] * 0.9


def test_what_something_else_told_of_is_looked_at_at_once_and_once() -> None:
    course = Course(there=lambda: PROJECTS[:2], left=lambda: Left({"1": 24.0}, 43_200))
    now = START + timedelta(seconds=100)
    course.last(300, (100, lambda: course.pacer.hint("2", "t_1", now)))
    assert rounded(course.times("2")) == [0, 100]
    assert course.hints[-1] == frozenset({"t_1"})
    assert rounded(course.times("1")) == [0]


def test_a_hint_of_what_was_polled_since_or_is_not_watched_costs_nothing() -> None:
    course = Course(there=lambda: PROJECTS[:1], left=lambda: Left({"1": 24.0}, 43_200))
    old = START - timedelta(seconds=60)
    course.last(
        300,
        (100, lambda: course.pacer.hint("1", "t_1", old)),
        (110, lambda: course.pacer.hint("9", "t_2", START + timedelta(days=1))),
    )
    assert len(course.polls) == 1


def test_a_restart_goes_on_from_the_last_polls_of_the_process_before() -> None:
    known = {"1": START - timedelta(seconds=1200), "2": START - timedelta(days=1)}
    course = Course(there=lambda: PROJECTS[:3], left=lambda: Left({"1": 72.0}, 43_200), known=known)
    course.last(1700, looks=(0.5,))
    # 1,800 s apart: of project 1 a third is left, project 2 is late, project 3 was never polled.
    assert rounded(course.times("1")) == [pytest.approx(600, abs=2)]
    assert rounded(course.times("2"))[0] == rounded(course.times("3"))[0] == 0
    assert course.states[0].state == "ok"


def test_parts_come_and_go_with_the_roll() -> None:
    there = list(PROJECTS[:2])
    course = Course(there=lambda: tuple(there), left=lambda: Left({"1": 432.0}, 43_200))
    course.last(8000, (100, lambda: there.pop(0)), (200, lambda: there.append(PROJECTS[4])))
    assert max(course.times("1")) < 3700
    assert min(course.times("5")) == pytest.approx(3600, abs=61)
    assert course.rolls == 3


def test_what_a_poll_could_not_read_is_said_of_a_source_that_is_well() -> None:
    arrival = Arrival("instances", "prod", faults=(Fault("stock", "no right"),))
    (state,) = Course(lambda *_: arrival).last(5).states
    assert (state.state, state.reason) == ("ok", "stock: no right")
    assert state.last_good is not None


def test_a_source_that_fails_is_asked_again_later_and_later_and_recovers() -> None:
    course = Course(lambda poll, _: DOWN if 2 <= poll <= 8 else GOOD, every=timedelta(seconds=30))
    course.last(1200, looks=(29, 50, 130))
    for nth, gap in enumerate(gaps(course.times()[1:9])[:6]):
        assert 0.75 <= gap / min(60, max(5 * 2**nth, 7.5)) <= 1.25
    assert [state.state for state in course.states] == ["ok", "failing", "stale", "ok"]
    assert course.states[1].reason == "ListInstances: ServiceUnavailable: down"
    assert kinds(course.told) == ["source.stale", "source.recovered"]
    stale, recovered = course.told
    assert stale.health is not None
    assert recovered.health is not None
    assert (stale.health.name, stale.health.state, recovered.health.state) == ("instances", "stale", "ok")
    assert stale.time - START == timedelta(seconds=90.001)
    assert stale.health.last_good is not None


def test_a_service_that_answers_nobody_is_asked_by_one_part_at_a_time() -> None:
    course = Course(lambda *_: DOWN, there=lambda: PROJECTS, lasts=10)
    course.last(600)
    early = [at for at, _ in course.polls if at < 1]
    assert len(early) == 4
    later = sorted(at for at, _ in course.polls if at > 20)
    assert min(gaps(later)) >= 10
    assert DOWN_AFTER < 4


def test_a_part_that_is_refused_stops_no_other_and_is_asked_ever_more_rarely() -> None:
    course = Course(lambda _, part: NO_RIGHT if part.id == "1" else GOOD, there=lambda: PROJECTS[:2])
    course.last(20_000)
    refused = gaps(course.times("1"))
    assert refused[-1] >= 0.75 * 3600
    assert len(course.times("2")) > 1500
    assert (course.states[-1].state, course.states[-1].reason) == ("ok", f"p1: {NO_RIGHT}")
    assert course.told == []


def test_a_source_that_is_asked_rarely_is_not_asked_more_often_while_it_fails() -> None:
    course = Course(lambda *_: DOWN, left=lambda: Left({"1": 24.0}, 86_400)).last(40_000)
    times = gaps(course.times())
    assert 0.75 * 900 <= times[0] <= 1.25 * 900
    assert all(0.75 * 3600 <= gap <= 1.25 * 3600 for gap in times[10:])


def test_the_wait_that_the_service_names_is_kept() -> None:
    throttled = Throttled("ListInstances", "Throttling.User", "slow down", retry_after=200.0)
    course = Course(lambda poll, _: throttled if poll == 1 else GOOD).last(205)
    assert rounded(course.times()) == [0, 200]


def test_a_source_that_hangs_is_stale_too() -> None:
    assert kinds(Course(hangs=True).last(200).told) == ["source.stale"]


def test_patience_is_three_intervals_where_that_is_longer() -> None:
    course = Course(lambda poll, _: DOWN if poll > 1 else GOOD, every=timedelta(minutes=10))
    course.last(1802, looks=(1799,))
    assert [state.state for state in course.states] == ["failing", "stale"]


def test_a_fault_of_our_own_makes_the_source_fail_and_not_the_daemon() -> None:
    course = Course(lambda poll, _: ZeroDivisionError() if poll == 1 else GOOD)
    course.last(40, looks=(1,))
    assert (course.states[0].state, course.states[0].reason) == ("failing", "ZeroDivisionError")
    assert course.states[1].state == "ok"


def test_what_could_not_be_told_is_told_later() -> None:
    course = Course(lambda poll, _: DOWN if poll < 8 else GOOD, deaf=2).last(1500)
    assert kinds(course.told) == ["source.stale", "source.recovered"]


def test_a_list_of_parts_that_is_not_answered_is_asked_for_again() -> None:
    answers = iter([DOWN, QuotaSpent("none left"), DOWN])

    def there() -> Sequence[Part]:
        error = next(answers, None)
        if error:
            raise error
        return PROJECTS[:1]

    course = Course(there=there).last(700, looks=(1, 100))
    assert [state.state for state in course.states] == ["failing", "resting", "ok"]
    assert course.states[0].reason == str(DOWN)
    assert course.times("1")[0] > 600


def test_a_spent_budget_lets_the_source_rest_without_a_call_until_there_is_one() -> None:
    course = Course()
    course.left = lambda: (
        Left({"1": 0.0}, 2000 - course.clock.monotonic())
        if course.clock.monotonic() < 2000
        else Left({"1": 1000.0}, 86_400)
    )
    course.last(1900, looks=(500,))
    assert [state.state for state in course.states] == ["resting", "ok"]
    assert course.states[0].interval_s is None
    assert course.states[0].reason == "the day's calls for polls are spent"
    assert course.times()[0] > 1000
    assert course.told == []


def test_a_refusal_of_one_part_is_no_recovery_of_a_stale_source() -> None:
    there = PROJECTS[:2]
    course = Course(lambda poll, part: GOOD if poll <= 2 else NO_RIGHT if part.id == "1" else DOWN, there=lambda: there)
    course.last(400)
    assert kinds(course.told) == ["source.stale"]


def test_a_fixed_interval_is_kept_until_the_limiter_says_that_the_day_is_spent() -> None:
    def spent(poll: int, _: Part) -> Arrival | PhinopsError:
        return QuotaSpent("2 calls are kept for actions") if 3 <= poll <= 4 else GOOD

    course = Course(spent, every=timedelta(seconds=30), left=lambda: Left({"1": 0.0}, 43_200)).last(1300, looks=(500,))
    assert rounded(course.times())[:5] == [0, 30, 60, 660, 1260]
    assert (course.states[0].state, course.states[0].reason) == ("resting", "2 calls are kept for actions")


def test_a_source_that_no_rule_listens_to_idles_until_one_does() -> None:
    listened: list[Care] = []
    course = Course(care=lambda: listened[0] if listened else None)

    def load_a_rule() -> None:
        listened.append(Care())
        course.pacer.nudge()

    course.last(501, (500, load_a_rule), looks=(499,))
    assert [state.state for state in course.states] == ["idle", "ok"]
    assert course.states[0].reason == "no rule listens to it"
    assert rounded(course.times()) == [500]
    assert course.told == []


def test_a_source_with_a_fixed_interval_is_polled_though_no_rule_listens() -> None:
    assert len(Course(every=timedelta(seconds=30), care=lambda: None).last(31).polls) == 2


def test_before_its_first_poll_a_source_is_starting() -> None:
    course = Course()

    async def look() -> SourceState:
        return course.pacer.state()

    assert virtual.run(look()).state == "starting"
