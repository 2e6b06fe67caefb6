"""Who is next in a line: the more urgent, but each class its share."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from phinops.execute.line import MOST_OWED, TURN, Line
from phinops.execute.priority import SHARES, Priority


@dataclass(frozen=True, slots=True)
class Waiter:
    priority: Priority
    number: int


def anybody(_: Priority) -> bool:
    return True


def only_urgent(priority: Priority) -> bool:
    return priority.urgent


def crowd(*priorities: Priority, each: int = 1000) -> Line[Waiter]:
    line: Line[Waiter] = Line()
    for priority in priorities:
        for n in range(each):
            line.join(Waiter(priority, n))
    return line


def turns(line: Line[Waiter], count: int) -> Counter[Priority]:
    return Counter(line.next(anybody)[0].priority for _ in range(count))


def test_the_shares_are_one_turn_together() -> None:
    assert sum(SHARES.values()) == TURN
    assert set(SHARES) == set(Priority)


def test_of_a_hundred_turns_that_all_want_each_class_has_its_share() -> None:
    found = turns(crowd(*Priority), 1000)
    assert all(abs(found[each] - 10 * SHARES[each]) <= 5 for each in Priority)


def test_what_a_class_does_not_use_goes_to_the_most_urgent_of_the_others() -> None:
    found = turns(crowd(Priority.WRITE, Priority.POLL, Priority.OPERATOR), 1000)
    assert abs(found[Priority.POLL] - 60) <= 1
    assert abs(found[Priority.OPERATOR] - 40) <= 1
    assert found[Priority.WRITE] == 1000 - found[Priority.POLL] - found[Priority.OPERATOR]


def test_a_few_leave_in_order_of_urgency() -> None:
    line = crowd(*reversed(Priority), each=1)
    assert [line.next(anybody)[0].priority for _ in Priority] == list(Priority)


def test_a_class_that_did_not_wait_is_owed_nothing_for_it() -> None:
    line = crowd(Priority.VERIFY)
    turns(line, 500)
    line.join(Waiter(Priority.OPERATOR, 0))
    assert turns(line, TURN // SHARES[Priority.OPERATOR] - 1)[Priority.OPERATOR] == 0
    assert turns(line, 1)[Priority.OPERATOR] == 1


def test_one_who_gives_up_leaves_what_its_class_is_owed_to_the_next_of_it() -> None:
    line = crowd(Priority.VERIFY)
    first, second = Waiter(Priority.OPERATOR, 0), Waiter(Priority.OPERATOR, 1)
    line.join(first)
    line.join(second)
    turns(line, 24)
    line.leave(first)
    assert line.next(anybody)[0] == second


def test_a_turn_that_is_not_used_is_owed_again() -> None:
    line = crowd(Priority.VERIFY, Priority.OPERATOR)
    turns(line, 24)
    waiter, paid = line.next(anybody)
    assert (waiter.priority, paid) == (Priority.OPERATOR, TURN)
    line.refund(waiter.priority, paid)
    assert line.next(anybody)[0] == Waiter(Priority.OPERATOR, 1)


def test_turns_given_back_over_and_over_do_not_pile_up() -> None:
    line = crowd(Priority.VERIFY, Priority.OPERATOR)
    for _ in range(500):
        waiter, paid = line.next(anybody)
        line.refund(waiter.priority, paid)
        line.join(waiter)
    assert turns(line, 100)[Priority.OPERATOR] <= MOST_OWED // TURN + SHARES[Priority.OPERATOR]


def test_the_urgent_who_alone_may_go_share_among_themselves_and_owe_the_others_nothing() -> None:
    line = crowd(Priority.VERIFY, Priority.WRITE, Priority.POLL)
    found = Counter(line.next(only_urgent)[0].priority for _ in range(400))
    assert found == {Priority.VERIFY: 300, Priority.WRITE: 100}
    assert turns(line, 10)[Priority.POLL] == 0


def test_a_line_is_false_when_empty_and_gives_all_the_most_urgent_first() -> None:
    line = crowd(Priority.POLL, Priority.WRITE, each=2)
    assert [(each.priority, each.number) for each in line] == [(1, 0), (1, 1), (4, 0), (4, 1)]
    turns(line, 4)
    assert not line


ops = st.one_of(
    st.tuples(st.just("join"), st.sampled_from(list(Priority))),
    st.tuples(st.just("leave"), st.sampled_from(list(Priority))),
    st.tuples(st.just("next"), st.sampled_from([anybody, anybody, anybody, only_urgent])),
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(ops, min_size=30, max_size=300))
def test_whatever_happens_order_and_shares_are_kept(given: list[tuple[str, object]]) -> None:
    """Between two moments at which nobody of a class waits, it has its share of the turns that it might have had.

    It goes before a more urgent class no more often than that.
    """
    line: Line[Waiter] = Line()
    queues: dict[Priority, deque[Waiter]] = {each: deque() for each in Priority}
    could: Counter[Priority] = Counter()
    got: Counter[Priority] = Counter()
    overtook: Counter[Priority] = Counter()
    for n, (what, which) in enumerate(given):
        if what == "join":
            assert isinstance(which, Priority)
            queues[which].append(Waiter(which, n))
            line.join(queues[which][-1])
        elif what == "leave":
            assert isinstance(which, Priority)
            if queues[which]:
                line.leave(queues[which].pop())
        elif classes := [each for each, queue in queues.items() if queue and which(each)]:  # type: ignore[operator]
            waiter, _ = line.next(which)  # type: ignore[arg-type]
            assert waiter == queues[waiter.priority].popleft(), "first come, first served"
            could.update(classes)
            got[waiter.priority] += 1
            overtook[waiter.priority] += waiter.priority != classes[0]
        for each, queue in queues.items():
            assert got[each] * TURN > could[each] * SHARES[each] - MOST_OWED
            assert overtook[each] * TURN <= could[each] * SHARES[each]
            if not queue:
                could[each] = got[each] = overtook[each] = 0
    assert list(line) == [each for queue in queues.values() for each in queue]
