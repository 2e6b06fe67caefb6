"""The journal: what was meant, what was sent, what came of it. Every operation runs inside one store transaction.

The rules that these operations keep, together with the order in which `execute` calls them:

- what a poll brought is kept all or not at all: its events, what the rules made of them, and where it goes on;
- before a write is sent, the intent to send it is committed, under the epoch of the daemon that sends it;
- while an intent of a step is open the step gets no second one, and of several who would close it one succeeds;
- trying again adds a row, so that the rows of a step tell its whole history.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from phinops import event as events
from phinops.event import Event, JsonObject
from phinops.firing import INWARD, Firing, FiringState, Intent, Outcome, StepResult, step_result
from phinops.record import breakers
from phinops.record.audit import note
from phinops.record.documents import from_text, to_text
from phinops.record.moments import from_micros, to_micros
from phinops.record.tx import Row, Snapshot, Tx


def put_event(tx: Tx, event: Event, *, rule_set: str = "", at: datetime | None = None) -> bool:
    """Record an event; False when it was known already.

    `rule_set` names the rules that it was decided by, `at` is when they were asked: now, unless told.
    """
    body = to_text(events.to_json(event))
    return bool(
        tx.run(
            "put_event",
            id=event.id,
            type=event.type,
            tenant=event.tenant,
            source=event.source,
            time=to_micros(event.time),
            body=body,
            rule_set=rule_set,
            now=to_micros(at or tx.now),
        )
    )


def event_of(tx: Snapshot, event_id: str) -> Event | None:
    """The recorded event, or None."""
    row = tx.one("get_event", id=event_id)
    return events.from_json(from_text(row["body"])) if row else None


def put_firing(tx: Tx, firing: Firing) -> None:
    """Record a firing in the state that it has."""
    tx.run(
        "put_firing",
        id=firing.id,
        event_id=firing.event_id or None,
        tenant=firing.tenant,
        rule=firing.rule,
        rule_hash=firing.rule_hash,
        mode=firing.mode,
        key=firing.key,
        plan=to_text(firing.plan),
        ctx=to_text({name: result.to_json() for name, result in firing.results.items()}),
        state=firing.state,
        reason=firing.reason,
        cursor=firing.cursor,
        wake_at=to_micros(firing.wake_at),
        created_at=to_micros(firing.created_at or tx.now),
        started_at=to_micros(firing.started_at),
        ended_at=to_micros(firing.ended_at),
        facts=to_text(firing.facts),
    )


def put_again(tx: Tx, firing: Firing) -> None:
    """Record a firing that waits as its rule's new version has it; nothing happens when it is over."""
    tx.run(
        "carry_firing",
        id=firing.id,
        rule_hash=firing.rule_hash,
        mode=firing.mode,
        key=firing.key,
        plan=to_text(firing.plan),
        state=firing.state,
        reason=firing.reason,
        wake_at=to_micros(firing.wake_at),
        facts=to_text(firing.facts),
    )


def firing_of(tx: Snapshot, firing_id: str) -> Firing | None:
    """The firing as it stands now, or None."""
    row = tx.one("get_firing", id=firing_id)
    return _firing(row) if row else None


def open_firings(tx: Snapshot) -> list[Firing]:
    """Everything that goes on by itself, oldest first."""
    return firings(tx.all("open_firings"))


def firings_on(tx: Snapshot, event_id: str) -> list[Firing]:
    """What rules made of an event, oldest first; skipped firings are among them."""
    return firings(tx.all("firings_on", event_id=event_id))


def move(tx: Tx, firing_id: str, state: FiringState, reason: str = "", wake_at: datetime | None = None) -> None:
    """Put a firing into another open state."""
    tx.run("move_firing", id=firing_id, state=state, reason=reason, wake_at=to_micros(wake_at))


def start(tx: Tx, firing_id: str) -> None:
    """The firing begins; beginning again after a crash keeps the first moment."""
    tx.run("start_firing", id=firing_id, now=to_micros(tx.now))


def advance(tx: Tx, firing_id: str, cursor: int, results: Mapping[str, StepResult]) -> None:
    """A step is over."""
    ctx = to_text({name: result.to_json() for name, result in results.items()})
    tx.run("advance_firing", id=firing_id, cursor=cursor, ctx=ctx)


def end(tx: Tx, firing_id: str, state: FiringState, reason: str = "") -> bool:
    """The firing is over; `reason` is what people read. False when it was over before, and then nothing has changed."""
    changed = tx.run("end_firing", id=firing_id, state=state, reason=reason, now=to_micros(tx.now))
    if changed:
        tx.run("end_waits", firing_id=firing_id, now=to_micros(tx.now))
        tx.run("void_approvals", firing_id=firing_id, why=reason)
        note(tx, "firing.ended", firing_id, state=state, reason=reason)
    return bool(changed)


def unsettled(tx: Snapshot, firing_id: str) -> bool:
    """Whether a write of the firing is of unknown fate."""
    return tx.one("open_steps_of", firing_id=firing_id) is not None


def abandon(tx: Tx, firing_id: str, reason: str) -> None:
    """Nobody can go on with the firing: what it left open is unknown, and a person must decide."""
    for row in tx.all("open_steps_of", firing_id=firing_id):
        settle(tx, row["action_id"], "unknown", "unknown", result={"reason": reason})
    end(tx, firing_id, "needs_decision", reason)


def intend(tx: Tx, intent: Intent) -> None:
    """Commit that a write is about to leave. Only after this transaction may it be sent."""
    _put_step(tx, intent, t_done=None)
    note(tx, "action.intended", intent.firing_id, **_said_of(intent), before=intent.probe)


def put_step(tx: Tx, step: Intent) -> None:
    """Record a step that needs no settling: a shadow, a read, a notice, or a refusal before sending."""
    _put_step(tx, step, t_done=to_micros(tx.now))
    reason = step.result.get("reason", "")
    note(tx, "action.recorded", step.firing_id, **_said_of(step), outcome=step.outcome, reason=reason)


def open_wait(tx: Tx, step: Intent) -> None:
    """A step begins to wait; its row says until when."""
    _put_step(tx, step, t_done=None)
    note(tx, "wait.begun", step.firing_id, action=step.action_id, request=step.request)


def close_wait(tx: Tx, action_id: str, outcome: Outcome, reason: str, now: Event | None) -> None:
    """A wait is over; later steps see the event `now`, unless it is None. Nothing changes when it was over before."""
    changed = tx.run(
        "close_wait", action_id=action_id, outcome=outcome, result=to_text({"reason": reason}), now=to_micros(tx.now)
    )
    if not changed:
        return
    firing_id = _firing_id(tx, action_id)
    if now is not None:
        keep_now(tx, firing_id, now)
    note(tx, "wait.ended", firing_id, action=action_id, outcome=outcome, reason=reason)


def keep_now(tx: Tx, firing_id: str, event: Event) -> None:
    """The firing goes on with its event as it is here: the object was read again."""
    tx.run("keep_now", id=firing_id, event=to_text(events.to_json(event)))


def tries_of(tx: Snapshot, firing_id: str, n: int) -> list[str]:
    """How each try of a step ended that came to no good: `refused`, `failed` or `timed_out`, oldest first."""
    return [row["outcome"] for row in tx.all("tries_of", firing_id=firing_id, n=n)]


def settle(
    tx: Tx,
    action_id: str,
    state: str,
    outcome: Outcome | None,
    *,
    result: JsonObject,
    request_id: str = "",
    verify_until: datetime | None = None,
) -> bool:
    """Close an open intent; False when it was closed before, and then nothing has changed."""
    changed = tx.run(
        "settle_step",
        action_id=action_id,
        state=state,
        outcome=outcome or "",
        result=to_text(result),
        request_id=request_id,
        verify_until=to_micros(verify_until),
        now=to_micros(tx.now),
    )
    if changed:
        breakers.answered(tx, action_id, state, result)
        note(
            tx,
            f"action.{state}",
            _firing_id(tx, action_id),
            action=action_id,
            request_id=request_id,
            outcome=outcome or "",
            after=result,
        )
    return bool(changed)


def judge(tx: Tx, action_id: str, outcome: Outcome, reason: str, saw: JsonObject | None = None) -> None:
    """What verification found of a write, and saw of its target; nothing changes when it was not done."""
    changed = tx.run(
        "judge_step",
        action_id=action_id,
        outcome=outcome,
        result=to_text({"verify": reason}),
        now=to_micros(tx.now),
    )
    if changed:
        said = {"outcome": outcome, "reason": reason, "after": saw}
        note(tx, "action.judged", _firing_id(tx, action_id), action=action_id, **said)


def last_step(tx: Snapshot, firing_id: str, n: int) -> Intent | None:
    """The newest attempt at a step of a firing."""
    row = tx.one("last_step", firing_id=firing_id, n=n)
    return _intent(row) if row else None


def action_of(tx: Snapshot, action_id: str) -> Intent | None:
    """One attempt by its id, or None."""
    row = tx.one("get_step", action_id=action_id)
    return _intent(row) if row else None


def put_notice(tx: Tx, notice_id: str, firing_id: str | None, n: int, notifier: str, payload: JsonObject) -> None:
    """Queue a notice, without a firing when it is the daemon's own; its id stays the same over every try."""
    tx.run(
        "put_notice",
        id=notice_id,
        firing_id=firing_id,
        n=n,
        notifier=notifier,
        payload=to_text(payload),
        now=to_micros(tx.now),
    )


def abandon_operator_calls(tx: Tx) -> int:
    """A person's own write that was under way when the daemon died cannot be verified: its outcome is unknown."""
    rows = tx.all("open_operator_calls", epoch=tx.epoch)
    for row in rows:
        abandon(tx, row["firing_id"], "the daemon stopped before the answer came; it cannot be read back")
    return len(rows)


def counts(tx: Snapshot) -> JsonObject:
    """Totals: events, firings, actions by outcome, notices by state, writes open and doubled, leases, questions."""
    totals = tx.one("table_counts") or {}
    actions: dict[str, int] = {}
    for row in tx.all("outcome_counts"):
        if row["kind"] not in INWARD:
            name = row["outcome"] or row["state"]
            actions[name] = actions.get(name, 0) + row["n"]
    notices = {row["state"]: row["n"] for row in tx.all("notice_counts")}
    return {
        "events": totals["events"],
        "firings": totals["firings"],
        "actions": actions,
        "notices": notices,
        "open": _count(tx.one("open_intents")),
        "approvals": _count(tx.one("open_approvals")),
        "leases": _count(tx.one("count_leases")),
        "doubled": _count(tx.one("doubled_actions")),
    }


def firings(rows: Iterable[Row]) -> list[Firing]:
    """Firing rows as values."""
    return [_firing(row) for row in rows]


def intents(rows: Iterable[Row]) -> list[Intent]:
    """Step rows as values."""
    return [_intent(row) for row in rows]


def _said_of(step: Intent) -> JsonObject:
    """What the audit says of an attempt: whatever is pruned later, the call can be told from it."""
    return {
        "action": step.action_id,
        "tenant": step.tenant,
        "step": step.kind,
        "api": step.api,
        "target": step.target_id,
        "request": step.request,
        "request_id": step.request_id,
    }


def _put_step(tx: Tx, step: Intent, *, t_done: int | None) -> None:
    tx.run(
        "put_step",
        action_id=step.action_id,
        firing_id=step.firing_id,
        n=step.n,
        step_id=step.step_id,
        attempt=step.attempt,
        kind=step.kind,
        api=step.api,
        tenant=step.tenant,
        target_kind=step.target_kind,
        target_id=step.target_id,
        project_id=step.project_id,
        state=step.state,
        outcome=step.outcome,
        request=to_text(step.request),
        probe=to_text(step.probe),
        result=to_text(step.result),
        request_id=step.request_id,
        epoch=tx.epoch,
        now=to_micros(tx.now),
        t_done=t_done,
        verify_until=to_micros(step.verify_until),
    )


def _intent(row: Row) -> Intent:
    return Intent(
        action_id=row["action_id"],
        firing_id=row["firing_id"],
        n=row["n"],
        step_id=row["step_id"],
        attempt=row["attempt"],
        kind=row["kind"],
        api=row["api"],
        tenant=row["tenant"],
        target_kind=row["target_kind"],
        target_id=row["target_id"],
        project_id=row["project_id"],
        request=from_text(row["request"]),
        probe=from_text(row["probe"]),
        state=row["state"],
        outcome=row["outcome"],
        request_id=row["request_id"],
        result=from_text(row["result"]),
        t_intent=from_micros(row["t_intent"]),
        t_done=from_micros(row["t_done"]),
        verify_until=from_micros(row["verify_until"]),
    )


def _firing(row: Row) -> Firing:
    return Firing(
        id=row["id"],
        event_id=row["event_id"] or "",
        tenant=row["tenant"],
        rule=row["rule"],
        rule_hash=row["rule_hash"],
        mode=row["mode"],
        key=row["key"],
        plan=from_text(row["plan"]),
        state=row["state"],
        reason=row["reason"],
        cursor=row["cursor"],
        wake_at=from_micros(row["wake_at"]),
        created_at=from_micros(row["created_at"]),
        started_at=from_micros(row["started_at"]),
        ended_at=from_micros(row["ended_at"]),
        results={name: step_result(item) for name, item in from_text(row["ctx"]).items()},
        facts=from_text(row["facts"]),
        now=events.from_json(from_text(row["now"])) if row["now"] else None,
        stop=row["stop"],
    )


def _firing_id(tx: Snapshot, action_id: str) -> str:
    row = tx.one("get_step", action_id=action_id)
    return str(row["firing_id"]) if row else ""


def _count(row: Row | None) -> int:
    return int(row["n"]) if row else 0
