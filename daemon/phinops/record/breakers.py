"""Writes in a row that came to nothing: of a rule, and on a target. Counted in the transaction that closes each.

Only what Dataphin refused, or what reading back found not done, is counted: neither what our own guards held back, nor
what was throttled, nor a done write whose verification failed. A write that an earlier process was about to send when
it died, and that was not done, says nothing of Dataphin either. Writes that were lost with one call are one failure: a
network that fails once must not stop a rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from phinops.event import JsonObject
from phinops.firing import Intent, Tally
from phinops.record.moments import from_micros
from phinops.record.tx import Row, Snapshot, Tx

FORGOTTEN = timedelta(days=7)
"""After so long a failure is not counted any more."""

NEVER = Tally()


@dataclass(frozen=True, slots=True)
class Failed:
    """One more write of a rule, or on a target, came to nothing; `name` is what people call it."""

    tenant: str
    scope: str
    name: str
    tally: Tally


def tally_of_rule(tx: Snapshot, tenant: str, rule: str) -> Tally:
    """How the rule's writes on the tenant fare."""
    return _tally(tx, tenant, "rule", rule)


def tally_of_target(tx: Snapshot, intent: Intent) -> Tally:
    """How writes on the intent's target fare."""
    return _tally(tx, intent.tenant, "target", _target(intent.target_kind, intent.target_id))


def asked(tx: Tx, intent: Intent, rule: str) -> None:
    """The intent leaves: where writes came to nothing before, it depends on it whether they go on doing so."""
    for scope, name in (("rule", rule), ("target", _target(intent.target_kind, intent.target_id))):
        tx.run("breaker_asked", tenant=intent.tenant, scope=scope, name=name, action_id=intent.action_id)


def answered(tx: Tx, action_id: str, state: str, result: JsonObject) -> None:
    """What became of a write is known: it ends a row of failures, is one more, or tells nothing."""
    row = tx.one("breaker_parties", action_id=action_id)
    if row is None or row["kind"] == "http":
        return
    parties = [{"tenant": row["tenant"], "scope": scope, "name": name} for scope, name in _counted(row)]
    for each in parties:
        tx.run("breaker_answered", action_id=action_id, **each)
        if state == "done":
            tx.run("breaker_closed", **each)
    not_done = state == "absent" and "settled" in result and row["epoch"] == tx.epoch
    if row["event_id"] is not None and (state == "failed" or not_done):
        tx.run("breakers_forgotten", before=tx.now - FORGOTTEN)
        reason = str(result.get("reason") or result.get("settled") or "")
        call = row["t_intent"] if not_done else None
        for each in parties:
            tx.run("breaker_failed", reason=reason, now=tx.now, call=call, **each)


def failed_by(tx: Snapshot, action_id: str) -> Iterator[Failed]:
    """The tallies that have just counted the action as a failure."""
    row = tx.one("breaker_parties", action_id=action_id)
    if row is None:
        return
    for scope, name in _counted(row):
        tally = _tally(tx, row["tenant"], scope, name)
        if tally.failed_at == tx.now:
            yield Failed(row["tenant"], scope, row["rule"] if scope == "rule" else row["target_id"], tally)


def _counted(row: Row) -> Iterator[tuple[str, str]]:
    """Which tallies a write is part of: a person's calls say nothing of a rule."""
    if row["event_id"] is not None:
        yield "rule", row["rule"]
    if row["target_id"]:
        yield "target", _target(row["target_kind"], row["target_id"])


def _target(kind: str, name: str) -> str:
    return f"{kind} {name}"


def _tally(tx: Snapshot, tenant: str, scope: str, name: str) -> Tally:
    row = tx.one("breaker_of", tenant=tenant, scope=scope, name=name)
    return Tally(row["failures"], from_micros(row["failed_at"]), row["reason"], row["under_way"]) if row else NEVER
