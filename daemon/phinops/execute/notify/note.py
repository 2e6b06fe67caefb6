"""What a channel delivers: one notice, and what a channel answers when it cannot."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from phinops.errors import PhinopsError
from phinops.event import Event, JsonObject, to_json

RAW_LIMIT = 32 * 1024
"""Bytes of an event's `raw` that travel with a notice; a larger one is left out."""


@dataclass(frozen=True, slots=True)
class Note:
    """One notice. `id` stays the same over every try, so that a receiver can tell a repetition; `time` is when the
    rule gave it. `links` are addresses by name; `approval` is what it asks for, empty where it asks for nothing."""

    id: str
    time: datetime
    rule: str
    firing_id: str
    title: str
    message: str
    severity: str = "warning"
    event: JsonObject = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    approval: JsonObject = field(default_factory=dict)


class Undelivered(PhinopsError):
    """The channel did not take the notice. `retry` says whether it may later; `after` is its own wait in seconds.

    The reason never holds a secret nor the channel's address, which may bear a token.
    """

    def __init__(self, reason: str, *, retry: bool, after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry = retry
        self.after = after


@dataclass(frozen=True, slots=True)
class Pace:
    """How many messages a service takes from one address in any `per` seconds.

    Two of them are to be `gap` seconds apart at least.
    """

    most: int
    per: float
    gap: float = 0.0


@dataclass(frozen=True, slots=True)
class Form:
    """What messages of a channel may be like: how often they come, and how many bytes of text one carries.

    Without a pace every notice is a message of its own.
    """

    pace: Pace | None = None
    room: int = 1 << 20


class Channel(Protocol):
    """One way to tell people."""

    @property
    def form(self) -> Form:
        """What its messages may be like."""
        ...

    async def send(self, note: Note) -> None:
        """Deliver the notice; returns once the other side said that it has it.

        Raises:
            Undelivered: it has not, or it cannot be known.
        """
        ...


def note_payload(params: Mapping[str, Any], *, rule: str, firing_id: str, event: Event) -> JsonObject:
    """What the outbox keeps of a notice: the rendered parameters of a `notify` step and where they come from."""
    return {
        "rule": rule,
        "firing_id": firing_id,
        "title": params.get("title") or rule,
        "message": params["message"],
        "severity": params.get("severity") or "warning",
        "event": _slim(to_json(event)),
        "links": links_of(event),
    }


def note_from(payload: Mapping[str, Any], *, id: str, time: datetime) -> Note:
    """The notice that `note_payload` wrote; what an older version did not write is empty."""
    return Note(
        id=id,
        time=time,
        rule=str(payload.get("rule") or ""),
        firing_id=str(payload.get("firing_id") or ""),
        title=str(payload.get("title") or payload.get("rule") or ""),
        message=str(payload.get("message") or ""),
        severity=str(payload.get("severity") or "warning"),
        event=dict(payload.get("event") or {}),
        links=dict(payload.get("links") or {}),
        approval=dict(payload.get("approval") or {}),
    )


def links_of(event: Event) -> dict[str, str]:
    """The addresses that an alert brings along: its log, its object, its settings."""
    if event.alert is None:
        return {}
    urls = event.alert.urls
    return {name: url for name, url in (("log", urls.log), ("object", urls.object), ("config", urls.config)) if url}


def _slim(event: JsonObject) -> JsonObject:
    raw = event.get("raw")
    if raw is None or len(json.dumps(raw, ensure_ascii=False, default=str).encode()) <= RAW_LIMIT:
        return event
    return {**event, "raw": None}
