"""What people are asked, and their answers: by command, over the API, or by a link of a notice."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Literal

import anyio
import structlog

from phinops.approval import Approval, Via
from phinops.clock import Clock
from phinops.event import JsonObject
from phinops.execute.asking import ASKED, answer_bell, outcome_bell
from phinops.execute.bells import Bells, rest
from phinops.record import approvals
from phinops.record.sqlite import Store
from phinops.record.tx import Tx

log = structlog.get_logger(__name__)

Said = Literal["approved", "denied"]

READ_WITHIN = 20.0
"""Seconds that an answer waits for what it comes to: the objects are read again first."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of an answer: the question as it is then, None where there is no such question, and why the answer
    comes to nothing, or "".
    """

    approval: Approval | None
    refusal: str = ""


class Answering:
    """The questions of one store, times told in `zone`. Every method raises StoreError when the store does not work.

    `bells` wake the firings that wait; where none runs, they find the answer when they are taken up.
    """

    def __init__(self, store: Store, bells: Bells, clock: Clock, zone: tzinfo) -> None:
        self._store = store
        self._bells = bells
        self._clock = clock
        self._zone = zone

    async def listed(self, limit: int, tenant: str = "") -> list[JsonObject]:
        """The newest questions, newest first, as `phinops approvals --json` prints them."""
        found = await self._store.read(lambda tx: approvals.approvals(tx, limit, tenant))
        return [self.told(each) for each in found]

    async def find(self, approval_id: str) -> Approval | None:
        """The question of that id."""
        return await self._store.read(lambda tx: approvals.approval_of(tx, approval_id))

    async def linked(self, approval_id: str, code: str) -> Approval | None:
        """The question that a link leads to; None where the link is not one of ours."""
        found = await self.find(approval_id)
        if found is None:
            return None
        known = await self._store.read(lambda tx: approvals.link_code(tx, found))
        return found if known and hmac.compare_digest(known.encode(), code.encode()) else None

    async def answer(
        self, approval_id: str, said: Said, *, by: str, via: Via, reason: str = "", wait: float = READ_WITHIN
    ) -> Answered:
        """Answer. The first answer in time counts; then `wait` at most until it is known what it comes to."""

        def op(tx: Tx) -> tuple[bool, Approval | None]:
            counts = approvals.answer(tx, approval_id, said, by=by, via=via, reason=reason)
            return counts, approvals.approval_of(tx, approval_id)

        counts, found = await self._store.write(op)
        if found is None:
            return Answered(None, f"there is no approval «{approval_id}»")
        if not counts:
            return Answered(found, f"approval {approval_id} cannot be answered any more: {self._became(found)}")
        log.info("approval.answered", approval=approval_id, answer=said, by=by, via=via)
        self._bells.ring(answer_bell(approval_id))
        found = await self._outcome(found, wait)
        return Answered(found, found.why if said == "approved" and found.outcome not in ("", "accepted") else "")

    async def agree(self, by: str) -> None:
        """Say yes to whatever is asked, until cancelled: where rules are only tried, and nobody is asked in truth."""
        with self._bells.hung(ASKED) as bell:
            while True:
                for each in await self.open():
                    await self.answer(each.id, "approved", by=by, via="api", wait=0.0)
                await bell.rung.wait()
                bell.rung = anyio.Event()

    async def open(self) -> list[Approval]:
        """The questions that wait for an answer, oldest first."""
        return await self._store.read(approvals.open_approvals)

    async def _outcome(self, approval: Approval, wait: float) -> Approval:
        """The question with what its answer came to, if that is known in time."""
        end = self._clock.monotonic() + wait
        with self._bells.hung(outcome_bell(approval.id)) as bell:
            while not (found := await self.find(approval.id) or approval).outcome:
                left = end - self._clock.monotonic()
                if left <= 0:
                    break
                await rest(self._clock, left, bell)
        return found

    def told(self, approval: Approval) -> JsonObject:
        """The question as the JSON object that commands and the API print."""
        shown = approval.shown.to_json()
        return {
            "id": approval.id,
            "time": self._text(approval.asked_at),
            "expires": self._text(approval.expires_at),
            "tenant": approval.tenant,
            "rule": approval.rule,
            "step": approval.step_id,
            "firing_id": approval.firing_id,
            "message": approval.message,
            "calls": [
                {**document, "text": str(each)}
                for each, document in zip(approval.shown.calls, shown["calls"], strict=True)
            ],
            "objects": [
                {**each.in_zone(self._zone).to_json(), "text": str(each.in_zone(self._zone))}
                for each in approval.shown.standings
            ],
            "answer": approval.answer,
            "by": approval.by,
            "via": approval.via,
            "reason": approval.reason,
            "answered_at": self._text(approval.answered_at) if approval.answered_at else None,
            "outcome": approval.outcome,
            "why": approval.why,
            "state": self._became(approval),
        }

    def _became(self, approval: Approval) -> str:
        return approval.became(self._zone, self._clock.now())

    def _text(self, moment: datetime) -> str:
        return moment.astimezone(self._zone).isoformat()
