"""What a rule decides on an event: a pure function of the rule, the event and what is known of the past.

What it was judged by is recorded with it (`Facts`), so that the same function tells the same decision at any later
time, from the store alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from phinops.decide.language import FALSE
from phinops.decide.match import Match
from phinops.decide.pattern import Pattern
from phinops.decide.permit import History, may_count, permit
from phinops.decide.rule import Rule
from phinops.decide.window import Standing, waits_for, words
from phinops.durations import format_duration
from phinops.event import Event, JsonObject

State = Literal["no", "counted", "skipped", "queued", "waiting", "ready"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a decision was judged by beside its rule and its event: the moment, and the past as guards read it.

    `window` is how that of a rule over several events stands with this event in it.
    """

    now: datetime
    history: History = field(default_factory=History)
    window: Standing | None = None

    def to_json(self) -> JsonObject:
        """The facts as they are recorded."""
        past = asdict(self.history)
        last = self.history.last_started
        window = {"window": self.window.to_json()} if self.window else {}
        return {"now": self.now.isoformat(), "history": {**past, "last_started": last and last.isoformat()}, **window}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Facts:
        """The facts that `to_json` wrote; what another version of phinops recorded beside them is left out."""
        past = {name: value for name, value in document["history"].items() if name in History.__dataclass_fields__}
        last = past.get("last_started")
        history = History(**{**past, "last_started": datetime.fromisoformat(last) if last else None})
        window = Standing.from_json(document["window"]) if document.get("window") else None
        return cls(datetime.fromisoformat(document["now"]), history, window)


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows from a match: nothing (`no`: its condition is plainly false), a place among others (`counted`), a
    firing that is skipped, that waits for its key (`queued`), for its `for` or for what must not come (`waiting`, until
    `wake_at`), or that is `ready` to begin.
    """

    state: State
    key: str = ""
    reason: str = ""
    wake_at: datetime | None = None


def decide(match: Match, event: Event, facts: Facts) -> Decision:
    """What the rule of the match does about the event."""
    rule = match.rule
    if match.verdict == FALSE:
        return Decision("no", reason=match.verdict.reason)
    if not match.verdict.holds:
        return Decision("skipped", match.key, match.verdict.reason)
    if rule.pattern is not None:
        found = _of_several(rule, rule.pattern, match.key, event, facts)
        if found is not None:
            return found
    return _permitted(match, event, facts)


def _of_several(rule: Rule, pattern: Pattern, key: str, event: Event, facts: Facts) -> Decision | None:
    """What the event is to a rule over several; None when it makes the rule fire, as far as the guards let it."""
    window = facts.window or Standing()
    if event.type == pattern.awaited:
        said = f"it ends {window.firing}" if window.firing else "nothing waited for it"
        return Decision("counted", key, said)
    if objection := may_count(rule, event, facts.now):
        return Decision("skipped", key, objection)
    if pattern.kind != "absent":
        return None if window.complete else Decision("counted", key, words(pattern, window, facts.now))
    if window.answer:
        return Decision("skipped", key, words(pattern, window, facts.now))
    if window.firing:
        return Decision("counted", key, words(pattern, window, facts.now))
    return Decision("waiting", key, waits_for(pattern), facts.now + pattern.within)


def _permitted(match: Match, event: Event, facts: Facts) -> Decision:
    rule = match.rule
    verdict = permit(rule, event, facts.history, facts.now)
    if verdict.queue or not verdict.allowed:
        return Decision("queued" if verdict.queue else "skipped", match.key, verdict.reason)
    if rule.hold is None:
        return Decision("ready", match.key)
    return Decision("waiting", match.key, holds_off(rule.hold), facts.now + rule.hold)


def holds_off(hold: timedelta) -> str:
    """What a firing waits for under `for`."""
    return f"begins after {format_duration(hold)} if it still holds then"
