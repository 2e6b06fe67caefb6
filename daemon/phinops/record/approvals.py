"""Questions to people: asked once, answered once, by whoever comes first."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from phinops.approval import Answer, Approval, Via, shown_from
from phinops.record.audit import note
from phinops.record.documents import from_text, to_text
from phinops.record.moments import from_micros, to_micros
from phinops.record.switches import set_switch, switch
from phinops.record.tx import Row, Snapshot, Tx

_KEY = "approval key"
"""The switch that keeps what links are signed with: made once for a store, which only its owner reads."""


def put_approval(tx: Tx, approval: Approval) -> None:
    """Record that people are asked."""
    tx.run(
        "put_approval",
        id=approval.id,
        action_id=approval.action_id,
        firing_id=approval.firing_id,
        n=approval.n,
        tenant=approval.tenant,
        rule=approval.rule,
        step_id=approval.step_id,
        message=approval.message,
        shown=to_text(approval.shown.to_json()),
        asked_at=to_micros(approval.asked_at),
        expires_at=to_micros(approval.expires_at),
    )
    if not switch(tx, _KEY):
        set_switch(tx, _KEY, secrets.token_hex(32))
    shown = approval.shown.to_json()
    expires = approval.expires_at.isoformat()
    note(tx, "approval.asked", approval.firing_id, approval=approval.id, expires=expires, shown=shown)


def approval_of(tx: Snapshot, approval_id: str) -> Approval | None:
    """The question of that id, or None."""
    row = tx.one("get_approval", id=approval_id)
    return _approval(row) if row else None


def approval_at(tx: Snapshot, firing_id: str, n: int) -> Approval | None:
    """What people were asked last at step `n` of a firing, or None."""
    row = tx.one("approval_of_step", firing_id=firing_id, n=n)
    return _approval(row) if row else None


def approvals(tx: Snapshot, limit: int, tenant: str = "") -> list[Approval]:
    """The newest questions of one tenant or, without a name, of all; newest first."""
    return [_approval(row) for row in tx.all("list_approvals", limit=limit, tenant=tenant)]


def open_approvals(tx: Snapshot) -> list[Approval]:
    """The questions that wait for an answer, oldest first."""
    return [_approval(row) for row in tx.all("approvals_unanswered")]


def answer(tx: Tx, approval_id: str, said: Answer, *, by: str, via: Via, reason: str) -> bool:
    """Answer; False when it was answered before, is over or unknown, and then nothing has changed."""
    found = approval_of(tx, approval_id)
    changed = found and tx.run(
        "answer_approval", id=approval_id, answer=said, by=by, via=via, reason=reason, now=to_micros(tx.now)
    )
    if found and changed:
        note(tx, f"approval.{said}", found.firing_id, approval=approval_id, by=by, via=via, reason=reason)
    return bool(changed)


def expire(tx: Tx, approval_id: str) -> bool:
    """Its time is over; False when somebody had answered in time."""
    return bool(tx.run("expire_approval", id=approval_id, now=to_micros(tx.now)))


def settle(tx: Tx, approval_id: str, outcome: str, why: str) -> None:
    """What the answer came to."""
    tx.run("settle_approval", id=approval_id, outcome=outcome, why=why)


def link_code(tx: Snapshot, approval: Approval) -> str:
    """What a link must bear that answers this question, "" where nothing can: an HMAC of id and end."""
    key = switch(tx, _KEY)
    about = f"{approval.id} {approval.firing_id} {to_micros(approval.expires_at)}"
    return hmac.new(bytes.fromhex(key), about.encode(), hashlib.sha256).hexdigest() if key else ""


def _approval(row: Row) -> Approval:
    return Approval(
        id=row["id"],
        action_id=row["action_id"],
        firing_id=row["firing_id"],
        n=row["n"],
        tenant=row["tenant"],
        rule=row["rule"],
        step_id=row["step_id"],
        message=row["message"],
        shown=shown_from(from_text(row["shown"])),
        asked_at=from_micros(row["asked_at"]),
        expires_at=from_micros(row["expires_at"]),
        answer=row["answer"],
        by=row["by"],
        via=row["via"],
        reason=row["reason"],
        answered_at=from_micros(row["answered_at"]),
        outcome=row["outcome"],
        why=row["why"],
    )
