"""The journal as those who act see it: each method is one committed transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from phinops.event import JsonObject
from phinops.firing import Ask, Firing, FiringState, Guard, Intent, Notice, Outcome, StepResult, WriteFacts
from phinops.record import journal
from phinops.record.sqlite import Store
from phinops.record.tx import Tx

_HOUR = timedelta(hours=1)


class Book:
    """The journal of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def start(self, firing_id: str) -> None:
        await self._store.write(lambda tx: journal.start(tx, firing_id))

    async def move(self, firing_id: str, state: FiringState, reason: str, wake_at: datetime | None = None) -> None:
        await self._store.write(lambda tx: journal.move(tx, firing_id, state, reason, wake_at))

    async def advance(self, firing_id: str, cursor: int, results: Mapping[str, StepResult]) -> None:
        await self._store.write(lambda tx: journal.advance(tx, firing_id, cursor, results))

    async def end(self, firing: Firing, state: FiringState, reason: str) -> None:
        await self._store.write(lambda tx: journal.end(tx, firing.id, state, reason))

    async def put_step(self, step: Intent, notices: Sequence[Notice] = ()) -> None:
        def op(tx: Tx) -> None:
            journal.put_step(tx, step)
            for notice in notices:
                journal.put_notice(tx, notice.id, step.firing_id, step.n, notice.notifier, notice.payload)

        await self._store.write(op)

    async def intend(self, asks: Sequence[Ask], guard: Guard) -> Sequence[str]:
        """Commit the intents that the guard lets leave; one reason for each, "" where it was committed."""

        def op(tx: Tx) -> Sequence[str]:
            reasons = guard([(ask, _facts(tx, ask)) for ask in asks])
            for ask, reason in zip(asks, reasons, strict=True):
                if not reason:
                    journal.intend(tx, ask.intent)
            return reasons

        return await self._store.write(op)

    async def settle(
        self,
        action_id: str,
        state: str,
        outcome: Outcome | None,
        *,
        result: JsonObject,
        request_id: str = "",
        verify_until: datetime | None = None,
    ) -> bool:
        return await self._store.write(
            lambda tx: journal.settle(
                tx, action_id, state, outcome, result=result, request_id=request_id, verify_until=verify_until
            )
        )

    async def judge(self, action_id: str, outcome: Outcome, reason: str) -> None:
        await self._store.write(lambda tx: journal.judge(tx, action_id, outcome, reason))

    async def last_step(self, firing_id: str, n: int) -> Intent | None:
        return await self._store.read(lambda tx: journal.last_step(tx, firing_id, n))


def _facts(tx: Tx, ask: Ask) -> WriteFacts:
    since = tx.now - ask.targets_within if ask.targets_within else None
    targets = journal.targets_since(tx, ask.rule, since) if since else set()
    return WriteFacts(
        writes_last_hour=journal.writes_since(tx, tx.now - _HOUR),
        targets=frozenset(targets),
        unsettled=journal.unsettled_on(tx, ask.intent),
    )
