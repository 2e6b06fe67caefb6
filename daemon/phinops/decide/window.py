"""Whether events make together what a rule waits for, in whatever order they arrive.

The events' own times are compared, as if each had come when it happened: the first moment at which enough of them lay
within the span is the one that counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from phinops.decide.pattern import Pattern
from phinops.durations import about, format_duration
from phinops.event import JsonObject
from phinops.firing import Seen


def completed(pattern: Pattern, seen: Sequence[Seen]) -> tuple[Seen, ...]:
    """The events that make the pattern of `count` or `all`, oldest first, or none; `seen` are in order of arrival."""
    return next((group for group in _groups(pattern, seen) if _progress(pattern, group) >= _needed(pattern)), ())


def company(pattern: Pattern, seen: Sequence[Seen], event_id: str) -> tuple[Seen, ...]:
    """The most of those seen that count together with the event, it among them, oldest first."""
    groups = [group for group in _groups(pattern, seen) if any(each.event_id == event_id for each in group)]
    return max(groups, key=lambda group: _progress(pattern, group), default=())


def _groups(pattern: Pattern, seen: Sequence[Seen]) -> Iterator[tuple[Seen, ...]]:
    """For each of those seen, in the order in which they happened, the ones that lie within the span up to it."""
    ordered = sorted(seen, key=lambda each: each.at)  # stable: of equal times, the one that came first
    for index, last in enumerate(ordered):
        yield tuple(each for each in ordered[: index + 1] if each.at >= last.at - pattern.within)


def _progress(pattern: Pattern, group: Sequence[Seen]) -> int:
    return len(group) if pattern.kind == "count" else len({each.type for each in group})


def _needed(pattern: Pattern) -> int:
    return pattern.count if pattern.kind == "count" else len(pattern.types)


def answered(seen: Sequence[Seen], at: datetime) -> tuple[tuple[Seen, ...], tuple[Seen, ...]]:
    """Those seen that what happened at that moment puts an end to, and the later ones, which it does not."""
    return tuple(each for each in seen if each.at <= at), tuple(each for each in seen if each.at > at)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a window stands with an event in it, as it is recorded.

    `seen` of `needed` count together, `missing` are the types that have not come, `until` is when the oldest of them
    will be too old, or when the absence is taken for granted. Of an absence, `firing` is the one that waits, "" when
    none does, and `answer` the event that had come before this one arrived. `before` are the ids of the events that
    the condition was asked with, where it speaks of them.
    """

    complete: bool = False
    seen: int = 1
    needed: int = 0
    missing: tuple[str, ...] = ()
    until: datetime | None = None
    firing: str = ""
    answer: str = ""
    before: tuple[str, ...] = ()

    def to_json(self) -> JsonObject:
        """The standing as it is recorded; what says nothing is left out."""
        until = self.until.isoformat() if self.until else None
        lists = {"missing": list(self.missing), "before": list(self.before)}
        texts = {"until": until, "firing": self.firing, "answer": self.answer}
        more = {name: value for name, value in {**lists, **texts}.items() if value}
        return {"complete": self.complete, "seen": self.seen, "needed": self.needed, **more}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Standing:
        """The standing that `to_json` wrote."""
        until = document.get("until")
        return cls(
            complete=document["complete"],
            seen=document["seen"],
            needed=document["needed"],
            missing=tuple(document.get("missing", ())),
            until=datetime.fromisoformat(until) if until else None,
            firing=document.get("firing", ""),
            answer=document.get("answer", ""),
            before=tuple(document.get("before", ())),
        )


def standing(pattern: Pattern, group: Sequence[Seen], before: tuple[str, ...] = ()) -> Standing:
    """How a window of `count` or `all` stands with these in it."""
    types = {each.type for each in group}
    return Standing(
        complete=_progress(pattern, group) >= _needed(pattern),
        seen=_progress(pattern, group),
        needed=_needed(pattern),
        missing=tuple(kind for kind in pattern.types if kind not in types) if pattern.kind == "all" else (),
        until=group[0].at + pattern.within if group else None,
        before=before,
    )


def words(pattern: Pattern, found: Standing, now: datetime) -> str:
    """The standing for people, such as «3 of 5 seen, 2m left»."""
    if pattern.kind == "absent":
        return _words_of_absence(pattern, found)
    missing = f", {' and '.join(found.missing)} missing" if found.missing else ""
    return f"{found.seen} of {found.needed} seen{missing}{_left(found, now)}"


def _left(found: Standing, now: datetime) -> str:
    if found.complete or found.until is None:
        return ""
    left = found.until - now
    return f", {about(left)} left" if left.total_seconds() > 0 else ", too long ago for what happens now"


def _words_of_absence(pattern: Pattern, found: Standing) -> str:
    if found.answer:
        return f"{pattern.awaited} had come already ({found.answer})"
    if found.firing:
        return f"it joins {found.firing}, which waits for {pattern.awaited}"
    return waits_for(pattern)


def waits_for(pattern: Pattern) -> str:
    """What a firing waits for that begins unless something comes."""
    return f"begins unless {pattern.awaited} comes within {format_duration(pattern.within)}"
