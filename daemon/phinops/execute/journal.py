"""What carrying out needs of the journal; the record side offers it, and an in-memory store is its fake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from phinops.approval import Approval
from phinops.event import Event, JsonObject
from phinops.firing import Aftermath, Ask, Firing, FiringState, Guard, Intent, Notice, Objection, Outcome, StepResult


class Journal(Protocol):
    """Every method is one committed transaction when it returns.

    Raises:
        StoreError: the store cannot be written; nothing was recorded, so nothing may be sent.
    """

    async def start(self, firing_id: str) -> None:
        """The firing runs; the moment when it first began stays."""
        ...

    async def move(self, firing_id: str, state: FiringState, reason: str, wake_at: datetime | None = None) -> None:
        """Put an open firing into another open state, with the reason that people read."""
        ...

    async def advance(self, firing_id: str, cursor: int, results: Mapping[str, StepResult]) -> None:
        """Step `cursor - 1` is over: keep all results so far, and go on with step `cursor`."""
        ...

    async def put_step(self, step: Intent, notices: Sequence[Notice] = ()) -> None:
        """Record a step that leaves nothing open, together with the notices that it sends."""
        ...

    async def open_wait(self, step: Intent) -> None:
        """Record that a step begins to wait, until its `verify_until` at the latest."""
        ...

    async def close_wait(self, action_id: str, outcome: Outcome, reason: str, now: Event | None) -> None:
        """The wait is over, and the steps that follow see the event `now`; None leaves it as it was."""
        ...

    async def ask_people(self, step: Intent, approval: Approval, notices: Sequence[Notice], now: Event | None) -> None:
        """Record a step that waits for people, what they are asked, and the notices that ask them; later steps see the
        event `now`, unless it is None.
        """
        ...

    async def approval(self, approval_id: str) -> Approval | None:
        """The question to people as it stands now."""
        ...

    async def approval_at(self, firing_id: str, n: int) -> Approval | None:
        """What people were asked at step `n` of a firing, or None."""
        ...

    async def expire(self, approval_id: str) -> bool:
        """Nobody may answer any more; False when somebody had in time."""
        ...

    async def close_approval(self, approval: Approval, outcome: Outcome, reason: str) -> None:
        """The step that asked is over: what the answer came to."""
        ...

    async def intend(self, asks: Sequence[Ask], guard: Guard) -> Sequence[Objection | None]:
        """Commit the intents that the guard lets leave, and record those that it refuses for good."""
        ...

    async def settle(
        self,
        action_id: str,
        state: str,
        outcome: Outcome | None,
        *,
        result: JsonObject,
        request_id: str = "",
        verify_until: datetime | None = None,
        look_at: datetime | None = None,
    ) -> bool:
        """Close an open intent; False when somebody closed it before, and then nothing has changed.

        At `look_at` its target is read once more, to see how often it was done.
        """
        ...

    async def judge(self, action_id: str, outcome: Outcome, reason: str, saw: JsonObject | None = None) -> None:
        """Record what verifying a done write found, and what was last read of its target."""
        ...

    async def writes_on(self, tenant: str, target_id: str, since: datetime) -> Sequence[Intent]:
        """The newest writes on the target since then that were done or may have been, newest first."""
        ...

    async def aftermath(self, action_id: str, besides: str) -> Aftermath | None:
        """An action with what followed, but for what the firing `besides` did; None when it is not on record."""
        ...

    async def last_step(self, firing_id: str, n: int) -> Intent | None:
        """The newest attempt at step `n` of a firing, or None."""
        ...

    async def tries_of(self, firing_id: str, n: int) -> Sequence[str]:
        """How each try of step `n` ended that came to no good: refused, failed or timed_out, oldest first."""
        ...

    async def firing(self, firing_id: str) -> Firing | None:
        """The firing as it stands now."""
        ...
