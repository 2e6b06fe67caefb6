"""What people are asked before a firing goes on: the calls that are to follow, and what they stand on, as it was shown.

An answer counts for what was shown and for nothing else: what is done afterwards are these calls, and only while the
objects are still as they were when people were asked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Any, Literal

from phinops.event import JsonObject

Answer = Literal["", "approved", "denied", "expired", "void"]
"""What became of the question: "" while it is open; `void` when its firing ended before anybody had answered."""

Via = Literal["cli", "api", "link"]
"""How people answered."""


@dataclass(frozen=True, slots=True)
class ShownCall:
    """A call as people see it before it is made. `n` is the step's place in the plan, `params` are those of the API,
    secrets masked, `digest` stands for them as they are; `condition` is the step's `if`, which is still to be asked;
    `lease` is after how long it is taken back by itself, "" for never.
    """

    n: int
    step: str
    kind: str
    api: str
    params: Any
    target_kind: str
    target_id: str
    project_id: str
    digest: str
    condition: str = ""
    lease: str = ""

    def __str__(self) -> str:
        what = f"{self.kind} {self.target_id}" if self.target_kind in ("instance", "node") else self.kind
        where = f" in project {self.project_id}" if self.project_id else ""
        name = self.api or self.target_id
        params = f" {json.dumps(self.params, ensure_ascii=False)}" if self.params else ""
        condition = f" (only if {' '.join(self.condition.split())})" if self.condition else ""
        lease = f" for {self.lease}" if self.lease else ""
        return f"{what}{where}{lease}: {name}{params}{condition}"

    def to_json(self) -> JsonObject:
        """What `call_from` reads back."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def call_from(document: Mapping[str, Any]) -> ShownCall:
    """The call that `ShownCall.to_json` wrote."""
    return ShownCall(**document)


def digest_of(params: Mapping[str, Any]) -> str:
    """What stands for parameters without holding them: alike for alike ones only."""
    return hashlib.sha256(json.dumps(params, sort_keys=True, ensure_ascii=False, default=str).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Standing:
    """An object as it was read; `found` is False where Dataphin knows no such thing.

    `status` is that of an instance or an alert, or whether calls of an API fail; `started_at` that of an instance's
    run; `paused` is None where it does not show. `below` is how many nodes hang below it, as far as lineage tells, and
    `unknown` why it is not told.
    """

    kind: str
    id: str
    project_id: str = ""
    found: bool = True
    status: str = ""
    started_at: datetime | None = None
    paused: bool | None = None
    below: int | None = None
    unknown: str = ""

    def in_zone(self, zone: tzinfo) -> Standing:
        """The same, with its time in that zone."""
        return replace(self, started_at=self.started_at and self.started_at.astimezone(zone))

    def __str__(self) -> str:
        if not self.found:
            return f"{self.kind} {self.id}: Dataphin knows no such thing"
        parts = [self.status] if self.status else []
        parts += [f"run of {self.started_at.isoformat()}"] if self.started_at else []
        parts += [_pause(self.paused)] if self.paused is not None else []
        parts += [_below(self.below)] if self.below is not None else []
        parts += [f"what hangs below is not known: {self.unknown}"] if self.unknown else []
        return f"{self.kind} {self.id}: {', '.join(parts)}"

    def to_json(self) -> JsonObject:
        """What `standing_from` reads back."""
        document = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**document, "started_at": self.started_at and self.started_at.isoformat()}


def standing_from(document: Mapping[str, Any]) -> Standing:
    """The standing that `Standing.to_json` wrote."""
    started = document["started_at"]
    return Standing(**{**document, "started_at": datetime.fromisoformat(started) if started else None})


@dataclass(frozen=True, slots=True)
class Shown:
    """What people were shown: every call that the answer is about, and every object that these depend on."""

    calls: Sequence[ShownCall] = ()
    standings: Sequence[Standing] = ()

    def to_json(self) -> JsonObject:
        """What `shown_from` reads back."""
        return {
            "calls": [each.to_json() for each in self.calls],
            "standings": [each.to_json() for each in self.standings],
        }


def shown_from(document: Mapping[str, Any]) -> Shown:
    """What `Shown.to_json` wrote."""
    return Shown(tuple(map(call_from, document["calls"])), tuple(map(standing_from, document["standings"])))


@dataclass(frozen=True, slots=True)
class Approval:
    """A question to people. `outcome` is what the answer came to once what was shown was read again, "" before; `why`
    says it in words. `by` is who answered, `reason` what they said.
    """

    id: str
    action_id: str
    firing_id: str
    n: int
    tenant: str
    rule: str
    step_id: str
    message: str
    shown: Shown
    asked_at: datetime
    expires_at: datetime
    answer: Answer = ""
    by: str = ""
    via: str = ""
    reason: str = ""
    answered_at: datetime | None = None
    outcome: str = ""
    why: str = ""

    def became(self, zone: tzinfo, now: datetime) -> str:
        """What became of it until `now`, for people: `approved by anna (cli) at 2026-01-05T01:00:00+08:00`."""
        end = self.expires_at.astimezone(zone).isoformat()
        if self.answer == "void":
            return "nobody need answer: its firing is over"
        if self.answer == "expired" or (not self.answer and self.expires_at <= now):
            return f"expired at {end}"
        if not self.answer:
            return f"open until {end}"
        when = f" at {self.answered_at.astimezone(zone).isoformat()}" if self.answered_at else ""
        said = f": {self.reason}" if self.reason else ""
        return f"{self.answer} by {self.by} ({self.via}){when}{said}"


def changes(shown: Iterable[Standing], now: Mapping[tuple[str, str], Standing]) -> list[str]:
    """What of the objects is not as it was shown, for people; `now` has them by kind and id."""
    return [text for each in shown if (text := _change(each, now.get((each.kind, each.id))))]


def _change(before: Standing, now: Standing | None) -> str:
    name = f"{before.kind} {before.id}"
    if now is None or now.found != before.found:
        return f"{name} is {'there now' if now and now.found else 'gone'}"
    if before.status != now.status:
        return f"{name} was {before.status or 'without a status'} and is {now.status or 'without one'}"
    if _second(before.started_at) != _second(now.started_at):
        return f"another run of {name} has begun"
    if before.paused != now.paused:
        return f"{name} was {_pause(before.paused)} and is {_pause(now.paused)}"
    return ""


def _pause(paused: bool | None) -> str:
    return {True: "paused", False: "not paused", None: "of unknown pause"}[paused]


def _below(count: int) -> str:
    if count == 0:
        return "nothing hangs below it"
    return "1 node hangs below it" if count == 1 else f"{count} nodes hang below it"


def _second(moment: datetime | None) -> datetime | None:
    """Not every API tells fractions of a second."""
    return moment and moment.replace(microsecond=0)
