"""Where every write leaves: in batches, each with a committed intent, each sent once.

A write asks by `submit`. Writes of one batch key that are waiting when their turn at the limiter comes leave in one
call: the turn is taken first, then the intents are committed, then the bytes go out at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from typing import Any, Literal, Protocol

import anyio
import structlog

from phinops.clock import Clock
from phinops.errors import (
    ApiError,
    Forbidden,
    QuotaSpent,
    Refused,
    StoreError,
    Throttled,
    Transient,
)
from phinops.event import Event, JsonObject
from phinops.execute.forbidden import ForbiddenApis
from phinops.execute.guard import Rails, standing_objection, write_guard
from phinops.execute.journal import Journal
from phinops.execute.order import Fate, Order, Queue, Trip
from phinops.execute.steps.kind import BATCH_LIMIT, Write
from phinops.firing import Identity, Objection

log = structlog.get_logger(__name__)

TURN_WITHIN = 300.0
"""Seconds that a write waits for its turn. After them its target is looked at anew before it waits again."""


class Answer(Protocol):
    """What the desk reads of a reply."""

    @property
    def body(self) -> Mapping[str, object]: ...

    @property
    def request_id(self) -> str: ...


class Writer(Protocol):
    """The one way a write reaches Dataphin."""

    async def write(
        self, api: str, prepare: Callable[[], Awaitable[JsonObject | None]], *, deadline: float | None = None
    ) -> Answer | None:
        """Wait for the turn, await `prepare` for the parameters, send them once; None when there was nothing to send.

        `deadline` is that of the turn, on the clock's monotonic seconds.

        Raises:
            Throttled, Transient: known not to have been done.
            Refused: Dataphin, or what is known of the edition, said no.
            Ambiguous: it may have been done.
            QuotaSpent: its turn did not come; nothing was done.
            StoreError: it could not be counted; nothing was sent.
        """
        ...


class Starter(Protocol):
    """A task group, as those see it who only start tasks in it."""

    def start_soon(self, func: Callable[..., Coroutine[Any, Any, Any]], /, *args: Any) -> object:
        """Start a task; it runs until it ends or the group does."""
        ...


@dataclass(frozen=True, slots=True)
class Alarm:
    """What people must know though no rule tells them. Of the same thing, `about`, one notice an hour is enough."""

    about: str
    title: str
    message: str


def held_back(objections: Iterable[Objection | None]) -> Iterator[Alarm]:
    """What people must know of writes that the guard refused, once for each subject."""
    told = {each.subject: each.reason for each in objections if each and each.subject}
    for subject, reason in told.items():
        yield Alarm(subject, "phinops holds writes back", reason)


Identify = Callable[[Write, Event | None], Awaitable[Identity | None]]
"""Who a write is about; the event may tell. Raises the client's errors, and StoreError, where that cannot be read."""


async def nobody(write: Write, event: Event | None) -> Identity | None:
    """Nothing is protected: nobody has to know."""
    return None


class Desk:
    """The desk of one tenant. `identify` is asked who each write is about.

    `tell` hears of what the guard refused in a batch, and once of each API that was closed because Dataphin forbids
    its writes; always in a task of its own, and it must not raise. `zone` is that of times in texts.
    """

    def __init__(
        self,
        writer: Writer,
        journal: Journal,
        rails: Rails,
        clock: Clock,
        group: Starter,
        tell: Callable[[Alarm], Coroutine[Any, Any, None]],
        zone: tzinfo = UTC,
        identify: Identify = nobody,
    ) -> None:
        self._identify = identify
        self._writer = writer
        self._journal = journal
        self._rails = rails
        self._clock = clock
        self._group = group
        self._tell = tell
        self._forbidden = ForbiddenApis(clock, zone)
        self._queues: dict[str, Queue] = {}
        self._flying = 0
        self._landed = anyio.Event()
        self._closed = False

    async def drain(self) -> None:
        """Let nothing more leave, and wait until what has left is answered and recorded."""
        self._closed = True
        while self._flying:
            self._landed = anyio.Event()
            await self._landed.wait()

    def open(self, api: str) -> None:
        """A write of this API that did not pass the desk, a person's, was answered well: rules may make it again."""
        self._forbidden.open(api)

    async def foresee(self, order: Order) -> str:
        """Why the write must not leave, whatever happened before, or ""; people are told as when it is refused.

        Raises:
            ApiError, QuotaSpent, StoreError: who it is about could not be read.
        """
        await self._find_out(order)
        objection = standing_objection(order.ask, self._rails)
        if objection and order.ask.intent.outcome != "shadow":
            self._alarm([objection])
        return objection.reason if objection else ""

    async def submit(self, order: Order) -> Fate:
        """Have the write sent with those that are due together with it, and say what is known of it then."""
        try:
            await self._find_out(order)
        except (ApiError, QuotaSpent) as error:
            return Fate("unsent", f"who the target is could not be read: {error}")
        write = order.write
        together = write.batch and not order.alone
        batch = f"{write.step}|{write.batch}" if together else order.ask.intent.action_id
        queue = self._queues.setdefault(batch, Queue())
        queue.orders.append(order)
        if len(queue.orders) > queue.callers * BATCH_LIMIT:
            queue.callers += 1
            self._group.start_soon(self._send, batch, write.api)
        try:
            return await order.decision()
        finally:
            if order in queue.orders:
                queue.orders.remove(order)

    async def identity_of(self, write: Write, about: Event | None = None) -> Identity | None:
        """Who the write is about, None where that does not matter.

        Raises:
            ApiError, QuotaSpent, StoreError: it could not be read.
        """
        if not self._rails.protected:
            return None
        try:
            return await self._identify(write, about)
        except Refused as error:
            return Identity(unknown=f"it cannot be read: {error}")

    async def _find_out(self, order: Order) -> None:
        if order.ask.identity is None:
            order.ask = replace(order.ask, identity=await self.identity_of(order.write, order.about))

    def _alarm(self, objections: Iterable[Objection | None]) -> None:
        for alarm in held_back(objections):
            self._group.start_soon(self._tell, alarm)

    async def _send(self, batch: str, api: str) -> None:
        trip = Trip(batch, api)
        try:
            await self._travel(trip)
        except StoreError as error:
            log.error("action.unrecorded", api=api, reason=str(error))
            self._leave(trip, str(error))
        except Exception as error:
            log.exception("action.broken", api=api)
            self._leave(trip, f"phinops failed: {type(error).__name__}: {error}")
        finally:
            self._fetch(trip, none=True)
            if trip.taken:
                self._flying -= 1
                self._landed.set()

    def _leave(self, trip: Trip, reason: str) -> None:
        """Not recorded is not sent; what is recorded and not known to be answered is read back."""
        self._fetch(trip)
        for order in trip.undecided():
            order.decide(Fate("open" if order in trip.leaving else "unsent", reason))

    async def _travel(self, trip: Trip) -> None:
        deadline = self._clock.monotonic() + TURN_WITHIN
        try:
            self._forbidden.check(trip.api)
            answer = await self._writer.write(trip.api, lambda: self._prepare(trip), deadline=deadline)
        except (Throttled, Transient, QuotaSpent) as error:
            self._fetch(trip)
            await self._not_done(trip, error)
        except Refused as error:
            self._close_api(trip, error)
            await self._refused(trip, error)
        except ApiError as error:
            # Ambiguous, and whatever else says neither yes nor no.
            self._leave(trip, str(error))
        else:
            if answer is not None:
                self._forbidden.succeeded(trip.api, trip)
                await self._answered(trip.leaving, answer)
        finally:
            self._forbidden.release(trip.api, trip)

    async def _prepare(self, trip: Trip) -> JsonObject | None:
        if self._closed:
            return None
        self._forbidden.claim(trip.api, trip)
        taken = self._fetch(trip)
        if not taken:
            return None
        objections = await self._journal.intend([order.ask for order in taken], write_guard(self._rails))
        for order, objection in zip(taken, objections, strict=True):
            if objection is None:
                trip.leaving.append(order)
                continue
            log.warning("action.held", action=order.ask.intent.action_id, reason=objection.reason)
            order.decide(Fate("unsent" if objection.passing else "refused", objection.reason))
        self._alarm(objections)
        if not trip.leaving:
            return None
        return trip.leaving[0].step.merge([order.write for order in trip.leaving])

    def _fetch(self, trip: Trip, *, none: bool = False) -> list[Order]:
        """Take those that wait for this call, or `none` of them; every call fetches once."""
        if trip.fetched:
            return trip.taken
        trip.fetched = True
        queue = self._queues[trip.batch]
        queue.callers -= 1
        if not none:
            trip.taken = queue.orders[:BATCH_LIMIT]
            del queue.orders[:BATCH_LIMIT]
        if not queue.orders and not queue.callers:
            del self._queues[trip.batch]
        self._flying += bool(trip.taken)
        return trip.taken

    async def _not_done(self, trip: Trip, error: Exception) -> None:
        after = error.retry_after if isinstance(error, Throttled) else None
        request_id = error.request_id if isinstance(error, ApiError) else ""
        for order in trip.undecided():
            kind: Literal["absent", "unsent"] = "unsent"
            if order in trip.leaving:
                kind = "absent"
                await self._close(order, "absent", str(error), request_id)
            order.decide(Fate(kind, str(error), request_id, retry_after=after))

    def _close_api(self, trip: Trip, error: Refused) -> None:
        """Close the API where Dataphin itself forbade the write; what is known of the edition closes nothing."""
        if not trip.leaving or not isinstance(error, Forbidden):
            return
        reason = self._forbidden.forbid(error)
        if reason:
            alarm = Alarm(f"{trip.api} {reason}", f"phinops may not call {trip.api}", reason)
            self._group.start_soon(self._tell, alarm)

    async def _refused(self, trip: Trip, error: Refused) -> None:
        """A refused call did nothing. One target's goal may be met already; of several each asks again alone."""
        if not trip.fetched:
            await self._barred(self._fetch(trip), error)
        elif len(trip.leaving) > 1 and not isinstance(error, Forbidden):
            for order in trip.leaving:
                await self._close(order, "absent", str(error), error.request_id)
                order.decide(Fate("absent", str(error), error.request_id, alone=True))
        else:
            for order in trip.leaving:
                await self._no(order, error)

    async def _barred(self, orders: Sequence[Order], error: Refused) -> None:
        """Refused before any intent: by what is known of the edition, or because Dataphin forbade another one."""
        for order in orders:
            refused = replace(order.ask.intent, state="failed", outcome="refused", result={"reason": str(error)})
            await self._journal.put_step(refused)
            order.decide(Fate("refused", str(error)))

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
