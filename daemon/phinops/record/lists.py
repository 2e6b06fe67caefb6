"""What people list: events, firings and actions, newest first, as the JSON objects that commands and the API print."""

from __future__ import annotations

from datetime import UTC, tzinfo

from phinops.event import JsonObject
from phinops.record.documents import from_text
from phinops.record.moments import from_micros
from phinops.record.tx import Row, Snapshot


def list_events(tx: Snapshot, limit: int, tenant: str = "") -> list[JsonObject]:
    """The newest `limit` events as they were recorded, of one tenant or, without a name, of all."""
    return [from_text(row["body"]) for row in tx.all("list_events", limit=limit, tenant=tenant)]


def list_firings(tx: Snapshot, limit: int, tenant: str = "", zone: tzinfo = UTC) -> list[JsonObject]:
    """The newest `limit` firings: `{id, time, rule, event_id, mode, state, reason}`; `time` is when it was born."""
    return [_firing(row, zone) for row in tx.all("list_firings", limit=limit, tenant=tenant)]


def list_actions(tx: Snapshot, limit: int, tenant: str = "", zone: tzinfo = UTC) -> list[JsonObject]:
    """The newest `limit` attempts: `{id, firing_id, step, api, target, outcome, request_id, time}`.

    `step` is the step's kind, `target` the id of what it was done to, `time` when it was intended. `outcome` is ""
    until there is one, and `absent` for an attempt that is known not to have happened: the next one is a new row.
    Where there is such: `reverses` is the action that it takes back, `undone_by` the one that has taken it back, and
    `doubled` says how often it was done, where a second look found that to be more often than meant.
    """
    return [_action(row, zone) for row in tx.all("list_actions", limit=limit, tenant=tenant)]


def actions_of(tx: Snapshot, firing_id: str, zone: tzinfo = UTC) -> list[JsonObject]:
    """Every attempt of one firing in the order of its steps: as `list_actions` has it, with `step_id` and `reason`."""
    return [
        {**_action(row, zone), "step_id": row["step_id"], "reason": _reason(from_text(row["result"]))}
        for row in tx.all("actions_of", firing_id=firing_id)
    ]


def _reason(result: JsonObject) -> str:
    return str(next((result[name] for name in ("reason", "verify", "settled", "already") if result.get(name)), ""))


def _firing(row: Row, zone: tzinfo) -> JsonObject:
    return {
        "id": row["id"],
        "time": from_micros(row["created_at"]).astimezone(zone).isoformat(),
        "rule": row["rule"],
        "event_id": row["event_id"] or "",
        "mode": row["mode"],
        "state": row["state"],
        "reason": row["reason"],
    }


def _step(row: Row) -> str:
    """The step's kind as rules name it."""
    if row["kind"] != "read":
        return str(row["kind"])
    return "http" if row["target_kind"] == "http" else "call"


def _action(row: Row, zone: tzinfo) -> JsonObject:
    return {
        "id": row["action_id"],
        "firing_id": row["firing_id"],
        "step": _step(row),
        "api": row["api"],
        # What a call without one target is known by in the journal is nobody else's business.
        "target": "" if row["target_kind"] == "api" else row["target_id"],
        "outcome": row["outcome"] or ("absent" if row["state"] == "absent" else ""),
        "request_id": row["request_id"],
        "time": from_micros(row["t_intent"]).astimezone(zone).isoformat(),
        **{name: row[name] for name in ("reverses", "undone_by", "doubled") if row[name]},
    }
