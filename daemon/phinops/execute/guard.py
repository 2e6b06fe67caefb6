"""What may leave: the one judgement that every write passes, in the transaction that commits its intent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from phinops.firing import Ask, Guard, Objection, WriteFacts


@dataclass(frozen=True, slots=True)
class Ceiling:
    """`[safety]`: how many writes all rules together may make in an hour."""

    max_writes_per_hour: int


def write_guard(ceiling: Ceiling) -> Guard:
    """The guard for one batch.

    Over the ceiling none of the batch leaves; the other guards judge each write for itself.
    """

    def judge(batch: Sequence[tuple[Ask, WriteFacts]]) -> Sequence[Objection | None]:
        seen: dict[str, set[tuple[str, str]]] = {}
        found = []
        for ask, facts in batch:
            targets = seen.setdefault(ask.rule, set())
            targets |= facts.targets
            found.append(_unsettled(facts) or _over_targets(ask, targets))
        leaving = found.count(None)
        before = batch[0][1].writes_last_hour if batch else 0
        if leaving and before + leaving > ceiling.max_writes_per_hour:
            return [objection or _over_ceiling(before, leaving, ceiling) for objection in found]
        return found

    return judge


def _unsettled(facts: WriteFacts) -> Objection | None:
    if facts.unsettled is None:
        return None
    if facts.settling:
        return Objection(f"the target has a write that is being read back ({facts.unsettled})", passing=True)
    return Objection(
        f"the target has a write of unknown outcome ({facts.unsettled}); it takes no other until that is settled"
    )


def _over_targets(ask: Ask, targets: set[tuple[str, str]]) -> Objection | None:
    target = (ask.intent.target_kind, ask.intent.target_id)
    if ask.targets is None or target in targets:
        return None
    if len(targets) >= ask.targets.max:
        return Objection(
            f"limits.targets: the rule has written to {len(targets)} targets within its window, "
            f"{ask.targets.max} are allowed"
        )
    targets.add(target)
    return None


def _over_ceiling(before: int, now: int, ceiling: Ceiling) -> Objection:
    return Objection(
        f"safety.max_writes_per_hour: {before} writes in the last hour and {now} more would pass "
        f"{ceiling.max_writes_per_hour}; none of the batch was sent",
        ceiling=True,
    )
