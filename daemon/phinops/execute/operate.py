"""Carries out the steps that call Dataphin: reads, and writes by way of the carrier."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from pydantic import BaseModel

from phinops.clock import Clock, sleep_until
from phinops.errors import ApiError, QuotaSpent
from phinops.event import Instance
from phinops.execute.brake import Brake
from phinops.execute.carry import Carrier, Hands, Held
from phinops.execute.journal import Journal
from phinops.execute.order import Order
from phinops.execute.own_reruns import RERUNS, begun
from phinops.execute.patience import patiently
from phinops.execute.steps.kind import BadStep, Needless, Step, Target, Write
from phinops.execute.walk import Unwanted, Walk, recorded, write_of
from phinops.firing import Intent, Reach, StepResult

T = TypeVar("T")


class Operations:
    """Every step that is a call of Dataphin's. `hands` are by tenant, `held` keeps writes to one target apart, `brake`
    holds them all.
    """

    def __init__(
        self,
        journal: Journal,
        hands: Mapping[str, Hands],
        clock: Clock,
        held: Held,
        steps: Mapping[str, Step],
        brake: Brake,
    ) -> None:
        self._journal = journal
        self._hands = hands
        self._clock = clock
        self._carrier = Carrier(journal, hands, clock, held, steps, brake)

    async def do(self, walk: Walk, params: BaseModel, attempt: int) -> StepResult:
        look = self._hands[walk.firing.tenant].look
        write = await self._asked(
            walk, lambda: walk.step.write(params, walk.scene.event, look), "what the step needs to know"
        )
        if not walk.step.writes(params):
            return await self._read(walk, write, attempt)
        walk.hold_to(write)
        try:
            await self._outwait_own_reruns(walk, write)
            walk = await self._foreseen(walk, write, attempt)
            if walk.firing.mode == "shadow":
                return await recorded(self._journal, walk.row(attempt, walk.marked(attempt, write), outcome="shadow"))
            return await self._carrier.carry(walk, write, attempt)
        except Needless as error:
            raise Unwanted(str(error), write, "skipped") from error
        except BadStep as error:
            raise Unwanted(str(error), write) from error

    async def take_up(self, walk: Walk, earlier: Intent) -> StepResult:
        try:
            return await self._carrier.take_up(walk, earlier)
        except Needless as error:
            raise Unwanted(str(error), write_of(earlier), "skipped") from error

    async def _outwait_own_reruns(self, walk: Walk, write: Write) -> None:
        """Wait until Dataphin would have run again what is to be rerun.

        Raises:
            Needless: it has.
            BadStep: it cannot be read.
        """
        hands, target, event = self._hands[walk.firing.tenant], write.target, walk.scene.event
        if not hands.own_reruns or write.step not in RERUNS or walk.firing.mode == "shadow" or walk.wrote_before():
            return
        own = event.instance if event.instance and event.instance.id == target.id else None
        before = own or await self._instance(walk, target)
        due = hands.own_reruns.over_at(event, before) if before else None
        if before is None or due is None or due <= self._clock.now():
            return
        told = due.astimezone(event.time.tzinfo).isoformat(sep=" ", timespec="seconds")
        reason = f"step {walk.planned.id} waits until {told}: Dataphin itself may rerun {target.id} (auto_rerun)"
        await self._journal.move(walk.firing.id, "running", reason, due)
        with walk.stop.safe():
            await sleep_until(self._clock, due)
        now = await self._instance(walk, target)
        if now and (why := begun(before, now)):
            raise Needless(why)

    async def _instance(self, walk: Walk, target: Target) -> Instance | None:
        look = self._hands[walk.firing.tenant].look
        view = await self._asked(walk, lambda: look.instance(target.project_id, target.id), "the target")
        return view.instance if view else None

    async def _foreseen(self, walk: Walk, write: Write, attempt: int) -> Walk:
        """The walk with what hangs below the write's target, where its rule limits that.

        Raises:
            BadStep: whatever happened before, the write must not leave.
        """
        hands, event = self._hands[walk.firing.tenant], walk.scene.event
        limit = walk.limits.get("downstream")
        if limit and write.target.kind in ("instance", "node"):
            below = await self._asked(
                walk, lambda: hands.lineage.below(write.target, event), "what hangs below the target"
            )
            walk = replace(walk, reach=Reach(below, limit["max"]))
        intent = walk.row(attempt, write, outcome="shadow" if walk.firing.mode == "shadow" else None)
        order = Order(walk.step, write, walk.ask(intent), about=event)
        objection = await self._asked(walk, lambda: hands.desk.foresee(order), "who the target is")
        if objection:
            raise BadStep(objection)
        return walk

    async def _asked(self, walk: Walk, ask: Callable[[], Awaitable[T]], what: str) -> T:
        with walk.stop.safe():
            return await patiently(self._clock, ask, what, lambda reason: self._waits(walk, reason))

    async def _waits(self, walk: Walk, reason: str) -> None:
        """Say in the firing what it waits for."""
        await self._journal.move(walk.firing.id, "running", f"step {walk.planned.id} waits: {reason}")

    async def _read(self, walk: Walk, write: Write, attempt: int) -> StepResult:
        row = replace(walk.row(attempt, write, outcome="accepted"), kind="read")
        try:
            body = await self._hands[walk.firing.tenant].read(write.api, write.params)
        except (ApiError, QuotaSpent) as error:
            row = replace(row, outcome="refused", state="failed", result={"reason": str(error)})
        else:
            row = replace(row, result=walk.step.result(body), request_id=str(body.get("RequestId") or ""))
        return await recorded(self._journal, row)
