"""What waits at a moment of a trial: firings for a time, their turn or an answer, windows for more
events, leases for their end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from phinops.decide.pattern import Pattern
from phinops.decide.rule import RuleSet
from phinops.decide.testmodel import Kind
from phinops.firing import Firing, Intent, Seen
from phinops.record.chronicle import Chronicle
from phinops.record.leases import HOLDS
from phinops.record.windows import Window


@dataclass(frozen=True, slots=True)
class Pending:
    """Something that waits, until when where that is known."""

    rule: str
    kind: Kind
    key: str
    until: datetime | None = None


def pending(now: Chronicle, rules: RuleSet, at: datetime) -> Iterator[Pending]:
    """All that waits at the moment `at`, firings first."""
    newest: dict[str, Intent] = {step.firing_id: step for step in now.steps}
    for firing in now.firings:
        if firing.ended_at is not None:
            continue
        if firing.state == "waiting":
            kind: Kind = "absent" if (firing.plan.get("pattern") or {}).get("kind") == "absent" else "for"
            yield Pending(firing.rule, kind, firing.key, firing.wake_at)
        elif firing.state == "queued":
            yield Pending(firing.rule, "queued", firing.key)
        else:
            yield from _under_way(firing, newest.get(firing.id))
    yield from _windows(now, rules, at)
    keys = {step.action_id: firing.key for step in now.steps for firing in now.firings if firing.id == step.firing_id}
    for lease in now.leases:
        if lease.pause in HOLDS and not lease.resuming:
            yield Pending(lease.rule, "lease", keys[lease.action_id], lease.due)


def _windows(now: Chronicle, rules: RuleSet, at: datetime) -> Iterator[Pending]:
    """The windows of `count` and `all` in which something still counts, each until the oldest of it does not."""
    oldest: dict[Window, tuple[Pattern, Seen]] = {}
    patterns = {(rule.id, rule.window): rule.pattern for rule in rules if rule.pattern}
    for window, seen in now.counted:
        pattern = patterns.get((window.rule, window.pattern))
        if pattern and pattern.kind != "absent" and seen.at + pattern.within >= at:
            known = oldest.get(window)
            if known is None or seen.at < known[1].at:
                oldest[window] = (pattern, seen)
    for window, (pattern, first) in oldest.items():
        kind: Kind = "count" if pattern.kind == "count" else "all"
        yield Pending(window.rule, kind, window.key, first.at + pattern.within)


def _under_way(firing: Firing, step: Intent | None) -> Iterator[Pending]:
    """What a firing that has begun waits for, by its newest step."""
    if step is None:
        return
    if step.state == "waiting":
        yield Pending(firing.rule, "approve" if step.kind == "approve" else "wait", firing.key, step.verify_until)
    elif step.state == "intent" or (step.outcome == "accepted" and step.verify_until):
        yield Pending(firing.rule, "verify", firing.key, step.verify_until)
    elif firing.wake_at is not None:
        yield Pending(firing.rule, "retry", firing.key, firing.wake_at)
