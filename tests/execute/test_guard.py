"""The judgement that every write passes."""

from __future__ import annotations

from datetime import timedelta

from phinops.execute.guard import Ceiling, write_guard
from phinops.firing import Ask, Intent, TargetLimit, WriteFacts

HOUR = timedelta(hours=1)


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
    assert write_guard(Ceiling(2))([(_ask("a"), WriteFacts(0)), (_ask("b"), WriteFacts(0))]) == [None, None]


def test_of_nothing_there_is_nothing_to_judge() -> None:
    assert write_guard(Ceiling(0))([]) == []


def test_over_the_ceiling_the_whole_batch_is_held() -> None:
    found = write_guard(Ceiling(3))([(_ask("a"), WriteFacts(2)), (_ask("b"), WriteFacts(2))])
    assert [each.ceiling for each in found if each] == [True, True]
    assert found[0]
    assert "2 writes in the last hour and 2 more would pass 3" in found[0].reason


def test_a_write_that_is_refused_anyway_does_not_count_against_the_ceiling() -> None:
    blocked = WriteFacts(2, unsettled="act_x")
    found = write_guard(Ceiling(3))([(_ask("a"), WriteFacts(2)), (_ask("b"), blocked)])
    assert found[0] is None
    assert found[1]
    assert (found[1].passing, found[1].ceiling) == (False, False)


def test_a_target_that_is_being_read_back_may_be_asked_for_again() -> None:
    (found,) = write_guard(Ceiling(3))([(_ask("a"), WriteFacts(0, unsettled="act_x", settling=True))])
    assert found
    assert found.passing
    assert "act_x" in found.reason


def test_targets_count_within_the_batch_and_one_that_counts_already_is_free() -> None:
    facts = WriteFacts(0, frozenset({("instance", "a")}))
    batch = [(_ask(name, most=2), facts) for name in ("a", "b", "c")]
    found = write_guard(Ceiling(9))(batch)
    assert [each is None for each in found] == [True, True, False]
    assert found[2]
    assert "limits.targets" in found[2].reason


def test_each_plan_keeps_its_own_limit_of_targets_and_each_rule_its_own_targets() -> None:
    facts = WriteFacts(0, frozenset({("instance", "a")}))
    batch = [(_ask("x"), WriteFacts(0)), (_ask("b", most=1), facts), (_ask("c", "other", most=1), WriteFacts(0))]
    found = write_guard(Ceiling(9))(batch)
    assert [each is None for each in found] == [True, False, True]
