"""The audit trail: what was decided and done, in the transaction that did it, never changed afterwards.

Each line bears whose doing it was (the rule with its version, or a person), on which event and by which action, so that
it can be read when what it is about has been pruned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from phinops.event import JsonObject
from phinops.masking import masked
from phinops.record.documents import from_text, to_text
from phinops.record.moments import from_micros
from phinops.record.tx import Row, Snapshot, Tx

COLUMNS = (
    "seq", "time", "epoch", "what", "by", "rule", "version", "event_id", "firing_id", "action_id", "tenant", "step",
    "api", "target", "params", "before", "after", "request_id", "outcome", "reason", "more",
)  # fmt: skip
"""What a line is told as, in this order; `more` holds what it says besides."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the trail; `epoch` tells which run of the daemon wrote it."""

    seq: int
    at: datetime
    epoch: int
    what: str
    detail: JsonObject


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines: from `since` on and before `until`, of one action, of one rule; None or "" is any."""

    since: datetime | None = None
    until: datetime | None = None
    action: str = ""
    rule: str = ""


def note(tx: Tx, what: str, firing_id: str | None = None, /, **detail: Any) -> None:
    """Add a line, such as `note(tx, "action.settled", firing.id, outcome="verified")`.

    Rule, version and event are those of the firing. `action` in `detail` is the id of the action that it is about, `by`
    the person whose doing it was. What bears the name of a secret is masked.

    Raises:
        TypeError: `detail` holds something that is not a JSON type.
    """
    tx.run(
        "put_audit",
        what=what,
        firing_id=firing_id,
        action_id=str(detail.get("action", "")),
        detail=to_text(masked(detail)),
        epoch=tx.epoch,
        now=tx.now,
    )


def entries_of(tx: Snapshot, firing_id: str) -> list[Entry]:
    """The trail of one firing, oldest first."""
    rows = tx.all("audit_of_firing", firing_id=firing_id)
    return [
        Entry(row["seq"], from_micros(row["ts"]), row["epoch"], row["what"], from_text(row["detail"])) for row in rows
    ]


def audit_page(tx: Snapshot, wanted: Wanted, after: int, limit: int, zone: tzinfo) -> JsonObject:
    """`{next, lines}`: lines of the trail, oldest first, from those up to the number `after` on.

    Each line has the keys of `COLUMNS`; `next` is the number to go on after, None at the end.
    """
    which = {"since": wanted.since, "until": wanted.until, "rule": wanted.rule, "after": after, "limit": limit}
    if wanted.action:
        rows = tx.all("audit_of_action", action_id=wanted.action, **which)
    else:
        rows = tx.all("audit_from", **which)
    return {"next": rows[-1]["seq"] if len(rows) == limit else None, "lines": [_line(row, zone) for row in rows]}


def _line(row: Row, zone: tzinfo) -> JsonObject:
    detail = from_text(row["detail"])
    detail.pop("action", None)
    texts = ("by", "tenant", "step", "api", "target", "request_id", "outcome", "reason")
    request = detail.pop("request", None) or {}
    known = {
        "seq": row["seq"],
        "time": from_micros(row["ts"]).astimezone(zone).isoformat(),
        "epoch": row["epoch"],
        "what": row["what"],
        "rule": row["rule"],
        "version": row["rule_hash"],
        "event_id": row["event_id"],
        "firing_id": row["firing_id"] or "",
        "action_id": row["action_id"],
        "params": request.get("params"),
        "before": detail.pop("before", None) or None,
        "after": detail.pop("after", None) or None,
        **{name: str(detail.pop(name, None) or "") for name in texts},
    }
    known["more"] = detail or None
    return {name: known[name] for name in COLUMNS}


def prune_audit(tx: Tx, before: datetime, limit: int) -> int:
    """Drop the oldest lines, those written before a moment, `limit` at most; how many went."""
    rows: Sequence[Row] = tx.all("oldest_audit", before=before, limit=limit)
    old = [row["seq"] for row in rows if row["old"]]
    return tx.run("forget_audit", upto=old[-1]) if old else 0


def oldest_line(tx: Snapshot) -> datetime | None:
    """When the oldest line was written, or None without one."""
    row = tx.one("oldest_line")
    return from_micros(row["ts"]) if row else None
