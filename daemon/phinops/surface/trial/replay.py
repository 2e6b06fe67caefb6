"""Recorded events lived through once more, under rules of today: the real daemon in virtual time.

What Dataphin shows is what the events say, each from the moment at which it was received. Writes arrive and change
nothing: whether they helped is what the events after them tell. What rules ask people, these say yes to at once.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from phinops.decide.rule import Rule, RuleStep
from phinops.durations import parse_duration
from phinops.event import Event, JsonObject, from_json
from phinops.record import windows
from phinops.record.recorded import is_own
from phinops.surface.trial.stage import Stage, on_stage
from phinops.surface.trial.terms import Terms
from phinops.virtual import run

ANEW = ("schedule.fired", "rule.quarantined")
"""Events that follow from the rules, like those of their actions: they come anew, or they do not come."""

OWN_FIRINGS = timedelta(hours=24)
"""How far back it matters what a rule caused itself."""


@dataclass(frozen=True, slots=True)
class Lived:
    """The events with what was decided on them, and how many calls all that took, by level."""

    events: Sequence[JsonObject]
    calls: Mapping[int, int] = field(default_factory=dict)


def live(terms: Terms, rules: Sequence[Path], events: Sequence[JsonObject], since: datetime) -> Lived:
    """Live through the events, given in order; what happens before `since` only warms the rules up."""
    lots = random.getstate()
    random.seed(0)
    try:
        return run(_live(terms, rules, events, since))
    finally:
        random.setstate(lots)


async def _live(terms: Terms, rules: Sequence[Path], events: Sequence[JsonObject], since: datetime) -> Lived:
    start = min([since, *(datetime.fromisoformat(each["at"]) for each in events[:1])])
    async with on_stage(terms, rules, "", start, exact=True, agrees=True) as stage:
        before: int | None = None
        for each in events:
            at = datetime.fromisoformat(each["at"])
            if before is None and at >= since:
                await stage.go_to(since)
                before = len(stage.wire.calls)
            await _happen(stage, from_json(each["event"]), at)
        calls = Counter(call.level for call in stage.wire.calls[before or 0 :])
        lived = [each for each in await stage.recorded() if datetime.fromisoformat(each["at"]) >= since]
        return Lived(lived, calls)


async def _happen(stage: Stage, event: Event, at: datetime) -> None:
    await stage.go_to(at)
    if event.type in ANEW or is_own(event.type):
        return
    stage.tenant.happened(event)
    # Whose doing it is follows from what is done this time.
    await stage.bring(replace(event, caused_by=""))


def memory(rules: Sequence[Rule]) -> timedelta:
    """How far back what happened matters to these rules: so long they are warmed up."""
    spans = [OWN_FIRINGS]
    for rule in rules:
        limits = (rule.limits.firings, rule.limits.targets)
        spans += [span for span in (rule.hold, rule.cooldown) if span]
        # What happened so long ago may still count with what comes late, or be under way.
        spans += [rule.pattern.within + windows.LATE] if rule.pattern else []
        spans.append(sum(map(_longest, rule.steps), rule.hold or timedelta()))
        spans += [limit.per for limit in limits if limit]
    return max(spans)


def _longest(step: RuleStep) -> timedelta:
    """How long the step takes at most, its lease included, as far as its rule says so without a template."""
    names = ("duration", "timeout") if step.kind == "wait" else ("lease",)
    waits = next((step.params[name] for name in names if step.params.get(name)), None)
    said = parse_duration(waits) if waits and "{{" not in waits else timedelta()
    return said + (step.verify or timedelta())
