"""Leases of pauses: nodes that are resumed by themselves, unless somebody has touched them since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal

from phinops.event import JsonObject
from phinops.firing import Intent, StepResult, step_result
from phinops.record.audit import note
from phinops.record.documents import from_text
from phinops.record.moments import from_micros, to_micros
from phinops.record.tx import Row, Snapshot, Tx

Ended = Literal["resumed", "left", "cancelled", "void"]
"""How a lease ends: its node was resumed, or left as it is because somebody has touched it; it was resumed before by
an action of ours; its pause never was.
"""


HOLDS = ("done", "skipped")
"""States of a pause that is in force: `skipped` where an attempt that was held to be absent has come to something."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that is not over. `firing_id` is the firing of its pause, `pause` the state of the pause's row.

    `resuming` is the firing that resumes the node, "" before it is due; once that is over, `resumed_at` says when, with
    its state, reason and results.
    """

    action_id: str
    firing_id: str
    tenant: str
    project_id: str
    node_id: str
    rule: str
    rule_hash: str
    since: datetime
    due: datetime
    pause: str
    resuming: str = ""
    resumed_at: datetime | None = None
    firing_state: str = ""
    firing_reason: str = ""
    results: Mapping[str, StepResult] = field(default_factory=dict)


def take(tx: Tx, intent: Intent) -> None:
    """Take the lease of a pause that is about to leave, if it has one.

    Only what phinops pauses itself is resumed: of a node that is paused already no lease is taken, but one that runs on
    it is made longer.
    """
    lease_s = intent.request.get("lease_s")
    if lease_s is None:
        return
    if intent.probe.get("paused") is True and intent.attempt == 1:
        _join(tx, intent)
    else:  # an attempt that was held to be absent may have come to something late
        _put(tx, intent)


def found_paused(tx: Tx, step: Intent) -> None:
    """A pause was left out, for its node is paused already: what that means for the lease that runs on the node.

    One that this pause would outlast is made longer, and never shorter; a pause without end ends it.
    """
    if step.kind != "pause_node":
        return
    if step.attempt > 1 and step.request.get("lease_s") is not None:
        _put(tx, step)  # an attempt that was held to be absent has come to something late
    else:
        _join(tx, step)


def _put(tx: Tx, pause: Intent) -> None:
    due = tx.now + timedelta(seconds=pause.request["lease_s"])
    tx.run("put_lease", action_id=pause.action_id, due=to_micros(due))
    note(tx, "lease.taken", pause.firing_id, action=pause.action_id, due=due.isoformat())


def _join(tx: Tx, pause: Intent) -> None:
    here = {"tenant": pause.tenant, "node_id": pause.target_id}
    running = tx.one("running_lease_on", **here)
    lease_s = pause.request.get("lease_s")
    if running is None:
        if lease_s is not None:
            reason = "the node was paused already, and not by a lease"
            note(tx, "lease.not_taken", pause.firing_id, action=pause.action_id, reason=reason)
    elif lease_s is None:
        reason = f"{pause.action_id} wants it paused without end"
        tx.run("end_lease", action_id=running["action_id"], state="left", reason=reason, now=to_micros(tx.now))
        note(tx, "lease.left", pause.firing_id, action=running["action_id"], node=pause.target_id, reason=reason)
    else:
        due = max(tx.now + timedelta(seconds=lease_s), from_micros(running["due"]))
        tx.run("extend_leases", due=to_micros(due), **here)
        note(
            tx, "lease.joined", pause.firing_id, action=pause.action_id, lease=running["action_id"], due=due.isoformat()
        )


def open_leases(tx: Snapshot) -> Sequence[Lease]:
    """The leases that are not over, the next one first."""
    return [_lease(row) for row in tx.all("open_leases")]


def begin_end(tx: Tx, action_id: str, firing_id: str) -> bool:
    """The lease is over, and a firing resumes its node; False when one does already."""
    return bool(tx.run("begin_lease_end", action_id=action_id, firing_id=firing_id))


def end(tx: Tx, lease: Lease, how: Ended, reason: str) -> bool:
    """The lease is over for good; False when it was before, and then nothing has changed."""
    changed = tx.run("end_lease", action_id=lease.action_id, state=how, reason=reason, now=to_micros(tx.now))
    if changed:
        note(tx, f"lease.{how}", lease.firing_id, action=lease.action_id, node=lease.node_id, reason=reason)
    return bool(changed)


def list_leases(tx: Snapshot, limit: int, tenant: str = "", zone: tzinfo = UTC) -> list[JsonObject]:
    """The newest `limit` leases of one tenant or, without a name, of all.

    Each is `{action_id, tenant, rule, project_id, node_id, since, due, state, reason, firing_id}`. `state` is
    `running`, `waiting` while it is not known whether the node was paused, `resuming`, or how it ended.
    """
    return [_shown(row, zone) for row in tx.all("list_leases", limit=limit, tenant=tenant)]


def _lease(row: Row) -> Lease:
    results = from_text(row["ctx"]) if row["ctx"] else {}
    return Lease(
        action_id=row["action_id"],
        firing_id=row["firing_id"],
        tenant=row["tenant"],
        project_id=row["project_id"],
        node_id=row["node_id"],
        rule=row["rule"],
        rule_hash=row["rule_hash"],
        since=from_micros(row["t_intent"]),
        due=from_micros(row["due"]),
        pause=row["pause"],
        resuming=row["resuming"] or "",
        resumed_at=from_micros(row["resumed_at"]),
        firing_state=row["firing_state"] or "",
        firing_reason=row["firing_reason"] or "",
        results={name: step_result(item) for name, item in results.items()},
    )


def _shown(row: Row, zone: tzinfo) -> JsonObject:
    state = row["state"]
    if state == "open":
        state = "resuming" if row["firing_id"] else "running" if row["pause"] in HOLDS else "waiting"
    texts = ("action_id", "tenant", "rule", "project_id", "node_id")
    return {
        **{name: row[name] for name in texts},
        "since": from_micros(row["t_intent"]).astimezone(zone).isoformat(),
        "due": from_micros(row["due"]).astimezone(zone).isoformat(),
        "state": state,
        "reason": row["reason"],
        "firing_id": row["firing_id"] or "",
    }
