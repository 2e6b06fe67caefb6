"""Timers: moments at which something will have lasted too long. Who sets one says what it holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from phinops.event import JsonObject
from phinops.record.documents import from_text, to_text
from phinops.record.moments import from_micros
from phinops.record.tx import Snapshot, Tx


@dataclass(frozen=True, slots=True)
class TimerRow:
    """One timer: of an object, about `what`, due at a moment."""

    tenant: str
    object_id: str
    what: str
    due: datetime
    body: JsonObject


def all_timers(tx: Snapshot) -> Sequence[TimerRow]:
    """Every timer, the first due first."""
    return [
        TimerRow(row["tenant"], row["object_id"], row["what"], from_micros(row["due"]), from_text(row["body"]))
        for row in tx.all("all_timers")
    ]


def put_timers(tx: Tx, timers: Iterable[TimerRow]) -> None:
    """Set these; each takes the place of one of the same object about the same."""
    tx.many(
        "put_timer",
        (
            {
                "tenant": each.tenant,
                "object_id": each.object_id,
                "what": each.what,
                "due": each.due,
                "body": to_text(each.body),
            }
            for each in timers
        ),
    )


def drop_timers(tx: Tx, timers: Iterable[tuple[str, str, str]]) -> None:
    """Drop those of (tenant, object, what); one that is not set is none."""
    tx.many("drop_timer", ({"tenant": tenant, "object_id": key, "what": what} for tenant, key, what in timers))
