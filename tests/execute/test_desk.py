"""The desk: who travels with whom, and what becomes of an order whatever becomes of its call."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from phinops.clock import LoopClock
from phinops.errors import Ambiguous, Forbidden, Malformed, QuotaSpent, Refused, StoreError, Throttled
from phinops.event import Instance, JsonObject
from phinops.execute.desk import TURN_WITHIN, Alarm, Answer, Desk
from phinops.execute.guard import Rails
from phinops.execute.order import Fate, Order
from phinops.execute.steps.table import STEPS
from phinops.execute.walk import Scene, Walk, planned_step
from phinops.firing import Intent
from phinops.record import journal
from phinops.record.book import Book
from phinops.record.sqlite import Store
from phinops.virtual import run
from worlds import START, Reading, World, failed_event, firing_of
from worlds import Answer as Reply

API = "OperateInstance"


@dataclass(slots=True)
class Wire:
    """A way to Dataphin whose calls fail as `before` (their turn) and `after` (their sending) say, in order."""

    before: deque[Exception | None] = field(default_factory=deque)
    after: deque[Exception | JsonObject | None] = field(default_factory=deque)
    calls: list[list[str]] = field(default_factory=list)
    deadlines: list[float | None] = field(default_factory=list)
    turn: anyio.Event | None = None
    reply: anyio.Event | None = None

    async def write(
        self, api: str, prepare: Callable[[], Awaitable[JsonObject | None]], *, deadline: float | None = None
    ) -> Answer | None:
        self.deadlines.append(deadline)
        await (self.turn.wait() if self.turn else anyio.sleep(0.01))
        if error := _next(self.before):
            raise error
        params = await prepare()
        if params is None:
            return None
        ids = [each["Id"] for each in params["OperateCommand"]["InstanceIdList"]]
        self.calls.append(ids)
        if self.reply:
            await self.reply.wait()
        answer = _next(self.after)
        if isinstance(answer, Exception):
            raise answer
        return Reply(answer or {"InstanceStatusList": [{"Id": each, "Status": "SUCCESS"} for each in ids]}, "R1")


def _next(queue: deque[Any]) -> Any:
    return queue.popleft() if queue else None


@dataclass(slots=True)
class Office:
    """A desk with its wire and store; `orders` makes recorded firings ready to be submitted."""

    desk: Desk
    wire: Wire
    store: Store
    clock: LoopClock
    group: Any
    alarms: list[Alarm]
    fates: dict[str, Fate] = field(default_factory=dict)

    async def order(self, target: str, *, alone: bool = False, firing_id: str = "") -> Order:
        event = failed_event(Instance(id=target, status="FAILED"))
        firing = firing_of(event, [{"kind": "rerun_instance"}], id=firing_id or f"fi_{target}")

        def op(tx: Any) -> None:
            journal.put_event(tx, event)
            journal.put_firing(tx, firing)

        await self.store.write(op)
        step = STEPS["rerun_instance"]
        write = await step.write(step.params(), event, Reading(World(self.clock)))
        walk = Walk(firing, planned_step(0, firing.plan["steps"][0]), step, Scene(event, {}, {}))
        return Order(step, write, walk.ask(walk.row(1, write, state="intent")), alone=alone)

    async def submit(self, *orders: Order) -> list[Fate]:
        async with anyio.create_task_group() as group:
            for order in orders:
                group.start_soon(self._submit, order)
        return [self.fates[order.write.target.id] for order in orders]

    async def _submit(self, order: Order) -> None:
        self.fates[order.write.target.id] = await self.desk.submit(order)

    async def step(self, order: Order) -> Intent | None:
        return await self.store.read(lambda tx: journal.last_step(tx, order.ask.intent.firing_id, 0))


@asynccontextmanager
async def office(most: int = 500) -> AsyncGenerator[Office]:
    clock = LoopClock(START)
    alarms: list[Alarm] = []

    async def tell(alarm: Alarm) -> None:
        alarms.append(alarm)

    wire = Wire()
    async with Store.open(":memory:", clock) as store, anyio.create_task_group() as group:
        desk = Desk(wire, Book(store), Rails(most), clock, group, tell)
        yield Office(desk, wire, store, clock, group, alarms)
        group.cancel_scope.cancel()


def test_a_write_waits_for_its_turn_no_longer_than_it_is_sure_to_be_wanted() -> None:
    async def main() -> None:
        async with office() as here:
            now = here.clock.monotonic()
            (fate,) = await here.submit(await here.order("t_1"))
            assert fate.kind == "done"
            (deadline,) = here.wire.deadlines
            assert deadline == pytest.approx(now + TURN_WITHIN, abs=0.1)

    run(main())


@pytest.mark.parametrize("count", [1, 50, 51, 120])
def test_no_more_calls_are_made_than_the_orders_need(count: int) -> None:
    async def main() -> None:
        async with office() as here:
            fates = await here.submit(*[await here.order(f"t_{n}") for n in range(count)])
            assert {fate.kind for fate in fates} == {"done"}
            assert len(here.wire.deadlines) == len(here.wire.calls) == -(-count // 50)

    run(main())


def test_one_who_wants_to_travel_alone_does() -> None:
    async def main() -> None:
        async with office() as here:
            await here.submit(await here.order("t_1"), await here.order("t_2", alone=True))
            assert sorted(here.wire.calls) == [["t_1"], ["t_2"]]

    run(main())


def test_an_order_that_is_withdrawn_before_its_turn_does_not_leave() -> None:
    async def main() -> None:
        async with office() as here:
            here.wire.turn = anyio.Event()
            withdrawn, other = await here.order("t_1"), await here.order("t_2")
            async with anyio.create_task_group() as group:
                group.start_soon(here.desk.submit, withdrawn)
                await anyio.sleep(1)
                group.cancel_scope.cancel()
            here.group.start_soon(here.submit, other)
            await anyio.sleep(1)
            here.wire.turn.set()
            await anyio.sleep(1)
            assert here.wire.calls == [["t_2"]]
            assert await here.step(withdrawn) is None

    run(main())


def test_a_call_that_finds_nobody_waiting_any_more_is_not_made() -> None:
    async def main() -> None:
        async with office() as here:
            here.wire.turn = anyio.Event()
            async with anyio.create_task_group() as group:
                group.start_soon(here.desk.submit, await here.order("t_1"))
                await anyio.sleep(1)
                group.cancel_scope.cancel()
            here.wire.turn.set()
            await anyio.sleep(1)
            assert here.wire.calls == []
            assert here.desk._queues == {}

    run(main())


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (StoreError("full"), "unsent"),
        (QuotaSpent("spent"), "unsent"),
        (Malformed(API, "x", "y"), "unsent"),
        (RuntimeError("a bug"), "unsent"),
        (Refused(API, "phinops.Edition", "the edition lacks it"), "refused"),
        (Forbidden(API, "phinops.Edition", "the edition lacks it"), "refused"),
    ],
)
def test_whatever_ends_a_call_before_its_turn_nobody_waits_for_ever(error: Exception, kind: str) -> None:
    async def main() -> None:
        async with office() as here:
            here.wire.before = deque([error])
            first, second = await here.order("t_1"), await here.order("t_2")
            fates = await here.submit(first, second)
            assert [fate.kind for fate in fates] == [kind, kind]
            recorded = await here.step(first)
            assert (recorded is not None) == (kind == "refused")
            (again,) = await here.submit(await here.order("t_3"))
            assert again.kind == "done"

    run(main())


@pytest.mark.parametrize(
    ("error", "kind", "state"),
    [
        (Ambiguous(API, "timeout", "no answer", request_id="R9"), "open", "intent"),
        (StoreError("full"), "open", "intent"),
        (RuntimeError("a bug"), "open", "intent"),
        (QuotaSpent("no second turn"), "absent", "absent"),
        (Throttled(API, "Throttling", "too many", retry_after=7.0), "absent", "absent"),
        (Forbidden(API, "Forbidden", "no"), "refused", "failed"),
    ],
)
def test_what_ends_a_call_after_its_intents_says_what_is_known_of_them(error: Exception, kind: str, state: str) -> None:
    async def main() -> None:
        async with office() as here:
            here.wire.after = deque([error])
            orders = [await here.order(f"t_{n}") for n in range(2)]
            fates = await here.submit(*orders)
            assert [fate.kind for fate in fates] == [kind, kind]
            assert fates[0].retry_after == (7.0 if isinstance(error, Throttled) else None)
            step = await here.step(orders[1])
            assert step
            assert step.state == state

    run(main())


def test_a_target_that_the_reply_refuses_is_refused_and_one_it_does_not_name_is_open() -> None:
    async def main() -> None:
        async with office() as here:
            rows = [
                {"Id": "t_0", "Status": "FAILED", "ErrorMessage": ""},
                {"Id": "t_1", "Status": "FAILED", "ErrorMessage": "DPN.TaskScheduler.Task.TaskRunning: it runs"},
            ]
            here.wire.after = deque([{"InstanceStatusList": rows}])
            fates = await here.submit(*[await here.order(f"t_{n}") for n in range(3)])
            assert [fate.kind for fate in fates] == ["refused", "done", "open"]

    run(main())


def test_a_target_that_is_being_read_back_is_asked_for_later_and_an_unknown_one_is_refused() -> None:
    async def main() -> None:
        async with office() as here:
            here.wire.after = deque([Ambiguous(API, "timeout", "no answer")])
            lost = await here.order("t_1")
            await here.submit(lost)
            later = await here.order("t_1", firing_id="fi_later")
            assert [fate.kind for fate in await here.submit(later)] == ["unsent"]
            action = lost.ask.intent.action_id
            await here.store.write(lambda tx: journal.settle(tx, action, "unknown", "unknown", result={}))
            again = replace(later, fate=None, _decided=anyio.Event())
            assert [fate.kind for fate in await here.submit(again)] == ["refused"]
            refused = await here.store.read(lambda tx: journal.last_step(tx, again.ask.intent.firing_id, 0))
            assert refused
            assert (refused.state, refused.outcome) == ("failed", "refused")
            assert action in refused.result["reason"]
            assert len(here.wire.calls) == 1

    run(main())


def test_the_ceiling_is_told_and_refuses_the_batch() -> None:
    async def main() -> None:
        async with office(most=1) as here:
            fates = await here.submit(*[await here.order(f"t_{n}") for n in range(2)])
            assert [fate.kind for fate in fates] == ["refused", "refused"]
            await anyio.sleep(1)
            assert [alarm.title for alarm in here.alarms] == ["phinops holds writes back"]
            assert here.wire.calls == []

    run(main())


NO = Forbidden(API, "Forbidden.RAM", "not authorized", request_id="R9", status=403)


async def forbid(here: Office) -> None:
    """Close the API: a write of it is answered with Forbidden."""
    here.wire.after = deque([NO])
    (fate,) = await here.submit(await here.order("t_first"))
    assert fate.kind == "refused"


def test_a_forbidden_write_closes_its_api_for_an_hour_with_one_notice_and_one_line_in_the_log() -> None:
    async def main() -> None:
        async with office() as here:
            with capture_logs() as logs:
                await forbid(here)
                until = (here.clock.now() + timedelta(hours=1)).isoformat(sep=" ", timespec="minutes")[:16]
                orders = [await here.order(f"t_{n}") for n in range(60)]
                fates = await here.submit(*orders)
                await anyio.sleep(3590)
                (late,) = await here.submit(await here.order("t_late"))
            assert {fate.kind for fate in (*fates, late)} == {"refused"}
            assert here.wire.calls == [["t_first"]]
            (alarm,) = here.alarms
            assert alarm.title == "phinops may not call OperateInstance"
            for text in (alarm.message, late.reason):
                assert until in text, text
                assert str(NO) in text
            step = await here.step(orders[0])
            assert step
            assert (step.state, step.outcome, step.result["reason"]) == ("failed", "refused", fates[0].reason)
            assert [each["event"] for each in logs if each["event"].startswith("api.")] == ["api.closed"]

    run(main())


def test_a_write_that_waits_for_its_turn_when_its_api_is_closed_is_refused_too() -> None:
    async def main() -> None:
        async with office() as here:
            turn = here.wire.turn = anyio.Event()
            waiting = await here.order("t_1", alone=True)
            here.group.start_soon(here.submit, waiting)
            await anyio.sleep(1)
            here.wire.turn = None
            await forbid(here)
            turn.set()
            await anyio.sleep(1)
            assert here.fates["t_1"].kind == "refused"
            assert here.wire.calls == [["t_first"]]
            step = await here.step(waiting)
            assert step
            assert step.outcome == "refused"

    run(main())


def test_two_that_are_answered_with_forbidden_together_are_told_once() -> None:
    async def main() -> None:
        async with office() as here:
            here.wire.reply = anyio.Event()
            here.wire.after = deque([NO, NO])
            orders = [await here.order("t_1", alone=True), await here.order("t_2", alone=True)]
            here.group.start_soon(here.submit, *orders)
            await anyio.sleep(1)
            here.wire.reply.set()
            await anyio.sleep(1)
            assert [fate.kind for fate in here.fates.values()] == ["refused", "refused"]
            assert len(here.wire.calls) == 2
            assert len(here.alarms) == 1

    run(main())


@pytest.mark.parametrize("error", [NO, None, Ambiguous(API, "timeout", "no answer")])
def test_after_the_hour_one_write_is_the_probe_and_the_others_ask_again(error: Exception | None) -> None:
    async def main() -> None:
        async with office() as here:
            await forbid(here)
            await anyio.sleep(3601)
            here.wire.reply = anyio.Event()
            here.wire.after = deque([error])
            probe, other = await here.order("t_1", alone=True), await here.order("t_2", alone=True)
            here.group.start_soon(here.submit, probe)
            await anyio.sleep(1)
            assert [fate.kind for fate in await here.submit(other)] == ["unsent"]
            here.wire.reply.set()
            await anyio.sleep(1)
            here.wire.reply = None
            (again,) = await here.submit(replace(other, fate=None, _decided=anyio.Event()))
            probed = "refused" if error is NO else "done" if error is None else "open"
            assert (here.fates["t_1"].kind, again.kind) == (probed, "refused" if error is NO else "done")
            assert len(here.alarms) == (2 if error is NO else 1)
            assert len(here.wire.calls) == (2 if error is NO else 3)

    run(main())


def test_a_probe_that_does_not_leave_leaves_the_next_to_be_it() -> None:
    async def main() -> None:
        async with office(most=1) as here:
            await forbid(here)
            await anyio.sleep(3601)
            held = [await here.order(f"t_{n}") for n in range(2)]
            assert [fate.kind for fate in await here.submit(*held)] == ["refused", "refused"]
            (fate,) = await here.submit(await here.order("t_9"))
            assert fate.kind == "done"

    run(main())


def test_an_answer_to_a_write_that_left_before_opens_nothing_and_a_persons_success_does() -> None:
    async def main() -> None:
        async with office() as here:
            here.wire.reply = anyio.Event()
            here.group.start_soon(here.submit, await here.order("t_1", alone=True))
            await anyio.sleep(1)
            reply, here.wire.reply = here.wire.reply, None
            await forbid(here)
            reply.set()
            await anyio.sleep(1)
            assert here.fates["t_1"].kind == "done"
            assert [fate.kind for fate in await here.submit(await here.order("t_2"))] == ["refused"]
            here.desk.open(API)
            assert [fate.kind for fate in await here.submit(await here.order("t_3"))] == ["done"]

    run(main())


def test_what_is_known_of_the_edition_and_other_refusals_close_nothing() -> None:
    async def main() -> None:
        async with office() as here:
            here.wire.before = deque([Refused(API, "phinops.Edition", "no"), Forbidden(API, "phinops.Edition", "no")])
            here.wire.after = deque([Refused(API, "DPN.OP.NodeNotFound", "no such node")])
            for n in range(3):
                assert [fate.kind for fate in await here.submit(await here.order(f"t_{n}"))] == ["refused"]
            assert [fate.kind for fate in await here.submit(await here.order("t_9"))] == ["done"]
            await anyio.sleep(1)
            assert here.alarms == []

    run(main())


def test_draining_waits_for_what_has_left_and_lets_nothing_more_leave() -> None:
    async def main() -> None:
        async with office() as here:
            here.wire.reply = anyio.Event()
            left = await here.order("t_1")
            here.group.start_soon(here.submit, left)
            await anyio.sleep(1)
            here.group.start_soon(here.submit, await here.order("t_2"))
            drained = anyio.Event()

            async def drain() -> None:
                await here.desk.drain()
                drained.set()

            here.group.start_soon(drain)
            await anyio.sleep(5)
            assert not drained.is_set()
            here.wire.reply.set()
            await drained.wait()
            step = await here.step(left)
            assert step
            assert (step.state, here.wire.calls) == ("done", [["t_1"]])
            assert "t_2" not in here.fates

    run(main())


def test_the_record_of_an_answer_that_the_store_does_not_take_is_left_to_reading_back() -> None:
    async def main() -> None:
        async with office() as here:
            book = Book(here.store)

            class Deaf(Book):
                async def settle(self, *args: Any, **kwargs: Any) -> bool:
                    raise StoreError("full")

            here.desk._journal = Deaf(here.store)
            order = await here.order("t_1")
            (fate,) = await here.submit(order)
            assert fate.kind == "open"
            assert here.desk._flying == 0
            step = await book.last_step(order.ask.intent.firing_id, 0)
            assert step
            assert step.state == "intent"

    run(main())
