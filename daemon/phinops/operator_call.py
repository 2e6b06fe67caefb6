"""`phinops call`: one call of a person's own, through the same limiter, ledger and journal as everything else."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import anyio
import structlog

from phinops.catalog.catalog import ApiSpec, Edition, load_catalog
from phinops.catalog.check import problems_of
from phinops.catalog.quotas import allowed
from phinops.errors import Ambiguous, ApiError, QuotaSpent, StoreError, StoreLost, Transient
from phinops.event import Event, JsonObject
from phinops.execute.guard import write_guard
from phinops.execute.priority import Priority
from phinops.execute.steps.call import CALL
from phinops.execute.steps.kind import Write, checked
from phinops.firing import Ask, Firing, Intent, Objection, Outcome
from phinops.record import journal
from phinops.record.audit import note
from phinops.record.book import intend
from phinops.record.sqlite import Store
from phinops.record.tx import Tx
from phinops.spending import Spender, spending
from phinops.tenant import Common, Serving

log = structlog.get_logger(__name__)

OPERATOR = "operator"
"""The name under which a person's own calls stand in the journal, in the place of a rule."""

_TRY_AGAIN = 5.0
"""Seconds until what could not be recorded is tried again."""


@dataclass(frozen=True, slots=True)
class _Asker:
    """Who asks, whether for what is protected too, and until when on the clock's monotonic seconds."""

    by: str
    override: bool
    deadline: float


@dataclass(slots=True, eq=False)
class _Job:
    """One write of a person. `intended`: its intent is recorded, so that what becomes of it must be as well."""

    serving: Serving
    params: JsonObject
    asker: _Asker
    firing: Firing
    intent: Intent
    ask: Ask
    intended: bool = False
    unwanted: bool = False
    objection: Objection | None = None
    reply: JsonObject = field(default_factory=dict)
    error: Exception | None = None
    done: anyio.Event = field(default_factory=anyio.Event)


class OperatorCalls:
    """Makes the calls of persons. Their writes are unverifiable: one whose answer is lost stays unknown.

    A write is a task of its own: once it has left, its outcome is recorded whether or not the person still waits.
    """

    def __init__(self, store: Store, common: Common) -> None:
        self._store = store
        self._common = common
        self._clock = common.clock
        self._flying = 0
        self._landed = anyio.Event()
        self._closed = False

    async def call(
        self,
        serving: Serving,
        api: str,
        params: JsonObject,
        wait: timedelta,
        *,
        override: bool = False,
        by: str = OPERATOR,
    ) -> JsonObject:
        """The service's own reply. With `override` also what is protected may be written to; `by` is who asks.

        Raises:
            ValueError: the API or a parameter is unknown or wrong, the edition does not have the API, or a guard of
                writes refuses it.
            QuotaSpent: its turn did not come within `wait`, or the day has none left.
            ApiError: as its class says.
            StoreError: it could not be recorded, and was not sent.
        """
        spec = load_catalog().require(api)
        _check(spec, params, serving.config.edition)
        with spending(Spender(OPERATOR)):
            deadline = self._clock.monotonic() + wait.total_seconds()
            if spec.reads:
                reply = await serving.client.read(spec.name, params, priority=Priority.OPERATOR, deadline=deadline)
                return dict(reply.body)
            return await self._write(serving, spec, params, _Asker(by, override, deadline))

    async def _write(self, serving: Serving, spec: ApiSpec, params: JsonObject, asker: _Asker) -> JsonObject:
        write = await self._write_of(serving, spec.name, params)
        firing, intent = _rows(serving.config.name, write, params)
        identity = None if asker.override else await serving.desk.identity_of(write)
        ask = Ask(intent, OPERATOR, person=True, identity=identity, override=asker.override)
        job = _Job(serving, params, asker, firing, intent, ask)
        self._common.group.start_soon(self._carry, job)
        try:
            await job.done.wait()
        finally:
            job.unwanted = True
        if job.error:
            raise job.error
        return job.reply

    async def drain(self) -> None:
        """Let nothing more leave, and wait until what has left is answered and recorded."""
        self._closed = True
        while self._flying:
            self._landed = anyio.Event()
            await self._landed.wait()

    async def _write_of(self, serving: Serving, api: str, params: JsonObject) -> Write:
        """What is changed: another write of unknown outcome on the same target holds it back."""
        now = self._clock.now().astimezone(self._common.zone)
        nobody = Event(id="", type="", time=now, tenant=serving.config.name, source=OPERATOR)
        given = {name: value for name, value in params.items() if name != "OpTenantId"}
        return await CALL.write(checked(CALL, {"call": api, "with": given}), nobody, serving.hands.look)

    async def _carry(self, job: _Job) -> None:
        self._flying += 1
        try:
            await self._send(job)
        except Exception as error:
            if not isinstance(error, (ApiError, QuotaSpent, StoreError, ValueError)):
                log.exception("call.broken", api=job.intent.api)
            job.error = error
        finally:
            job.done.set()
            self._flying -= 1
            self._landed.set()

    async def _send(self, job: _Job) -> None:
        client = job.serving.client
        try:
            reply = await client.write(
                job.intent.api, lambda: self._prepare(job), priority=Priority.OPERATOR, deadline=job.asker.deadline
            )
        except Ambiguous as error:
            await self._record(job, "unknown", "unknown", str(error), error.request_id)
            raise
        except (ApiError, QuotaSpent, StoreError) as error:
            await self._record(job, "failed", "refused", str(error), getattr(error, "request_id", ""))
            raise
        if reply is None:
            if job.objection:
                raise ValueError(job.objection.reason)
            raise Transient(job.intent.api, "phinops.Stopping", "the daemon is stopping; nothing was sent")
        job.serving.desk.open(job.intent.api)
        job.reply = dict(reply.body)
        answer = CALL.items(reply.body, [job.intent.target_id])[job.intent.target_id]
        if answer.ok:
            await self._record(job, "done", "accepted", "", reply.request_id)
        else:
            await self._record(job, "failed", "refused", answer.message, reply.request_id)

    async def _prepare(self, job: _Job) -> Mapping[str, Any] | None:
        if self._closed or job.unwanted:
            return None
        guard = write_guard(self._common.rails)

        def op(tx: Tx) -> Objection | None:
            journal.put_firing(tx, job.firing)
            note(tx, "call.asked", job.firing.id, action=job.intent.action_id, by=job.asker.by)
            (objection,) = intend(tx, [job.ask], guard)
            if objection:
                journal.end(tx, job.firing.id, "failed", objection.reason)
            return objection

        job.objection = await self._store.write(op)
        job.intended = job.objection is None
        return job.params if job.intended else None

    async def _record(self, job: _Job, state: str, outcome: Outcome, reason: str, request_id: str) -> None:
        """Close the intent and the firing; a store that fails is tried again while the person has the answer."""
        if not job.intended:
            return

        def op(tx: Tx) -> None:
            result = {"reason": reason} if reason else {}
            journal.settle(tx, job.intent.action_id, state, outcome, result=result, request_id=request_id)
            ended = {"done": "done", "failed": "failed", "unknown": "needs_decision"}
            journal.end(tx, job.firing.id, ended[state], reason)  # type: ignore[arg-type]

        try:
            await self._store.write(op)
        except StoreLost:
            raise
        except StoreError as error:
            log.error("call.unrecorded", api=job.intent.api, action=job.intent.action_id, reason=str(error))
            self._common.group.start_soon(self._record_later, op)

    async def _record_later(self, op: Any) -> None:
        self._flying += 1
        try:
            while True:
                await self._clock.sleep(_TRY_AGAIN)
                try:
                    await self._store.write(op)
                except StoreError as error:
                    log.warning("call.unrecorded", reason=str(error))
                else:
                    return
        finally:
            self._flying -= 1
            self._landed.set()


def _check(spec: ApiSpec, params: JsonObject, edition: Edition) -> None:
    if not allowed(spec, edition):
        raise ValueError(f"{spec.name} needs the {spec.edition} edition; this tenant's is {edition}")
    problems = problems_of(spec, params)
    if problems:
        raise ValueError("; ".join(f"{'.'.join(map(str, each.path))}: {each.message}" for each in problems))


def _rows(tenant: str, write: Write, params: JsonObject) -> tuple[Firing, Intent]:
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
        api=write.api,
        tenant=tenant,
        target_kind=write.target.kind,
        target_id=write.target.id,
        project_id=write.target.project_id,
        request={"params": params, "batch": ""},
        probe={},
    )
    return firing, intent
