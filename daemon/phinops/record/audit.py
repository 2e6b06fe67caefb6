"""The audit trail: what was decided and done, in the transaction that did it, never changed afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from phinops.event import JsonObject
from phinops.record.documents import from_text, to_text
from phinops.record.moments import from_micros
from phinops.record.tx import Snapshot, Tx


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the trail; `epoch` tells which run of the daemon wrote it."""

    seq: int
    at: datetime
    epoch: int
    what: str
    detail: JsonObject


def note(tx: Tx, what: str, firing_id: str | None = None, /, **detail: Any) -> None:
    """Add a line, such as `note(tx, "action.settled", firing.id, outcome="verified")`.

    Raises:
        TypeError: `detail` holds something that is not a JSON type.
    """
    tx.run("put_audit", what=what, firing_id=firing_id, detail=to_text(detail), epoch=tx.epoch, now=tx.now)


def entries_of(tx: Snapshot, firing_id: str) -> list[Entry]:
    """The trail of one firing, oldest first."""
    rows = tx.all("audit_of_firing", firing_id=firing_id)
    return [
        Entry(row["seq"], from_micros(row["ts"]), row["epoch"], row["what"], from_text(row["detail"])) for row in rows
    ]
