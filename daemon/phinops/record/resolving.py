"""What a person says of a write whose fate could not be read: it was done, it was not, or nobody will ever know."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from phinops.event import Event, JsonObject
from phinops.firing import Firing, FiringState, Intent
from phinops.record import breakers, journal
from phinops.record.audit import note
from phinops.record.documents import to_text
from phinops.record.moments import to_micros
from phinops.record.tx import Snapshot, Tx

Answer = Literal["done", "absent", "abandon"]

_STATES = {"done": ("done", "accepted"), "absent": ("absent", ""), "abandon": ("abandoned", "abandoned")}
_SAID = {"done": "it was done", "absent": "it was not done", "abandon": "it is left at that"}


@dataclass(frozen=True, slots=True)
class Known:
    """An attempt, with the firing that made it and the event of that, None for a person's own call."""

    intent: Intent
    firing: Firing
    event: Event | None

    @property
    def goes_on(self) -> bool:
        """Whether its firing waits for what is said of this attempt."""
        waits = self.firing.state == "needs_decision" and self.event is not None
        return waits and self.firing.cursor in (self.intent.n, self.intent.n + 1)


def known(tx: Snapshot, action_id: str) -> Known | None:
    """The attempt of that id, or None."""
    row = tx.one("get_step", action_id=action_id)
    firing = journal.firing_of(tx, row["firing_id"]) if row else None
    if row is None or firing is None:
        return None
    return Known(journal.intents([row])[0], firing, journal.event_of(tx, firing.event_id))


def resolve(tx: Tx, action_id: str, answer: Answer, by: str, reason: str) -> Known | None:
    """Close a write of unknown fate as `by` says, and let its firing go on, try again, or end.

    Gives the attempt as it is now with the firing, which is open again where it goes on; None when the write is not of
    unknown fate, or not any more: of several who decide, one does.
    """
    found = known(tx, action_id)
    if found is None:
        return None
    state, outcome = _STATES[answer]
    words = f"{by} decided: {_SAID[answer]}" + (f": {reason}" if reason else "")
    said = {"answer": answer, "by": by, "reason": reason}
    changed = tx.run(
        "resolve_step",
        action_id=action_id,
        state=state,
        outcome=outcome,
        result=to_text({"reason": words, "decided": said}),
        verify_until=to_micros(_verify_until(tx, found) if answer == "done" else None),
        now=to_micros(tx.now),
    )
    if not changed:
        return None
    breakers.answered(tx, action_id, state, {})
    note(tx, "action.resolved", found.firing.id, action=action_id, before=found.intent.probe, **said)
    _settle_firing(tx, found, answer, words)
    return known(tx, action_id)


def _verify_until(tx: Tx, found: Known) -> datetime | None:
    """When the verification that the rule asks for gives up, counted from now."""
    steps = found.firing.plan.get("steps", ())
    within = steps[found.intent.n].get("verify_s") if found.goes_on else None
    return tx.now + timedelta(seconds=within) if within else None


def _settle_firing(tx: Tx, found: Known, answer: Answer, words: str) -> None:
    firing, ends = found.firing, {"done": "done", "absent": "failed", "abandon": "failed"}
    if firing.state != "needs_decision" or tx.one("later_steps", action_id=found.intent.action_id) != {"n": 0}:
        return
    if found.goes_on and answer != "abandon":
        kept = {name: each.to_json() for name, each in firing.results.items() if name != found.intent.step_id}
        tx.run("reopen_firing", id=firing.id, reason=words, cursor=found.intent.n, ctx=to_text(kept))
        note(tx, "firing.reopened", firing.id, reason=words)
        return
    state: FiringState = ends[answer]  # type: ignore[assignment]
    reason = f"step {found.intent.step_id}: {words}"
    tx.run("conclude_firing", id=firing.id, state=state, reason=reason, now=to_micros(tx.now))
    note(tx, "firing.ended", firing.id, state=state, reason=reason)


def told(found: Known) -> JsonObject:
    """`{id, firing_id, rule, step, api, target, project, outcome, reason, firing}`: the attempt for people, `firing`
    being the state of what made it.
    """
    intent = found.intent
    result = intent.result
    return {
        "id": intent.action_id,
        "firing_id": intent.firing_id,
        "rule": found.firing.rule,
        "step": intent.kind,
        "api": intent.api,
        "target": "" if intent.target_kind == "api" else intent.target_id,
        "project": intent.project_id,
        "outcome": intent.outcome or intent.state,
        "reason": str(result.get("reason") or result.get("verify") or result.get("settled") or ""),
        "firing": found.firing.state,
    }
