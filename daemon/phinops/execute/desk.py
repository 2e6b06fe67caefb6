"""Where every write leaves: in batches, each with a committed intent, each sent once.

A write asks by `submit`. Writes of one batch key that are waiting when their turn at the limiter comes leave in one
call: the turn is taken first, then the intents are committed, then the bytes go out at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

import anyio
import structlog

from phinops.clock import Clock
from phinops.errors import (
    Ambiguous,
    ApiError,
    Forbidden,
    QuotaSpent,
    Refused,
    StoreError,
    Throttled,
    Transient,
)
from phinops.event import JsonObject
from phinops.execute.guard import Ceiling, write_guard
from phinops.execute.journal import Journal
from phinops.execute.steps.kind import BATCH_LIMIT, Step, Write
from phinops.firing import Ask

log = structlog.get_logger(__name__)


class Answer(Protocol):
    """What the desk reads of a reply."""

    @property
    def body(self) -> Mapping[str, object]: ...

    @property
    def request_id(self) -> str: ...


class Writer(Protocol):
    """The one way a write reaches Dataphin."""

    async def write(self, api: str, prepare: Callable[[], Awaitable[JsonObject | None]]) -> Answer | None:
        """Wait for the turn, await `prepare` for the parameters, send them once; None when there was nothing to send.

        Raises:
            Throttled, Transient: known not to have been done.
            Refused: Dataphin said no.
            Ambiguous: it may have been done.
            QuotaSpent: its turn did not come; `prepare` was not called.
        """
        ...


class Starter(Protocol):
    """A task group, as those see it who only start tasks in it."""

    def start_soon(self, func: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class Fate:
    """What is known of a write after it was submitted.

    `done`; `refused` for good; `absent` (an intent was recorded, and it is known not to have happened); `unsent` (no
    intent was recorded: its turn did not come); `open` (it may have happened: read it back). `alone` asks that the
    next attempt travels in a call of its own.
    """

    kind: Literal["done", "refused", "absent", "unsent", "open"]
    reason: str = ""
    request_id: str = ""
    result: JsonObject = field(default_factory=dict)
    retry_after: float | None = None
    alone: bool = False


@dataclass(slots=True, eq=False)
class Order:
    """One write on its way. `targets_max` and `ask` carry its rule's limits, `within` its verification's time."""

    step: Step
    write: Write
    ask: Ask
    targets_max: int | None = None
    within: timedelta | None = None
    alone: bool = False
    decided: anyio.Event = field(default_factory=anyio.Event)
    fate: Fate = Fate("unsent")

    def decide(self, fate: Fate) -> None:
        self.fate = fate
        self.decided.set()

    def verify_until(self, clock: Clock) -> datetime | None:
        """When its verification gives up, counted from now."""
        return clock.now() + self.within if self.within else None


@dataclass(slots=True)
class _Trip:
    """One call on its way: the orders that were taken for it, and those whose intents were committed."""

    taken: list[Order] = field(default_factory=list)
    leaving: list[Order] = field(default_factory=list)


class Desk:
    """The desk of one tenant. `over` is told, once a batch, why the ceiling of all rules refused it."""

    def __init__(
        self,
        writer: Writer,
        journal: Journal,
        ceiling: Ceiling,
        clock: Clock,
        group: Starter,
        over: Callable[[str], Awaitable[None]],
    ) -> None:
        self._writer = writer
        self._journal = journal
        self._ceiling = ceiling
        self._clock = clock
        self._group = group
        self._over = over
        self._waiting: dict[str, list[Order]] = {}
        self._flying = 0
        self._landed = anyio.Event()
        self._closed = False

    async def drain(self) -> None:
        """Let nothing more leave, and wait until what has left is answered and recorded."""
        self._closed = True
        while self._flying:
            self._landed = anyio.Event()
            await self._landed.wait()

    async def submit(self, order: Order) -> Fate:
        """Have the write sent with those that are due together with it, and say what is known of it then."""
        write = order.write
        together = write.batch and not order.alone
        batch = f"{write.step}|{write.batch}" if together else order.ask.intent.action_id
        waiting = self._waiting.setdefault(batch, [])
        waiting.append(order)
        if len(waiting) % BATCH_LIMIT == 1:
            self._group.start_soon(self._send, batch, write.api)
        try:
            await order.decided.wait()
        finally:
            if order in self._waiting.get(batch, ()):
                self._waiting[batch].remove(order)
        return order.fate

    async def _send(self, batch: str, api: str) -> None:
        trip = _Trip()
        try:
            await self._travel(batch, api, trip)
        except StoreError as error:
            # Not recorded is not sent; sent but not recorded stays an open intent, which is read back.
            log.exception("action.unrecorded", api=api)
            for order in trip.taken:
                if not order.decided.is_set():
                    order.decide(Fate("open" if order in trip.leaving else "unsent", str(error)))
        finally:
            if trip.taken:
                self._flying -= 1
                self._landed.set()

    async def _travel(self, batch: str, api: str, trip: _Trip) -> None:
        try:
            answer = await self._writer.write(api, lambda: self._prepare(batch, trip))
        except (Throttled, Transient, QuotaSpent) as error:
            if not trip.taken:
                self._take(batch, trip)
            await self._not_done(trip, error)
        except Ambiguous as error:
            for order in trip.leaving:
                order.decide(Fate("open", str(error), error.request_id))
        except Refused as error:
            await self._refused(trip.leaving, error)
        else:
            if answer is not None:
                await self._answered(trip.leaving, answer)

    async def _prepare(self, batch: str, trip: _Trip) -> JsonObject | None:
        taken = [] if self._closed else self._take(batch, trip)
        if not taken:
            return None
        limits = {order.ask.rule: order.targets_max for order in taken if order.targets_max is not None}
        reasons = await self._journal.intend([order.ask for order in taken], write_guard(self._ceiling, limits))
        for order, reason in zip(taken, reasons, strict=True):
            if reason:
                log.warning("action.held", action=order.ask.intent.action_id, reason=reason)
                order.decide(Fate("refused", reason))
            else:
                trip.leaving.append(order)
        ceiling = next((reason for reason in reasons if reason.startswith("safety.")), None)
        if ceiling:
            await self._over(ceiling)
        if not trip.leaving:
            return None
        return trip.leaving[0].step.merge([order.write for order in trip.leaving])

    def _take(self, batch: str, trip: _Trip) -> list[Order]:
        waiting = self._waiting.pop(batch, [])
        if waiting[BATCH_LIMIT:]:
            self._waiting[batch] = waiting[BATCH_LIMIT:]
        trip.taken = waiting[:BATCH_LIMIT]
        self._flying += bool(trip.taken)
        return trip.taken

    async def _not_done(self, trip: _Trip, error: Exception) -> None:
        after = error.retry_after if isinstance(error, Throttled) else None
        request_id = error.request_id if isinstance(error, ApiError) else ""
        for order in trip.taken:
            if order in trip.leaving:
                await self._close(order, "absent", str(error), request_id)
                order.decide(Fate("absent", str(error), request_id, retry_after=after))
            elif not order.decided.is_set():
                order.decide(Fate("unsent", str(error), request_id, retry_after=after))

    async def _refused(self, orders: Sequence[Order], error: Refused) -> None:
        """A refused call did nothing. One target's goal may be met already; of several each asks again alone."""
        if len(orders) > 1 and not isinstance(error, Forbidden):
            for order in orders:
                await self._close(order, "absent", str(error), error.request_id)
                order.decide(Fate("absent", str(error), error.request_id, alone=True))
            return
        for order in orders:
            await self._no(order, error)

    async def _answered(self, orders: Sequence[Order], answer: Answer) -> None:
        items = orders[0].step.items(answer.body, [order.write.target.id for order in orders])
        result = orders[0].step.result(answer.body)
        for order in orders:
            item = items.get(order.write.target.id)
            if item is None:
                order.decide(Fate("open", "the reply does not speak of this target", answer.request_id))
            elif item.ok:
                await self._done(order, result, answer.request_id)
            else:
                reason = item.message or "the service refused this target and gave no reason"
                await self._no(order, Refused(order.write.api, _code_in(reason), reason, request_id=answer.request_id))

    async def _no(self, order: Order, error: Refused) -> None:
        if order.step.met(error):
            await self._done(order, {"already": error.message}, error.request_id)
            return
        await self._close(order, "failed", str(error), error.request_id)
        order.decide(Fate("refused", str(error), error.request_id))

    async def _done(self, order: Order, result: JsonObject, request_id: str) -> None:
        await self._journal.settle(
            order.ask.intent.action_id,
            "done",
            "accepted",
            result=result,
            request_id=request_id,
            verify_until=order.verify_until(self._clock),
        )
        order.decide(Fate("done", "", request_id, result))

    async def _close(self, order: Order, state: str, reason: str, request_id: str) -> None:
        outcome: Literal["refused"] | None = "refused" if state == "failed" else None
        await self._journal.settle(
            order.ask.intent.action_id, state, outcome, result={"reason": reason}, request_id=request_id
        )


def _code_in(message: str) -> str:
    """The error code that an item's text begins with, when it does ("DPN.X.Y: text")."""
    return message.split(":", 1)[0].strip() if message.startswith("DPN.") else ""
