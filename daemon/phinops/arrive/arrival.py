"""What a source needs, and what it hands on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Protocol

from phinops.event import Event, Instance, JsonObject, Node, Project


class ReadApi(Protocol):
    """The service, for reading; the one who hands it over has bound tenant and priority."""

    async def read(self, api: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """The whole body of the answer.

        Raises:
            ApiError: the service did not answer, or answered no.
            QuotaSpent: the day has no call left for polls.
        """
        ...


class Memory(Protocol):
    """What a tenant's sources have seen so far, as the last committed `Arrival` left it."""

    async def seen(self, source: str, ids: Sequence[str]) -> Mapping[str, JsonObject]:
        """The states of those objects among `ids` that were seen before."""
        ...

    async def tracked(self, source: str, project: str = "") -> Mapping[str, JsonObject]:
        """The states of all objects whose end was not seen yet: those whose state has `open` true.

        With a `project` only those whose state names it.
        """
        ...

    async def cursor(self, place: str) -> JsonObject | None:
        """How far a source, or one of its parts, has come (`Arrival.place`), or None before its first poll."""
        ...


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that one poll could not read, while the rest of it is good."""

    where: str
    reason: str


@dataclass(frozen=True, slots=True)
class Part:
    """What one poll of a source asks for: a project, or with an empty id the whole tenant."""

    id: str = ""
    name: str = ""


WHOLE = Part()
"""The whole tenant at once."""


@dataclass(frozen=True, slots=True)
class Standing:
    """An instance as it was just seen, in a state that may come to last too long. `raw` is the service's record."""

    project: Project
    instance: Instance
    node: Node
    raw: Any = None


@dataclass(frozen=True, slots=True)
class Roll:
    """What was listed to the end: who of the project is in one of `states`, and of a business date in between, was
    seen; who was not is not there any more.
    """

    project: str
    states: frozenset[str]
    first: date
    last: date

    def holds(self, biz_date: str) -> bool:
        """Whether instances of that business date were listed."""
        return self.first.isoformat() <= biz_date <= self.last.isoformat()


@dataclass(frozen=True, slots=True)
class Arrival:
    """What one poll found: to be committed as a whole, or not at all.

    `events` are in the order of their times. `seen` holds the states that changed; one whose `open` is true belongs to
    `Memory.tracked`. States that are not open and were last written before `forget_before` may be deleted: the source
    will not be shown these objects again. `calls` is what the poll cost, `follow_ups` how many of those were made
    because of what it found, and `apart` how many for what is not read with every poll; `complete` is false where
    `faults` tell that something is missing. `part` is what was polled, the id of a project or "" for the whole tenant;
    None where nothing was polled. `hinted` are objects of which something else had told before.

    `standing` are instances that were just seen in states that may last too long, or that were looked at because of
    it; `roll` says of whom it would have been known, and `gone` are those that do not exist any more. What lasted too
    long before `old` is no news.
    """

    source: str
    tenant: str
    events: tuple[Event, ...] = ()
    seen: Mapping[str, JsonObject] = field(default_factory=dict)
    cursor: JsonObject = field(default_factory=dict)
    forget_before: datetime | None = None
    faults: tuple[Fault, ...] = ()
    calls: int = 0
    follow_ups: int = 0
    apart: int = 0
    part: str | None = None
    hinted: frozenset[str] = frozenset()
    standing: tuple[Standing, ...] = ()
    roll: Roll | None = None
    gone: frozenset[str] = frozenset()
    old: datetime | None = None

    @property
    def place(self) -> str:
        """Under which name the cursor is kept: each part of a source has its own."""
        return f"{self.source}/{self.part}" if self.part else self.source

    @property
    def complete(self) -> bool:
        """Whether the poll read everything that it was to read."""
        return not self.faults
