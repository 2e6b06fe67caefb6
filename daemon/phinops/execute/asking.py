"""Carries out `approve`: people are asked, and the firing waits for the first answer, over restarts and reloads.

No answer in time is a no. A yes counts for what was shown: the objects are read again when it comes, and where one is
not as it was, the answer is void.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import structlog

from phinops.approval import Approval, Shown, changes
from phinops.clock import Clock
from phinops.durations import format_duration
from phinops.event import Event, JsonObject
from phinops.execute.bells import Bell, Bells, rest
from phinops.execute.journal import Journal
from phinops.execute.notify.note import note_payload
from phinops.execute.patience import patiently
from phinops.execute.steps.approve import ApproveParams
from phinops.execute.steps.kind import BadStep, Target, Write
from phinops.execute.viewing import Viewer
from phinops.execute.walk import Walk, recorded, result_of
from phinops.firing import Intent, Notice, Outcome, StepResult

log = structlog.get_logger(__name__)

T = TypeVar("T")


ASKED = ("approval",)
"""What goes by this name is what people are asked."""


def answer_bell(approval_id: str) -> tuple[str, ...]:
    """What goes by this name is whether a question was answered."""
    return "approval", approval_id


def outcome_bell(approval_id: str) -> tuple[str, ...]:
    """What goes by this name is what an answer came to."""
    return "approval", approval_id, "outcome"


class Asker:
    """The step `approve`. `everyone` are the notifiers of the config, for questions that name none."""

    def __init__(
        self, journal: Journal, viewer: Viewer, clock: Clock, bells: Bells, everyone: Callable[[], Sequence[str]]
    ) -> None:
        self._journal = journal
        self._viewer = viewer
        self._clock = clock
        self._bells = bells
        self._everyone = everyone

    async def do(self, walk: Walk, params: ApproveParams, attempt: int) -> StepResult:
        names = list(self._everyone() if params.to is None else params.to)
        span, title = params.span, f"{walk.firing.rule} asks for approval"
        said: JsonObject = {"title": title, "message": params.message, "severity": "warning", "expires": params.expires}
        write = Write("approve", "", Target("", ", ".join(names)), said)
        if walk.firing.mode == "shadow":
            return await recorded(self._journal, walk.row(attempt, write, outcome="shadow"))
        with walk.stop.safe():
            event, shown = await self._patiently(walk, lambda: self._viewer.show(walk), "what people are to be shown")
        now = self._clock.now()
        row = replace(walk.row(attempt, write, state="waiting"), t_intent=now, verify_until=now + span)
        approval = _approval(row, walk, shown)
        told = {**said, "message": asking_text(approval, event), "approval": approval.id}
        row = replace(row, request={**row.request, "params": told})
        payload = _payload(told, approval, event)
        notices = [Notice(f"msg_{uuid.uuid4().hex}", name, payload) for name in names]
        await self._journal.ask_people(row, approval, notices, event if event is not walk.scene.event else None)
        log.info("approval.asked", approval=approval.id, firing=walk.firing.id, expires=approval.expires_at.isoformat())
        self._bells.ring(ASKED)
        return await self._wait(replace(walk, scene=replace(walk.scene, event=event)), row)

    async def take_up(self, walk: Walk, earlier: Intent) -> StepResult:
        return await self._wait(walk, earlier) if earlier.state == "waiting" else result_of(earlier)

    async def _wait(self, walk: Walk, row: Intent) -> StepResult:
        approval = await self._known(row)
        end = approval.expires_at
        what = f"step {walk.planned.id} waits for approval {approval.id} until {end.isoformat()}"
        await self._journal.move(walk.firing.id, "running", what, end)
        with self._bells.hung(answer_bell(approval.id)) as bell, walk.stop.safe():
            approval = await self._answered(approval, row, bell)
            outcome, reason = await self._judge(walk, approval)
        await self._journal.close_approval(approval, outcome, reason)
        self._bells.ring(outcome_bell(approval.id))
        return StepResult(outcome, reason, row.action_id)

    async def _answered(self, approval: Approval, row: Intent, bell: Bell) -> Approval:
        """The question once it is answered, or its time is over."""
        while not approval.answer:
            left = (approval.expires_at - self._clock.now()).total_seconds()
            if left > 0:
                await rest(self._clock, left, bell)
            else:
                await self._journal.expire(approval.id)
            approval = await self._known(row)
        return approval

    async def _judge(self, walk: Walk, approval: Approval) -> tuple[Outcome, str]:
        """What the answer comes to, and why."""
        if approval.answer == "expired":
            span = format_duration(approval.expires_at - approval.asked_at)
            return "timed_out", f"nobody answered approval {approval.id} within {span}"
        who = f"{approval.answer} by {approval.by} ({approval.via})"
        said = f"{who}: {approval.reason}" if approval.reason else who
        if approval.answer != "approved":
            return "refused", said
        try:
            now = await self._patiently(walk, lambda: self._viewer.again(walk, approval.shown), f"what was {who}")
        except BadStep as error:
            return "refused", f"{error} ({said})"
        changed = changes(approval.shown.standings, now)
        if changed:
            return "refused", f"state changed: {'; '.join(changed)} ({said})"
        return "accepted", said

    async def _known(self, row: Intent) -> Approval:
        """The question of that row: both were written in one transaction."""
        found = await self._journal.approval_at(row.firing_id, row.n)
        assert found
        return found

    async def _patiently(self, walk: Walk, ask: Callable[[], Awaitable[T]], what: str) -> T:
        """What `ask` gives, once it can be read; the firing says what it waits for."""
        return await patiently(
            self._clock,
            ask,
            what,
            lambda reason: self._journal.move(walk.firing.id, "running", f"step {walk.planned.id} waits: {reason}"),
        )


def _approval(row: Intent, walk: Walk, shown: Shown) -> Approval:
    assert row.t_intent
    assert row.verify_until
    return Approval(
        id=f"ap_{uuid.uuid4().hex[:20]}",
        action_id=row.action_id,
        firing_id=row.firing_id,
        n=row.n,
        tenant=row.tenant,
        rule=walk.firing.rule,
        step_id=row.step_id,
        message=row.request["params"]["message"],
        shown=shown,
        asked_at=row.t_intent,
        expires_at=row.verify_until,
    )


def asking_text(approval: Approval, event: Event) -> str:
    """The question in words, times on the clocks of the event's tenant."""
    zone = event.time.tzinfo
    assert zone
    lines = [approval.message, ""] if approval.message else []
    lines += ["To be done:", *(f"- {call}" for call in approval.shown.calls or ("nothing that changes anything",))]
    if approval.shown.standings:
        lines += ["As it is now:", *(f"- {each.in_zone(zone)}" for each in approval.shown.standings)]
    lines.append(f"No answer by {approval.expires_at.astimezone(zone).isoformat()} means no.")
    lines.append(f"phinops approve {approval.id}, or phinops deny {approval.id}")
    return "\n".join(lines)


def _payload(said: JsonObject, approval: Approval, event: Event) -> JsonObject:
    """What the outbox keeps. The link that answers is no part of it: it is made when the notice leaves."""
    payload = note_payload(said, rule=approval.rule, firing_id=approval.firing_id, event=event)
    asked = {"id": approval.id, "expires": approval.expires_at.isoformat(), **approval.shown.to_json()}
    return {**payload, "approval": asked}
