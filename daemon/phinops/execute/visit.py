"""Carries out `http`: what only reads is asked for, anything else leaves once, with its intent recorded before."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace

import anyio
import structlog

from phinops.event import JsonObject
from phinops.execute.brake import Brake
from phinops.execute.desk import Alarm, held_back
from phinops.execute.guard import Rails, write_guard
from phinops.execute.journal import Journal
from phinops.execute.steps.bare import bare_write
from phinops.execute.steps.http import HttpParams, Request, request_of
from phinops.execute.steps.kind import Write
from phinops.execute.walk import Walk, recorded, result_of
from phinops.execute.web import Lost, NotSent, Reply, Web
from phinops.firing import Ask, Intent, Objection, Outcome, StepResult
from phinops.masking import SECRET

log = structlog.get_logger(__name__)

SHOWN = 500
"""Characters of an answer's body that a step's reason has."""

_SECRET = re.compile(rf'("[^"]*(?:{SECRET})[^"]*"\s*:\s*)"[^"]*"?', re.IGNORECASE)
"""A text of a JSON answer whose name says that it is to be kept from people."""

_CUT_OFF = "phinops stopped before the answer came: whether the request arrived is not known"


class Visits:
    """The step `http`. `alarm` hears, with the tenant, when the guard of writes refuses a request."""

    def __init__(
        self,
        journal: Journal,
        web: Web,
        rails: Rails,
        brake: Brake,
        alarm: Callable[[str, Alarm], Awaitable[object]],
    ) -> None:
        self._journal = journal
        self._web = web
        self._rails = rails
        self._brake = brake
        self._alarm = alarm

    async def do(self, walk: Walk, params: HttpParams, attempt: int) -> StepResult:
        request = request_of(params)
        write = bare_write("http", params, request.target)
        if not walk.step.writes(params):
            return await self._read(walk, write, request, attempt)
        walk.hold_to(write)
        if walk.firing.mode == "shadow":
            return await recorded(self._journal, walk.row(attempt, write, outcome="shadow"))
        return await self._write(walk, write, request, attempt)

    async def take_up(self, walk: Walk, earlier: Intent) -> StepResult:
        """What had left when its sender died may have arrived: it is not sent again."""
        if earlier.state != "intent":
            return result_of(earlier)
        return await self._close(earlier, "unknown", "unknown", {"reason": _CUT_OFF})

    async def _read(self, walk: Walk, write: Write, request: Request, attempt: int) -> StepResult:
        try:
            with walk.stop.safe():
                reply = await self._web.send(request)
            outcome, result = _judged(reply)
        except (NotSent, Lost) as error:
            outcome, result = "refused", {"reason": str(error)}
        state = "done" if outcome == "accepted" else "failed"
        row = replace(walk.row(attempt, write, outcome=outcome, state=state), kind="read", result=result)
        return await recorded(self._journal, row)

    async def _write(self, walk: Walk, write: Write, request: Request, attempt: int) -> StepResult:
        intent = walk.row(attempt, write, state="intent")
        objection = await self._intend(walk, intent)
        if objection is not None:
            log.warning("action.held", action=intent.action_id, reason=objection.reason)
            for alarm in held_back([objection]):
                await self._alarm(intent.tenant, alarm)
            return StepResult("refused", objection.reason, intent.action_id)
        # A stop waits for the answer, as long as one may take: what was cut off here would stay unknown.
        with anyio.CancelScope(shield=True):
            result = await self._send(intent, request)
        return result  # noqa: RET504 - the scope is one that may swallow, as far as types tell

    async def _intend(self, walk: Walk, intent: Intent) -> Objection | None:
        """Commit the intent as soon as writes may leave at all; why it must not leave, or None."""
        while True:
            await self._brake.clear(walk, lambda why: self._journal.move(walk.firing.id, "running", why))
            (objection,) = await self._journal.intend([Ask(intent, walk.firing.rule)], write_guard(self._rails))
            if objection is None or not objection.passing:
                return objection

    async def _send(self, intent: Intent, request: Request) -> StepResult:
        try:
            outcome, result = _judged(await self._web.send(request))
        except NotSent as error:
            outcome, result = "refused", {"reason": str(error)}
        except Lost as error:
            return await self._close(intent, "unknown", "unknown", {"reason": f"{error}: it may have arrived"})
        return await self._close(intent, "done" if outcome == "accepted" else "failed", outcome, result)

    async def _close(self, intent: Intent, state: str, outcome: Outcome, result: JsonObject) -> StepResult:
        await self._journal.settle(intent.action_id, state, outcome, result=result)
        return StepResult(outcome, str(result["reason"]), intent.action_id)


def _judged(reply: Reply) -> tuple[Outcome, JsonObject]:
    """What an answer comes to, and what is kept of it."""
    body = _SECRET.sub(r'\1"***"', reply.body.decode(errors="replace"))
    shown = " ".join(body.split())[:SHOWN]
    hint = ", and redirects are not followed" if 300 <= reply.status < 400 else ""
    reason = f"HTTP {reply.status}{hint}" + (f": {shown}" if shown else "")
    outcome: Outcome = "accepted" if 200 <= reply.status < 300 else "refused"
    return outcome, {"status": reply.status, "body": body, "reason": reason}
