"""Whether a step may do what it does, by what people said who were asked before it.

The approval that counts for a step is the nearest before it that was asked. Where that one was not given, nothing that
changes anything is done any more, whatever `on_error` says; people may still be told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from phinops.approval import Approval, ShownCall, digest_of
from phinops.durations import format_duration
from phinops.execute.steps.kind import Step, Write
from phinops.firing import StepResult


@dataclass(frozen=True, slots=True)
class Leave:
    """What people said of one step: `refusal` is why it may do nothing, "" where it may do `call`, and only that."""

    refusal: str = ""
    call: ShownCall | None = None

    def objection(self, write: Write) -> str:
        """Why this write is not what people said yes to, or ""."""
        if self.refusal:
            return self.refusal
        if self.call is None:
            return "people were not shown this call when they were asked"
        shown = (self.call.api, self.call.target_kind, self.call.target_id, self.call.project_id, self.call.digest)
        target = write.target
        now = (write.api, target.kind, target.id, target.project_id, stamp(write))
        return "" if shown == now else f"it is not the call any more that people said yes to, which was {self.call}"


def stamp(write: Write) -> str:
    """What stands for all that a write says: alike for alike ones only."""
    return digest_of({"params": write.params, "lease": lease_text(write)})


def lease_text(write: Write) -> str:
    """After how long the write is taken back by itself, "" for never."""
    return format_duration(write.lease) if write.lease else ""


def asked_before(steps: Sequence[Mapping[str, Any]], results: Mapping[str, StepResult]) -> int | None:
    """The place of the last `approve` among the steps that are done which was not left out by its own `if`."""
    for n in reversed(range(len(steps))):
        found = results.get(steps[n]["id"])
        if steps[n]["kind"] == "approve" and not (found and found.outcome == "skipped"):
            return n
    return None


def leave_of(n: int, result: StepResult | None, approval: Approval | None) -> Leave:
    """What the approval says of step `n`: `result` is that of the step that asked."""
    if result is None or result.outcome != "accepted" or approval is None or approval.outcome != "accepted":
        why = f": {result.reason}" if result and result.reason else ""
        return Leave(f"nobody said yes to it{why}")
    return Leave(call=next((call for call in approval.shown.calls if call.n == n), None))


def does_something(step: Step, params: Any) -> bool:
    """Whether the step changes anything, be it only that it wakes other rules."""
    return step.writes(params) or step.name == "emit"
