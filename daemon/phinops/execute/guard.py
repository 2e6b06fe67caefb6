"""What may leave: the one judgement that every write passes, in the transaction that commits its intent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from phinops.firing import Ask, Guard, WriteFacts


@dataclass(frozen=True, slots=True)
class Ceiling:
    """`[safety]`: how many writes all rules together may make in an hour."""

    max_writes_per_hour: int


def write_guard(ceiling: Ceiling, targets_max: Mapping[str, int]) -> Guard:
    """The guard for one batch. `targets_max` is `limits.targets.max` by rule.

    Over the ceiling none of the batch leaves; the other guards judge each write for itself.
    """

    def judge(batch: Sequence[tuple[Ask, WriteFacts]]) -> Sequence[str]:
        reasons = []
        seen: dict[str, set[tuple[str, str]]] = {}
        for ask, facts in batch:
            targets = seen.setdefault(ask.rule, set(facts.targets))
            reasons.append(_unsettled(facts) or _over_targets(ask, targets, targets_max.get(ask.rule)))
        leaving = reasons.count("")
        if leaving and batch[0][1].writes_last_hour + leaving > ceiling.max_writes_per_hour:
            over = _over_ceiling(batch[0][1].writes_last_hour, leaving, ceiling)
            reasons = [reason or over for reason in reasons]
        return reasons

    return judge


def _unsettled(facts: WriteFacts) -> str:
    if facts.unsettled is None:
        return ""
    return f"the target has a write of unknown outcome ({facts.unsettled}); it takes no other until that is settled"


def _over_targets(ask: Ask, targets: set[tuple[str, str]], most: int | None) -> str:
    target = (ask.intent.target_kind, ask.intent.target_id)
    if most is None or target in targets:
        return ""
    if len(targets) >= most:
        return f"limits.targets: the rule has written to {len(targets)} targets within its window, {most} are allowed"
    targets.add(target)
    return ""


def _over_ceiling(before: int, now: int, ceiling: Ceiling) -> str:
    return (
        f"safety.max_writes_per_hour: {before} writes in the last hour and {now} more would pass "
        f"{ceiling.max_writes_per_hour}; none of the batch was sent"
    )
