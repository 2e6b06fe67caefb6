"""Actions that are taken back, and what tells whether one still can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from phinops.firing import Aftermath
from phinops.record.audit import note
from phinops.record.journal import action_of, intents
from phinops.record.tx import Snapshot, Tx

What = Literal["lease", "undo"]


@dataclass(frozen=True, slots=True)
class Reversal:
    """That a firing was to take an action back. `by_action` is its newest attempt, "" before there is one; `state` is
    that of the attempt.
    """

    firing_id: str
    what: What
    over: bool
    by_action: str = ""
    state: str = ""

    @property
    def done(self) -> bool:
        """Whether it has taken the action back."""
        return self.state == "done"


def put_reversal(tx: Tx, firing_id: str, action_id: str, what: What, *, who: str = "", why: str = "") -> None:
    """Record that a firing takes an action back, and in the trail who wants that and why."""
    tx.run("put_reversal", firing_id=firing_id, action_id=action_id, what=what, who=who, why=why)
    name = "undo.asked" if what == "undo" else "lease.ended"
    note(tx, name, firing_id, action=action_id, by=who, reason=why)


def reversals_of(tx: Snapshot, action_id: str) -> Sequence[Reversal]:
    """What was to take the action back, oldest first."""
    return [
        Reversal(row["firing_id"], row["what"], row["ended_at"] is not None, row["by_action"] or "", row["state"] or "")
        for row in tx.all("reversals_of", action_id=action_id)
    ]


def aftermath(tx: Snapshot, action_id: str, besides: str = "") -> Aftermath | None:
    """An action with what followed, but for what the firing `besides` did; None when it is not on record."""
    action = action_of(tx, action_id)
    if action is None:
        return None
    later = intents(tx.all("writes_after", action_id=action_id, besides=besides))
    sends = tx.one("sends_since", action_id=action_id)
    return Aftermath(action, later, sends["n"] if sends else 1)
