"""`phinops call`: one call of a person's own, through the same limiter, ledger and journal as everything else."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from phinops.catalog.catalog import ApiSpec, Edition, load_catalog
from phinops.catalog.check import problems_of
from phinops.catalog.quotas import allowed
from phinops.clock import Clock
from phinops.errors import Ambiguous, ApiError
from phinops.event import JsonObject
from phinops.execute.guard import write_guard
from phinops.execute.priority import Priority
from phinops.firing import Ask, Firing, Intent, Outcome
from phinops.record import journal
from phinops.record.book import Book
from phinops.record.sqlite import Store
from phinops.record.tx import Tx
from phinops.tenant import Common, Serving

OPERATOR = "operator"
"""The name under which a person's own calls stand in the journal, in the place of a rule."""


class OperatorCalls:
    """Makes the calls of persons. Their writes are unverifiable: one whose answer is lost stays unknown."""

    def __init__(self, store: Store, book: Book, clock: Clock, common: Common) -> None:
        self._store = store
        self._book = book
        self._clock = clock
        self._common = common

    async def call(self, serving: Serving, api: str, params: JsonObject, wait: timedelta) -> JsonObject:
        """The service's own reply.

        Raises:
            ValueError: the API or a parameter is unknown or wrong, or the edition does not have the API.
            QuotaSpent: its turn did not come within `wait`, or the day has none left.
            ApiError: as its class says.
        """
        spec = load_catalog().require(api)
        _check(spec, params, serving.config.edition)
        deadline = self._clock.monotonic() + wait.total_seconds()
        if spec.reads:
            reply = await serving.client.read(api, params, priority=Priority.OPERATOR, deadline=deadline)
            return dict(reply.body)
        return await self._write(serving, api, params, deadline)

    async def _write(self, serving: Serving, api: str, params: JsonObject, deadline: float) -> JsonObject:
        firing, intent = _rows(serving.config.name, api, params)
        refused: list[str] = []

        async def prepare() -> Mapping[str, Any] | None:
            def op(tx: Tx) -> None:
                journal.put_firing(tx, firing)

            await self._store.write(op)
            guard = write_guard(self._common.ceiling, {})
            refused.extend(await self._book.intend([Ask(intent, OPERATOR, None)], guard))
            return None if refused[0] else params

        try:
            reply = await serving.client.write(api, prepare, priority=Priority.OPERATOR, deadline=deadline)
        except Ambiguous as error:
            await self._close(intent, firing, "unknown", error)
            raise
        except ApiError as error:
            await self._close(intent, firing, "failed", error)
            raise
        if reply is None:
            await self._book.end(firing, "failed", refused[0])
            raise ValueError(refused[0])
        await self._book.settle(intent.action_id, "done", "accepted", result={}, request_id=reply.request_id)
        await self._book.end(firing, "done", "")
        return dict(reply.body)

    async def _close(self, intent: Intent, firing: Firing, state: str, error: ApiError) -> None:
        outcome: Outcome = "unknown" if state == "unknown" else "refused"
        result = {"reason": str(error)}
        await self._book.settle(intent.action_id, state, outcome, result=result, request_id=error.request_id)
        await self._book.end(firing, "needs_decision" if state == "unknown" else "failed", str(error))


def _check(spec: ApiSpec, params: JsonObject, edition: Edition) -> None:
    if not allowed(spec, edition):
        raise ValueError(f"{spec.name} needs the {spec.edition} edition; this tenant's is {edition}")
    problems = problems_of(spec, params)
    if problems:
        raise ValueError("; ".join(f"{'.'.join(map(str, each.path))}: {each.message}" for each in problems))


def _rows(tenant: str, api: str, params: JsonObject) -> tuple[Firing, Intent]:
    firing = Firing(
        id=f"fi_{uuid.uuid4().hex[:20]}",
        event_id="",
        tenant=tenant,
        rule=OPERATOR,
        rule_hash="",
        mode="armed",
        key="",
        plan={"steps": []},
        state="running",
    )
    intent = Intent(
        action_id=f"act_{uuid.uuid4().hex[:20]}",
        firing_id=firing.id,
        n=0,
        step_id="call",
        attempt=1,
        kind="call",
        api=api,
        tenant=tenant,
        target_kind="api",
        target_id="",
        project_id="",
        request={"params": params, "batch": ""},
        probe={},
    )
    return firing, intent
