"""From what was seen of instances to timers and events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phinops.arrive.arrival import Arrival, Roll, Standing
from phinops.arrive.lasting import OVERDUE, STUCK, Asked, Plan, Timer, states_of, timer_of, timers_of
from phinops.arrive.timerbook import TimerBook
from phinops.event import Event, Instance, Node, Project

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RUNS = Asked(STUCK, "RUNNING", 1200)
LATE = Asked(OVERDUE, "", 1800)
PROJECT = Project("7", "orders")
EVERY = frozenset({"WAITING", "BLOCKED", "RUNNING", "FAILED"})


def seen(status: str = "RUNNING", key: str = "t_1", **more: Any) -> Standing:
    return Standing(PROJECT, Instance(id=key, status=status, biz_date="2026-01-04", **more), Node(id="n"), {"raw": 1})


def roll(states: Iterable[str] = EVERY, first: date = date(2026, 1, 1), last: date = date(2026, 1, 5)) -> Roll:
    return Roll("7", frozenset(states), first, last)


class Book:
    """A book, and what it told."""

    def __init__(self, *asked: Asked) -> None:
        self.asked = asked
        self.book = TimerBook(UTC)
        self.told: list[Event] = []
        self.rows: dict[tuple[str, str, str], Any] = {}

    def take(self, *standing: Standing, at: datetime = NOW, **more: Any) -> Plan:
        return self._keep(self.book.plan(Arrival("instances", "t", standing=standing, **more), self.asked, at))

    def ask(self, *asked: Asked) -> Plan:
        self.asked = asked
        return self._keep(self.book.asked_anew(asked))

    def _keep(self, plan: Plan) -> Plan:
        self.told += plan.events
        self.book.keep(plan)
        for each in plan.drop:
            self.rows.pop((each.tenant, each.object_id, each.asked.name), None)
        for each in plan.put:
            self.rows[each.tenant, each.object_id, each.asked.name] = each.to_json()
        return plan


def test_a_timer_is_read_back_as_it_was_written() -> None:
    timer = Timer("t", "t_1", RUNS, PROJECT, NOW, "123", "2026-01-04", 2, "FAILED", told=True)
    assert timer_of("t", "t_1", timer.to_json()) == timer
    assert (timer.due - timer.since, timer.place) == (20 * MINUTE, ("t", "7"))


def test_the_states_of_what_is_asked() -> None:
    assert states_of([RUNS, LATE]) == {"RUNNING", "WAITING", "BLOCKED"}
    assert RUNS.name != LATE.name


@pytest.mark.parametrize(
    ("instance", "late"),
    [
        (seen("WAITING", due_time=NOW), True),
        (seen("BLOCKED", due_time=NOW), True),
        (seen("RUNNING", due_time=NOW), False),
        (seen("WAITING"), False),
        (seen("WAITING", due_time=NOW, attempts=1), False),
        (seen("WAITING", due_time=NOW, started_at=NOW), False),
    ],
)
def test_overdue_is_what_never_started(instance: Standing, late: bool) -> None:
    assert bool(list(timers_of([LATE], "t", instance, NOW))) == late


def test_what_is_dated_counts_from_its_date_and_what_is_not_from_when_it_was_first_seen() -> None:
    book = Book(RUNS, Asked(STUCK, "BLOCKED", 600))
    book.take(seen(started_at=NOW - 5 * MINUTE), seen("BLOCKED", "t_2"))
    assert book.book.next_due() == NOW + 10 * MINUTE
    book.take(seen("BLOCKED", "t_2"), at=NOW + 9 * MINUTE)
    plan = book.take(seen("BLOCKED", "t_2"), seen(started_at=NOW - 5 * MINUTE), at=NOW + 15 * MINUTE)
    assert [(each.instance.id, each.time) for each in plan.events if each.instance] == [
        ("t_2", NOW + 10 * MINUTE),
        ("t_1", NOW + 15 * MINUTE),
    ]
    assert book.take(seen("BLOCKED", "t_2"), at=NOW + 60 * MINUTE).empty


def test_a_start_that_was_not_told_at_first_is_that_of_the_same_run_and_another_start_another_run() -> None:
    book = Book(RUNS)
    book.take(seen(), at=NOW)
    book.take(seen(started_at=NOW - MINUTE), at=NOW + MINUTE)
    assert book.book.next_due() == NOW + 20 * MINUTE
    book = Book(RUNS)
    book.take(seen(started_at=NOW))
    book.take(seen(started_at=NOW + 5 * MINUTE), at=NOW + 6 * MINUTE)
    assert book.book.next_due() == NOW + 25 * MINUTE
    book.take(seen(started_at=NOW + 5 * MINUTE), at=NOW + 30 * MINUTE)
    book.take(seen(started_at=NOW + 50 * MINUTE), at=NOW + 90 * MINUTE)
    assert len({event.id for event in book.told}) == 2


def test_an_event_sets_what_a_sight_would_and_drops_what_was_left() -> None:
    event = Event("e", "instance.running", NOW, "t", "instances", PROJECT, instance=seen().instance)
    failed = replace(event, id="f", type="instance.failed", instance=seen("FAILED").instance)
    book = Book(RUNS)
    book.take(events=(event,))
    assert book.book.next_due() == NOW + 20 * MINUTE
    book.take(events=(failed,))
    assert book.rows == {}
    book.take(events=(event, failed))
    assert book.rows == {}
    book.take(events=(replace(event, type="instance.stuck"), replace(event, instance=None)))
    assert book.rows == {}


def test_who_is_not_there_any_more_has_no_timer() -> None:
    book = Book(RUNS, LATE)
    both = seen(started_at=NOW), seen("WAITING", "t_2", due_time=NOW)

    def left(**more: Any) -> set[str]:
        book.take(*both)
        book.take(**more)
        return {key for _, key, _ in book.rows}

    assert left() == {"t_1", "t_2"}
    assert left(roll=roll({"RUNNING", "FAILED"})) == {"t_2"}
    assert left(roll=roll({"RUNNING", "WAITING"})) == {"t_2"}
    assert left(roll=roll()) == set()
    assert left(roll=roll(first=date(2026, 1, 5))) == {"t_1", "t_2"}
    assert left(roll=replace(roll(), project="8")) == {"t_1", "t_2"}
    assert left(gone=frozenset({"t_2", "t_9"})) == {"t_1"}


def test_what_was_too_long_before_is_no_news() -> None:
    book = Book(RUNS)
    book.take(seen(started_at=NOW - 100 * MINUTE), seen(key="t_2", started_at=NOW - 50 * MINUTE), old=NOW - 60 * MINUTE)
    assert [event.instance and event.instance.id for event in book.told] == ["t_2"]
    book.take(seen(started_at=NOW - 100 * MINUTE), at=NOW + MINUTE)
    assert len(book.told) == 1


def test_rules_that_ask_for_other_times_go_on_from_the_same_moment() -> None:
    longer, other = RUNS._replace(after_s=3600), Asked(STUCK, "FAILED", 60)
    book = Book(RUNS)
    book.take(seen(started_at=NOW), at=NOW + 30 * MINUTE)
    book.ask(longer, other)
    assert book.book.next_due() == NOW + 60 * MINUTE
    book.ask(longer, RUNS)
    assert len(book.rows) == 2
    assert book.book.next_due() == NOW + 20 * MINUTE
    book.ask()
    assert (book.rows, book.book.next_due()) == ({}, None)
    assert book.book.plan(Arrival("instances", "t", standing=(seen(),)), (), NOW) == Plan()


def test_what_is_looked_at_by_itself_keeps_what_was_known_of_it() -> None:
    book = Book(RUNS)
    known = seen(started_at=NOW, attempts=2, previous_status="FAILED")
    book.take(known)
    alone = replace(known, project=Project("7"), instance=seen(started_at=NOW).instance)
    (event,) = book.take(alone, at=NOW + 20 * MINUTE).events
    assert event.instance is not None
    assert (event.instance.attempts, event.instance.previous_status, event.project) == (2, "FAILED", PROJECT)


def test_what_is_due_is_taken_once_and_what_was_dropped_never() -> None:
    book = Book(RUNS)
    sooner: list[int] = []
    book.book.sooner = lambda: sooner.append(1)
    book.take(seen(started_at=NOW), seen(key="t_2", started_at=NOW - MINUTE), seen(key="t_3", started_at=NOW + MINUTE))
    book.take(seen("FAILED", "t_2"))
    assert book.book.take_due(NOW + 19 * MINUTE) == []
    (timer,) = book.book.take_due(NOW + 20 * MINUTE)
    assert timer.object_id == "t_1"
    assert book.book.is_set(timer)
    assert book.book.take_due(NOW + 20 * MINUTE) == []
    assert book.book.next_due() == NOW + 21 * MINUTE
    assert (len(sooner), len(book.rows), book.book.count(("t", "7"))) == (1, 2, 2)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["RUNNING", "WAITING", "FAILED", "SUCCESS", "absent", "restart", "reload"]),
        st.integers(0, 40),
    ),
    max_size=40,
)


@given(steps=STEPS)
@settings(max_examples=300, deadline=None)
def test_however_it_is_seen_it_is_told_once_a_run_and_never_too_soon(steps: list[tuple[str, int]]) -> None:
    book, now, run = Book(RUNS), NOW, NOW
    before = ""
    for what, minutes in steps:
        now += minutes * MINUTE
        if what == "restart":
            again = Book(*book.asked)
            again.told, again.rows = book.told, book.rows
            again.book.keep(Plan(put=[timer_of(t, key, row) for (t, key, _), row in book.rows.items()]))
            book = again
        elif what == "reload":
            book.ask(*(() if book.asked else (RUNS,)))
        elif what == "absent":
            book.take(at=now, roll=roll())
        else:
            run = now if what == "RUNNING" and before != "RUNNING" else run
            before = what
            book.take(seen(what, started_at=run if what in ("RUNNING", "FAILED") else None), at=now, roll=roll())
        assert all(now >= event.time for event in book.told)
    by_run: dict[str, datetime] = {}
    for event in book.told:
        assert event.instance is not None
        assert event.instance.started_at is not None
        assert event.time == event.instance.started_at + 20 * MINUTE
        by_run.setdefault(event.id, event.instance.started_at)
    assert len(set(by_run.values())) == len(by_run)
