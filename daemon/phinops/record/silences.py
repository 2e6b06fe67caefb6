"""Silences: kept after their end for as long as the audit tells of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from phinops.record.audit import note
from phinops.record.moments import from_micros, to_micros
from phinops.record.tx import Row, Snapshot, Tx
from phinops.silence import PARTS, Silence


def put_silence(tx: Tx, silence: Silence) -> None:
    """Keep it; the audit tells who silenced what, and why."""
    parts = {part: getattr(silence, part) for part in PARTS}
    tx.run(
        "put_silence",
        id=silence.id,
        tenant=silence.tenant,
        **parts,
        starts_at=to_micros(silence.starts_at),
        ends_at=to_micros(silence.ends_at),
        author=silence.author,
        reason=silence.reason,
    )
    said = {part: value for part, value in parts.items() if value}
    note(tx, "silence.added", None, silence=silence.id, by=silence.author, reason=silence.reason, of=said)


def end_silence(tx: Tx, silence_id: str, by: str) -> bool:
    """It is over now; False when there is none of that id that is not over yet."""
    changed = tx.run("end_silence", id=silence_id, now=to_micros(tx.now), by=by)
    if changed:
        note(tx, "silence.ended", None, silence=silence_id, by=by)
    return bool(changed)


def running_silences(tx: Snapshot, now: datetime) -> list[Silence]:
    """Those in force now."""
    return _silences(tx.all("running_silences", now=to_micros(now)))


def list_silences(tx: Snapshot, limit: int, now: datetime, *, ended: bool = False) -> list[Silence]:
    """The newest first; with `ended` also those that are over."""
    return _silences(tx.all("list_silences", limit=limit, now=to_micros(now), ended=ended))


def _silences(rows: Iterable[Row]) -> list[Silence]:
    return [
        Silence(
            id=row["id"],
            starts_at=from_micros(row["starts_at"]),
            ends_at=from_micros(row["ends_at"]),
            author=row["author"],
            reason=row["reason"],
            tenant=row["tenant"],
            **{part: row[part] for part in PARTS},
            ended_by=row["ended_by"],
        )
        for row in rows
    ]
