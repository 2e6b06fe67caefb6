"""What guards and causes are judged by: the past of a rule, of a key, of a target, as the journal has it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from phinops.event import Event, from_json
from phinops.firing import Intent
from phinops.record.documents import from_text
from phinops.record.journal import intents
from phinops.record.moments import from_micros, to_micros
from phinops.record.tx import Row, Snapshot


@dataclass(frozen=True, slots=True)
class Past:
    """What the guards of a rule read of its history on one key of one tenant; windows are of all keys."""

    last_started: datetime | None
    busy: int
    started_in_window: int


def past(tx: Snapshot, tenant: str, rule: str, key: str, *, window: timedelta, besides: str = "") -> Past:
    """The history that guards judge by, leaving out the firing `besides`."""
    here = {"rule": rule, "except": besides}
    last = tx.one("last_started", tenant=tenant, key=key, **here)
    return Past(
        last_started=from_micros(last["at"]) if last else None,
        busy=_count(tx.one("busy_firings", tenant=tenant, key=key, **here)),
        started_in_window=_count(tx.one("started_since", since=to_micros(tx.now - window), **here)),
    )


def recoveries(tx: Snapshot, tenant: str, since: datetime, most: int) -> list[Event]:
    """The latest events since then that tell of an instance which succeeded, at most so many, the oldest first."""
    rows = tx.all("recoveries", tenant=tenant, since=to_micros(since), most=most)
    return [from_json(from_text(row["body"])) for row in reversed(rows)]


def rules_behind(tx: Snapshot, action_id: str) -> frozenset[str]:
    """The rules that led to an action, each through an event that the one before it caused; none for ""."""
    return frozenset(row["rule"] for row in tx.all("rules_behind", action_id=action_id)) if action_id else frozenset()


def own_firings(tx: Snapshot, tenant: str, rule: str, key: str, *, since: datetime, besides: str = "") -> int:
    """How often the rule fired on the key since then on what it had caused itself, however many rules lie between."""
    rows = tx.all("causes_of_firings", tenant=tenant, rule=rule, key=key, since=to_micros(since), **{"except": besides})
    return len({row["firing_id"] for row in rows if rule in rules_behind(tx, row["action_id"])})


def unsettled_on(tx: Snapshot, intent: Intent) -> tuple[str, bool] | None:
    """The action on the same target whose fate is not known, and whether it is being read back still.

    What goes out by HTTP has none: each request is for itself, and no state of ours hangs on it.
    """
    if not intent.target_id or intent.target_kind == "http":
        return None
    here = {"tenant": intent.tenant, "target_kind": intent.target_kind, "target_id": intent.target_id}
    row = tx.one("unsettled_on", **here)
    return (str(row["action_id"]), row["state"] == "intent") if row else None


def writes_since(tx: Snapshot, since: datetime) -> int:
    """How many writes have left, or may have, since then."""
    return _count(tx.one("writes_since", since=to_micros(since)))


def targets_since(tx: Snapshot, rule: str, since: datetime) -> frozenset[tuple[str, str]]:
    """The distinct targets that the rule has written to since then, as (kind, id)."""
    rows = tx.all("targets_since", rule=rule, since=to_micros(since))
    return frozenset((row["target_kind"], row["target_id"]) for row in rows)


def writes_on(tx: Snapshot, tenant: str, target_id: str, since: datetime) -> list[Intent]:
    """The newest writes of ours on the target since then, newest first."""
    return intents(tx.all("writes_on", tenant=tenant, target_id=target_id, since=to_micros(since)))


def _count(row: Row | None) -> int:
    return int(row["n"]) if row else 0
