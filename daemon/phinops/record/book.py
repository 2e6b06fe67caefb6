"""The journal as those who act see it: each method is one committed transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from phinops.approval import Approval
from phinops.errors import StoreUnwritable
from phinops.event import Event, JsonObject
from phinops.firing import (
    Aftermath,
    Ask,
    Firing,
    FiringState,
    Guard,
    Intent,
    Notice,
    Objection,
    Outcome,
    Pause,
    StepResult,
    WriteFacts,
)
from phinops.record import approvals, breakers, history, journal, leases, looks, pausing, reversals
from phinops.record.breakers import Failed
from phinops.record.sqlite import Store
from phinops.record.tx import Tx

_HOUR = timedelta(hours=1)


class Book:
    """The journal of one store.

    `noticed` is told when the outbox has something new, `failed` of writes that Dataphin refused or that were not done;
    `unrecorded` gets the notices that the outbox could not take, for people are told all the same.
    """

    def __init__(
        self,
        store: Store,
        noticed: Callable[[], None] = lambda: None,
        failed: Callable[[Failed], None] = lambda _: None,
        unrecorded: Callable[[Sequence[Notice]], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._noticed = noticed
        self._failed = failed
        self._unrecorded = unrecorded
        self._leased: Callable[[], None] = lambda: None

    def on_lease(self, leased: Callable[[], None]) -> None:
        """Have `leased` told of every lease that is taken or made longer."""
        self._leased = leased

    async def start(self, firing_id: str) -> None:
        await self._store.write(lambda tx: journal.start(tx, firing_id))

    async def move(self, firing_id: str, state: FiringState, reason: str, wake_at: datetime | None = None) -> None:
        await self._store.write(lambda tx: journal.move(tx, firing_id, state, reason, wake_at))

    async def advance(self, firing_id: str, cursor: int, results: Mapping[str, StepResult]) -> None:
        await self._store.write(lambda tx: journal.advance(tx, firing_id, cursor, results))

    async def put_step(self, step: Intent, notices: Sequence[Notice] = ()) -> None:
        def put(tx: Tx) -> None:
            journal.put_step(tx, step)
            if step.state == "skipped":
                leases.found_paused(tx, step)

        try:
            await self._put(put, step, notices)
        except StoreUnwritable:
            self._unrecorded(notices)
            raise
        if step.state == "skipped":
            self._leased()

    async def _put(self, put: Callable[[Tx], None], step: Intent, notices: Sequence[Notice]) -> None:
        def op(tx: Tx) -> None:
            put(tx)
            for notice in notices:
                journal.put_notice(tx, notice.id, step.firing_id, step.n, notice.notifier, notice.payload)

        await self._store.write(op)
        if notices:
            self._noticed()

    async def open_wait(self, step: Intent) -> None:
        await self._store.write(lambda tx: journal.open_wait(tx, step))

    async def close_wait(self, action_id: str, outcome: Outcome, reason: str, now: Event | None) -> None:
        await self._store.write(lambda tx: journal.close_wait(tx, action_id, outcome, reason, now))

    async def ask_people(self, step: Intent, approval: Approval, notices: Sequence[Notice], now: Event | None) -> None:
        def put(tx: Tx) -> None:
            journal.open_wait(tx, step)
            approvals.put_approval(tx, approval)
            if now is not None:
                journal.keep_now(tx, step.firing_id, now)

        await self._put(put, step, notices)

    async def approval(self, approval_id: str) -> Approval | None:
        return await self._store.read(lambda tx: approvals.approval_of(tx, approval_id))

    async def approval_at(self, firing_id: str, n: int) -> Approval | None:
        return await self._store.read(lambda tx: approvals.approval_at(tx, firing_id, n))

    async def expire(self, approval_id: str) -> bool:
        return await self._store.write(lambda tx: approvals.expire(tx, approval_id))

    async def close_approval(self, approval: Approval, outcome: Outcome, reason: str) -> None:
        def op(tx: Tx) -> None:
            journal.close_wait(tx, approval.action_id, outcome, reason, None)
            approvals.settle(tx, approval.id, outcome, reason)

        await self._store.write(op)

    async def intend(self, asks: Sequence[Ask], guard: Guard) -> Sequence[Objection | None]:
        found = await self._store.write(lambda tx: intend(tx, asks, guard))
        if any(ask.intent.request.get("lease_s") is not None for ask in asks):
            self._leased()
        return found

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
        def op(tx: Tx) -> tuple[bool, tuple[Failed, ...]]:
            closed = journal.settle(
                tx, action_id, state, outcome, result=result, request_id=request_id, verify_until=verify_until
            )
            if closed and look_at:
                looks.put_look(tx, action_id, look_at)
            return closed, tuple(breakers.failed_by(tx, action_id)) if closed else ()

        closed, failed = await self._store.write(op)
        for each in failed:
            self._failed(each)
        return closed

    async def judge(self, action_id: str, outcome: Outcome, reason: str, saw: JsonObject | None = None) -> None:
        await self._store.write(lambda tx: journal.judge(tx, action_id, outcome, reason, saw))

    async def writes_on(self, tenant: str, target_id: str, since: datetime) -> Sequence[Intent]:
        return await self._store.read(lambda tx: history.writes_on(tx, tenant, target_id, since))

    async def last_step(self, firing_id: str, n: int) -> Intent | None:
        return await self._store.read(lambda tx: journal.last_step(tx, firing_id, n))

    async def tries_of(self, firing_id: str, n: int) -> Sequence[str]:
        return await self._store.read(lambda tx: journal.tries_of(tx, firing_id, n))

    async def aftermath(self, action_id: str, besides: str) -> Aftermath | None:
        return await self._store.read(lambda tx: reversals.aftermath(tx, action_id, besides))

    async def firing(self, firing_id: str) -> Firing | None:
        return await self._store.read(lambda tx: journal.firing_of(tx, firing_id))


def intend(tx: Tx, asks: Sequence[Ask], guard: Guard) -> Sequence[Objection | None]:
    """Commit the intents that the guard lets leave, and record those that it refuses for good."""
    writes = history.writes_since(tx, tx.now - _HOUR)
    pause = pausing.pause_of(tx)
    objections = guard([(ask, _facts(tx, ask, writes, pause)) for ask in asks])
    for ask, objection in zip(asks, objections, strict=True):
        if objection is None:
            journal.intend(tx, ask.intent)
            breakers.asked(tx, ask.intent, ask.rule)
            leases.take(tx, ask.intent)
        elif not objection.passing:
            result = {"reason": objection.reason}
            journal.put_step(tx, replace(ask.intent, state="failed", outcome="refused", result=result))
    return objections


def _facts(tx: Tx, ask: Ask, writes: int, pause: Pause | None) -> WriteFacts:
    limit = ask.targets
    unsettled, settling = history.unsettled_on(tx, ask.intent) or (None, False)
    return WriteFacts(
        writes_last_hour=writes,
        targets=history.targets_since(tx, ask.rule, tx.now - limit.within) if limit else frozenset(),
        unsettled=unsettled,
        settling=settling,
        now=tx.now,
        pause=pause,
        of_rule=breakers.tally_of_rule(tx, ask.intent.tenant, ask.rule),
        of_target=breakers.tally_of_target(tx, ask.intent),
    )
