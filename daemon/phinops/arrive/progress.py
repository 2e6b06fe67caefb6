"""How far a source has come: the cursor that is committed with what it found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from phinops.arrive.sift import Sifted, seconds
from phinops.event import Event, JsonObject

FORGET_AFTER = timedelta(days=30)
"""An object that has ended is forgotten this long after its last change: twice as long as the service keeps runs,
and longer than any window reaches back."""


UNKNOWN = -1
"""As `Progress.waiting`: they were never listed."""

FORGET_EVERY = timedelta(hours=1)
"""How often a source looks for what it may forget: that reads all that it remembers."""


class Forgetting:
    """Says now and then before which moment a source may forget what has ended."""

    def __init__(self) -> None:
        self._again_at: datetime | None = None

    def before(self, good: datetime | None, now: datetime) -> datetime | None:
        """The moment, given that of the last good poll, or None for this time."""
        if good is None or (self._again_at and self._again_at - FORGET_EVERY <= now < self._again_at):
            return None
        self._again_at = now + FORGET_EVERY
        return min(now, good) - FORGET_AFTER


@dataclass(frozen=True, slots=True)
class Progress:
    """Of one list: its last good read, and since when its changes are news.

    `since` is kept by what was listened to (an instance's state), because a rule may come later than the list.
    `far_at` and `far_rows` are when a far window was last read and how many rows it had. `waiting` is how many waited
    when they were last listed.
    """

    good: datetime
    since: Mapping[str, datetime]
    far_at: datetime
    far_rows: int = 0
    waiting: int = UNKNOWN

    def to_json(self) -> JsonObject:
        """What `read_progress` reads back: times in epoch seconds."""
        return {
            "good": seconds(self.good),
            "since": {name: seconds(moment) for name, moment in self.since.items()},
            "far_at": seconds(self.far_at),
            "far_rows": self.far_rows,
        } | ({} if self.waiting == UNKNOWN else {"waiting": self.waiting})

    def far_is_due(self, now: datetime, every: timedelta, free: int) -> bool:
        """A far window of up to `free` rows costs no more than a near one: it is always read, others now and then."""
        return self.far_rows <= free or not timedelta() <= now - self.far_at < every


def read_progress(document: Mapping[str, Any] | None) -> Progress | None:
    """The progress that `Progress.to_json` wrote; None for a list that was never read."""
    if not document:
        return None
    return Progress(
        good=_moment(document["good"]),
        since={name: _moment(value) for name, value in document["since"].items()},
        far_at=_moment(document["far_at"]),
        far_rows=document["far_rows"],
        waiting=document.get("waiting", UNKNOWN),
    )


def in_order(sifted: Iterable[Sifted]) -> tuple[Event, ...]:
    """All events by time; those of one record stay in the order in which they happened to it."""
    groups = sorted((one.events for one in sifted if one.events), key=lambda events: events[0].time)
    return tuple(event for events in groups for event in events)


def _moment(value: float) -> datetime:
    return datetime.fromtimestamp(value, UTC)
