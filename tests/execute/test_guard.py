"""The judgement that every write passes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from phinops.execute.guard import Protected, Rails, write_guard
from phinops.firing import Ask, Identity, Intent, Pause, Reach, Tally, TargetLimit, WriteFacts

HOUR = timedelta(hours=1)
NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)


def _ask(target: str, rule: str = "r", most: int | None = None) -> Ask:
    intent = Intent(
        action_id=f"act_{target}",
        firing_id="fi",
        n=0,
        step_id="s0",
        attempt=1,
        kind="rerun_instance",
        api="OperateInstance",
        tenant="t",
        target_kind="instance",
        target_id=target,
        project_id="7",
        request={},
        probe={},
    )
    return Ask(intent, rule, TargetLimit(most, HOUR) if most is not None else None)


def test_what_nothing_objects_to_leaves() -> None:
    assert write_guard(Rails(2))([(_ask("a"), WriteFacts(0)), (_ask("b"), WriteFacts(0))]) == [None, None]


def test_of_nothing_there_is_nothing_to_judge() -> None:
    assert write_guard(Rails(0))([]) == []


def test_over_the_ceiling_the_whole_batch_is_held() -> None:
    found = write_guard(Rails(3))([(_ask("a"), WriteFacts(2)), (_ask("b"), WriteFacts(2))])
    assert [each.subject for each in found if each] == ["ceiling", "ceiling"]
    assert found[0]
    assert "2 writes in the last hour and 2 more would pass 3" in found[0].reason


def test_a_write_that_is_refused_anyway_does_not_count_against_the_ceiling() -> None:
    blocked = WriteFacts(2, unsettled="act_x")
    found = write_guard(Rails(3))([(_ask("a"), WriteFacts(2)), (_ask("b"), blocked)])
    assert found[0] is None
    assert found[1]
    assert (found[1].passing, found[1].subject) == (False, "")


def test_a_target_that_is_being_read_back_may_be_asked_for_again() -> None:
    (found,) = write_guard(Rails(3))([(_ask("a"), WriteFacts(0, unsettled="act_x", settling=True))])
    assert found
    assert found.passing
    assert "act_x" in found.reason


def test_over_the_targets_of_a_rule_none_of_its_new_ones_leaves_and_one_that_counts_already_is_free() -> None:
    facts = WriteFacts(0, frozenset({("instance", "a")}))
    found = write_guard(Rails(9))([(_ask(name, most=2), facts) for name in ("a", "b", "c")])
    assert [each is None for each in found] == [True, False, False]
    assert found[1]
    assert "written to 1 targets within its window, and 2 more would pass 2; none of them was sent" in found[1].reason
    assert found[1].subject == "targets of r"
    assert write_guard(Rails(9))([(_ask(name, most=2), facts) for name in ("a", "b")]) == [None, None]


def test_each_plan_keeps_its_own_limit_of_targets_and_each_rule_its_own_targets() -> None:
    facts = WriteFacts(0, frozenset({("instance", "a")}))
    batch = [(_ask("x"), WriteFacts(0)), (_ask("b", most=1), facts), (_ask("c", "other", most=1), WriteFacts(0))]
    found = write_guard(Rails(9))(batch)
    assert [each is None for each in found] == [True, False, True]


def test_while_writes_are_paused_those_of_rules_wait_and_those_of_persons_are_refused() -> None:
    facts = WriteFacts(0, pause=Pause(NOW, "ada", "a release"))
    for person in (False, True):
        (found,) = write_guard(Rails(9))([(replace(_ask("a"), person=person), facts)])
        assert found
        assert (found.passing, found.subject) == (not person, "")
        assert found.reason == "writes are paused by ada since 2026-01-05 09:00:00+00:00: a release"


@pytest.mark.parametrize(
    ("identity", "reason"),
    [
        (Identity(frozenset({"n_1", "dwd_pay_day"})), "node dwd_pay_day is protected by «dwd_pay_*»"),
        (Identity(frozenset({"n_123", "x"})), "node n_123 is protected by «n_123»"),
        (Identity(projects=frozenset({"7", "finance_dw"})), "project finance_dw is protected by «finance*»"),
        (Identity(unknown="no node n_9"), "whether the target is protected is not known: no node n_9"),
        (None, "whether the target is protected is not known: who the target is was not found out"),
        (Identity(frozenset({"dwd_Pay_day"}), frozenset({"7", "retail"})), ""),
    ],
)
def test_what_is_protected_or_not_known_takes_no_write(identity: Identity | None, reason: str) -> None:
    rails = Rails(9, Protected(("dwd_pay_*", "n_123"), ("finance*",)))
    (found,) = write_guard(rails)([(replace(_ask("a"), identity=identity), WriteFacts(0))])
    assert (found.reason if found else "") == (f"safety.protected: {reason}" if reason else "")
    if found:
        assert (found.passing, found.subject) == (False, "protected from r")
    (waved,) = write_guard(rails)([(replace(_ask("a"), identity=identity, override=True), WriteFacts(0))])
    assert waved is None


def test_a_refusal_for_what_hangs_below_names_the_count_and_the_limit() -> None:
    (found,) = write_guard(Rails(9))([(replace(_ask("a"), reach=Reach(51, 50)), WriteFacts(0))])
    assert found
    assert found.reason == "limits.downstream: 51 nodes hang below a, 50 are allowed"
    assert found.subject == "downstream of r"
    assert write_guard(Rails(9))([(replace(_ask("a"), reach=Reach(50, 50)), WriteFacts(0))]) == [None]


def test_an_open_breaker_refuses_and_says_until_when_and_why() -> None:
    tally = Tally(3, NOW - timedelta(minutes=20), "DPN.X: no")
    (found,) = write_guard(Rails(9))([(_ask("a"), WriteFacts(0, now=NOW, of_target=tally))])
    assert found
    assert found.reason == (
        "breaker of target a: 3 writes in a row were refused by Dataphin or not done, "
        "so there is none until 2026-01-05 09:40:00+00:00; the last: DPN.X: no"
    )
    assert (found.passing, found.subject) == (False, "breaker of target a")
    assert write_guard(Rails(9))([(_ask("a"), WriteFacts(0, now=NOW, of_rule=tally))]) == [None]
    person = replace(_ask("a"), person=True)
    assert write_guard(Rails(9))([(person, WriteFacts(0, now=NOW, of_target=tally))]) == [None]


def test_when_its_time_is_over_one_write_goes_out_to_find_out_whether_the_breaker_closes() -> None:
    tally = Tally(10, NOW - HOUR, "no")
    batch = [(_ask(name), WriteFacts(0, now=NOW, of_rule=tally)) for name in ("a", "b")]
    first, second = write_guard(Rails(9))(batch)
    assert first is None
    assert second
    assert second.passing
    assert "another write finds out" in second.reason
    under_way = WriteFacts(0, now=NOW, of_rule=replace(tally, under_way="act_z"))
    (found,) = write_guard(Rails(9))([(_ask("c"), under_way)])
    assert found
    assert found.passing
