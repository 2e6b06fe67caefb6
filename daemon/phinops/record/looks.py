"""Second looks: the targets of writes that were settled by reading, to be read once more some minutes later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from phinops.firing import Intent, Notice
from phinops.record import journal
from phinops.record.audit import note
from phinops.record.tx import Snapshot, Tx


@dataclass(frozen=True, slots=True)
class Due:
    """An attempt whose target is to be read again, and the rule that made it."""

    intent: Intent
    rule: str


@dataclass(frozen=True, slots=True)
class Likes:
    """The writes of ours of one kind on one target from an attempt on: done, of unknown fate, and open still."""

    done: int
    unknown: int
    open: int


def put_look(tx: Tx, action_id: str, at: datetime) -> None:
    """Have the target of an attempt read again at a moment: of a step that is looked at anyway, once, and then."""
    tx.run("put_look", action_id=action_id, at=at)


def due_looks(tx: Snapshot, limit: int) -> Sequence[Due]:
    """What is to be read again by now, the first due first."""
    rows = tx.all("due_looks", now=tx.now, limit=limit)
    return [Due(intent, row["rule"]) for intent, row in zip(journal.intents(rows), rows, strict=True)]


def likes_since(tx: Snapshot, action_id: str) -> Likes:
    """What we did to the target since the attempt, itself among it."""
    row = tx.one("likes_since", action_id=action_id)
    return Likes(row["done"], row["unknown"], row["open"]) if row else Likes(0, 0, 0)


def postpone(tx: Tx, action_id: str, at: datetime) -> None:
    """Read it at another moment."""
    tx.run("postpone_look", action_id=action_id, at=at)


def close(tx: Tx, looked: Intent, found: str, doubled: str = "", notices: Sequence[Notice] = ()) -> bool:
    """It was read again, with what was found; `doubled` is told by `notices`, once. False when it was closed before."""
    if not tx.run("close_look", action_id=looked.action_id, doubled=doubled):
        return False
    note(
        tx, "action.doubled" if doubled else "action.looked_at", looked.firing_id, action=looked.action_id, found=found
    )
    for each in notices:
        journal.put_notice(tx, each.id, looked.firing_id, looked.n, each.notifier, each.payload)
    return True
