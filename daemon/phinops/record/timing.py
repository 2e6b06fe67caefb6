"""When things were seen and done: what a rehearsal measures."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from phinops.event import Event, from_json
from phinops.record.documents import from_text
from phinops.record.moments import from_micros
from phinops.record.tx import Snapshot


@dataclass(frozen=True, slots=True)
class Received:
    """An event, and the moment from which it was on record."""

    event: Event
    at: datetime


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of an armed rule at a step: `decided` is when its firing was born, `intended` when it was sent.

    `outcome` is "" until there is one; `state` says how it was settled.
    """

    event_id: str
    kind: str
    target: str
    decided: datetime
    intended: datetime
    state: str
    outcome: str


def received(tx: Snapshot, tenant: str) -> list[Received]:
    """Every event of the tenant, oldest first."""
    rows = tx.all("events_received", tenant=tenant)
    return [Received(from_json(from_text(row["body"])), from_micros(row["received_at"])) for row in rows]


def attempts(tx: Snapshot, tenant: str) -> list[Attempt]:
    """Every attempt of the tenant's armed rules that follows from an event, oldest first."""
    return [
        Attempt(
            row["event_id"],
            row["kind"],
            row["target_id"],
            from_micros(row["created_at"]),
            from_micros(row["t_intent"]),
            row["state"],
            row["outcome"],
        )
        for row in tx.all("attempts_of_events", tenant=tenant)
    ]


def open_firings(tx: Snapshot, tenant: str) -> int:
    """How many firings of the tenant are not over."""
    row = tx.one("firings_open", tenant=tenant)
    return int(row["n"]) if row else 0
