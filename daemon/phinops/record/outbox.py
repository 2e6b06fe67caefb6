"""Notices on their way: what is due, what was told together, what came of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from phinops.event import JsonObject
from phinops.record.audit import note
from phinops.record.documents import from_text
from phinops.record.moments import from_micros, to_micros
from phinops.record.tx import Row, Snapshot, Tx


@dataclass(frozen=True, slots=True)
class StoredNotice:
    """A notice as the outbox has it. `carries`: others are told in its message."""

    id: str
    notifier: str
    payload: JsonObject
    attempts: int
    created_at: datetime
    carries: bool = False


def due_notices(tx: Snapshot, notifier: str, now: datetime, limit: int) -> list[StoredNotice]:
    """The notices of one notifier that may be tried now, oldest first."""
    return _notices(tx.all("due_notices", notifier=notifier, now=now, limit=limit))


def merge(tx: Tx, id: str, others: Sequence[str]) -> None:
    """The notice `id` carries the others from now on: they are told in its message."""
    for other in others:
        tx.run("merge_notice", id=other, carrier=id)


def carried_by(tx: Snapshot, id: str) -> list[StoredNotice]:
    """What the notice carries, oldest first."""
    return _notices(tx.all("carried_notices", carrier=id))


def sent_since(tx: Snapshot, notifier: str, since: datetime) -> list[datetime]:
    """When the notifier took messages since then."""
    rows = tx.all("sent_since", notifier=notifier, since=to_micros(since))
    return [from_micros(row["sent_at"]) for row in rows]


def bury(tx: Tx, id: str, error: str, fallbacks: Mapping[str, str]) -> None:
    """The notice is dead with what it carries; each goes to the fallback of its notifier, if that has one."""
    for row in tx.all("notices_with", id=id):
        fallback = fallbacks.get(row["notifier"])
        if fallback:
            tx.run(
                "fall_back", id=row["id"], new_id=f"{row['id']}.{fallback}", notifier=fallback, now=to_micros(tx.now)
            )
    tx.run("notice_dead", id=id, error=error)


def list_notices(tx: Snapshot, limit: int, zone: tzinfo, *, state: str = "", notifier: str = "") -> list[JsonObject]:
    """The newest `limit`: `{id, time, notifier, state, attempts, title, rule, firing_id, error, told_with}`.

    `told_with` is the notice in whose message it was told, "" where it was one of its own.
    """
    return [_told(row, zone) for row in tx.all("list_notices", limit=limit, state=state, notifier=notifier)]


def send_again(tx: Tx, by: str, id: str = "") -> list[str]:
    """Try what is dead once more: the one, or all without an id. Those that are on their way again."""
    found = [str(row["id"]) for row in tx.all("dead_notices", id=id)]
    for each in found:
        tx.run("notice_again", id=each, now=to_micros(tx.now))
    if found:
        note(tx, "notice.again", None, by=by, notices=found)
    return found


def _told(row: Row, zone: tzinfo) -> JsonObject:
    payload = from_text(row["payload"])
    return {
        "id": row["id"],
        "time": from_micros(row["created_at"]).astimezone(zone).isoformat(),
        "notifier": row["notifier"],
        "state": row["state"],
        "attempts": row["attempts"],
        "title": str(payload.get("title") or payload.get("rule") or ""),
        "rule": str(payload.get("rule") or ""),
        "firing_id": row["firing_id"] or "",
        "error": row["error"],
        "told_with": row["carrier"] or "",
    }


def _notices(rows: Iterable[Row]) -> list[StoredNotice]:
    return [
        StoredNotice(
            row["id"],
            row["notifier"],
            from_text(row["payload"]),
            row["attempts"],
            from_micros(row["created_at"]),
            bool(row["carries"]),
        )
        for row in rows
    ]
