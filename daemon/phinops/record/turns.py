"""Whose turn it is on a key: who holds it, who waits, and who must give way."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from phinops.event import Event
from phinops.firing import Firing
from phinops.record import journal
from phinops.record.tx import Tx


def take_turn(tx: Tx, tenant: str, rule: str, key: str) -> tuple[Firing, Event] | None:
    """The firing that waits for this key, on its way now if the key is free; it waits for its own time as well."""
    here = {"tenant": tenant, "rule": rule, "key": key}
    if tx.one("holders_of", **here, **{"except": ""}):
        return None
    firing = next(iter(journal.firings(tx.all("queued_firings", **here))), None)
    event = journal.event_of(tx, firing.event_id) if firing else None
    if firing is None or event is None:
        return None
    wake_at = max(tx.now, due(firing, firing.created_at or tx.now))
    journal.move(tx, firing.id, "waiting", "its turn on its key has come", wake_at)
    return replace(firing, state="waiting", wake_at=wake_at), event


def due(firing: Firing, seen: datetime) -> datetime:
    """When the wait of a firing that was seen then is over: its `for`, or the time in which something must not come."""
    pattern = firing.plan.get("pattern") or {}
    absence = pattern.get("within_s") if pattern.get("kind") == "absent" else None
    return seen + timedelta(seconds=absence or firing.plan.get("for_s") or 0)


def give_way(tx: Tx, tenant: str, rule: str, key: str, to: str) -> list[str]:
    """Ask what holds the key to end for the firing `to`; the ids of those that were asked.

    One that waits for its time ends here; one that is under way ends itself, at its next safe point.
    """
    asked = []
    reason = f"restarted by {to}"
    for row in tx.all("holders_of", tenant=tenant, rule=rule, key=key, **{"except": to}):
        if row["state"] == "waiting":
            journal.end(tx, row["id"], "skipped", reason)
        else:
            tx.run("stop_firing", id=row["id"], stop=reason)
        asked.append(str(row["id"]))
    return asked


def queue_up(tx: Tx, firing: Firing, reason: str) -> list[str]:
    """Let a recorded firing wait for its key, in the place of those that waited before it.

    Gives the ids of what holds the key and must give way: none but under `restart`.
    """
    for row in tx.all("queued_firings", tenant=firing.tenant, rule=firing.rule, key=firing.key):
        if row["id"] != firing.id:
            journal.end(tx, row["id"], "skipped", f"a newer event took its place in the queue ({firing.id})")
    journal.move(tx, firing.id, "queued", reason)
    if firing.plan["concurrency"] != "restart":
        return []
    return give_way(tx, firing.tenant, firing.rule, firing.key, firing.id)
