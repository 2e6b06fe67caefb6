"""A source while it is polled, part by part: what the pacer asks of it, keeps of each part, and tells of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from phinops.arrive.arrival import Arrival, Part
from phinops.arrive.planner import Unit
from phinops.event import Event, SourceHealth, event_id

State = Literal["starting", "ok", "failing", "stale", "resting", "idle"]


@dataclass(frozen=True, slots=True)
class Polled:
    """A poll that was made and committed: `found` counts the changes that nothing else had told of before."""

    arrival: Arrival
    found: int = 0


class PacedSource(Protocol):
    """A source as the pacer sees it. All methods raise PhinopsError."""

    async def parts(self) -> Sequence[Part]:
        """What there is to poll; asking may take a call now and then."""
        ...

    async def last_good(self) -> Mapping[str, datetime]:
        """When each part was last polled, by earlier processes as well."""
        ...

    async def found(self) -> Mapping[tuple[str, datetime], int]:
        """How many changes polls found first, by part and hour."""
        ...

    async def once(self, part: Part, hinted: frozenset[str]) -> Polled:
        """Poll one part and commit what it brings; `hinted` are objects of which a change was told already."""
        ...


@dataclass(frozen=True, slots=True)
class PartState:
    """What `status` tells of a part of a source."""

    part: Part
    last_good: datetime | None
    interval_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class SourceState:
    """What `status` tells of a source. `interval_s` is the shortest of its parts, None while it rests or idles."""

    name: str
    state: State
    last_good: datetime | None
    interval_s: float | None
    reason: str
    parts: tuple[PartState, ...] = ()

    def event(self, kind: str, tenant: str, now: datetime) -> Event:
        """The event of that type which tells of it."""
        return Event(
            id=event_id("sources", tenant, self.name, now.isoformat(), kind),
            type=kind,
            time=now,
            tenant=tenant,
            source=self.name,
            health=SourceHealth(self.name, self.state, self.reason, self.last_good),
        )


@dataclass(slots=True, eq=False)
class Polling:
    """One part while it is polled. Times are the clock's monotonic seconds, but for `last_good`.

    `ago`: how many seconds ago an earlier process polled it, until the plan has made something of that.
    """

    unit: Unit
    last_good: datetime | None = None
    ago: float | None = None
    good_at: float | None = None
    patience: float = 0.0
    failures: int = 0
    failing_since: float | None = None
    again_at: float = 0.0
    reason: str = ""
    busy: bool = False
    hinted: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        """What people call the part, "" for the whole tenant."""
        return self.unit.part.name or self.unit.part.id

    @property
    def tried(self) -> bool:
        """Whether it was ever polled, well or not."""
        return self.last_good is not None or self.failures > 0

    def due_in(self, now: float) -> float:
        """Seconds until it is to be polled; none where it never was, or where something else told of a change."""
        if self.failures:
            return self.again_at - now
        due = self.unit.due_in(now)
        return min(0.0, due) if self.hinted or self.last_good is None else due

    def interval(self) -> float:
        """The one that its patience goes by: a shorter one only counts from the next poll on."""
        return max(self.unit.interval, self.patience)
