"""The step `http`, in virtual time: what is journalled, what is sent once, and what its answer comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import anyio
import httpx
import pytest

from phinops.clock import LoopClock
from phinops.event import JsonObject
from phinops.execute.web import Web
from phinops.firing import Ask, Firing
from phinops.record import journal
from phinops.record.book import Book
from phinops.record.sqlite import Store
from phinops.virtual import run
from worlds import START, FailingStore, Stage, World, failed_event, firing_of, stage

URL = "https://ops.example/tickets?from=phinops"
POST: JsonObject = {"kind": "http", "params": {"url": URL, "body": {"node": "dws", "n": 1}}}
GET: JsonObject = {"kind": "http", "params": {"url": URL}}
NOTICE: JsonObject = {"kind": "notify", "params": {"to": "oncall", "message": "m"}}


class Outside:
    """What answers; `got` are the requests."""

    def __init__(self, *answers: httpx.Response | Exception, takes: float = 0.5) -> None:
        self.got: list[httpx.Request] = []
        self._answers = list(answers)
        self._takes = takes
        self.web = Web(transport=httpx.MockTransport(self._handle), resolve=self._resolve)

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        self.got.append(request)
        await anyio.sleep(self._takes)
        answer = self._answers.pop(0) if self._answers else httpx.Response(200, text="fine\n")
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _resolve(self, host: str, port: int) -> Sequence[str]:
        return ["203.0.113.7"]


async def _done(shown: Stage, *steps: JsonObject, **changes: Any) -> Firing:
    event = failed_event(shown.world.add_failed("t_1"))
    firing = firing_of(event, steps, **changes)
    await shown.add(firing, event)
    (ended,) = await shown.ended(firing.id)
    return ended


def _world(outside: Outside) -> World:
    return World(LoopClock(START), web=outside.web)


def test_a_write_is_sent_once_and_its_answer_kept_for_later_steps_and_people() -> None:
    async def main() -> None:
        outside = Outside(httpx.Response(201, text="ticket\n 7"))
        async with stage(world=_world(outside)) as shown:
            ended = await _done(shown, POST, NOTICE)
            assert ended.results["s0"].outcome == "accepted"
            assert ended.results["s0"].reason == "HTTP 201: ticket 7"
            (request,) = outside.got
            assert (request.method, request.content) == ("POST", b'{"node": "dws", "n": 1}')
            assert request.headers["content-type"] == "application/json"
            row = await shown.last_step(ended.id)
            assert (row.kind, row.state, row.outcome) == ("http", "done", "accepted")
            assert (row.target_kind, row.target_id) == ("http", "POST https://ops.example/tickets")
            assert row.result == {"status": 201, "body": "ticket\n 7", "reason": "HTTP 201: ticket 7"}
            (told,) = shown.events
            assert told.action
            assert (told.type, told.action.step, told.action.outcome) == ("action.settled", "http", "accepted")

    run(main())


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (httpx.Response(500, text="x" * 9000), "HTTP 500: " + "x" * 500),
        (httpx.Response(404), "HTTP 404"),
        (httpx.Response(302, text="there"), "HTTP 302, and redirects are not followed: there"),
        (httpx.ConnectError("no"), "no connection (ConnectError)"),
    ],
)
@pytest.mark.parametrize("step", [POST, GET])
def test_any_other_answer_and_no_connection_are_refusals(
    answer: httpx.Response | Exception, reason: str, step: JsonObject
) -> None:
    async def main() -> None:
        async with stage(world=_world(Outside(answer))) as shown:
            ended = await _done(shown, step)
            assert ended.state == "failed"
            assert (ended.results["s0"].outcome, ended.results["s0"].reason) == ("refused", reason)
            assert (await shown.last_step(ended.id)).state == "failed"

    run(main())


def test_secrets_of_an_answer_are_kept_from_people() -> None:
    async def main() -> None:
        answer = '{"id": 7, "access_token": "abc", "nested": {"apiKey" : "def"}, "password": "cut o'
        async with stage(world=_world(Outside(httpx.Response(200, text=answer)))) as shown:
            ended = await _done(shown, GET)
            shown_text = '{"id": 7, "access_token": "***", "nested": {"apiKey" : "***"}, "password": "***"'
            assert ended.results["s0"].reason == f"HTTP 200: {shown_text}"
            assert (await shown.last_step(ended.id)).result["body"] == shown_text

    run(main())


def test_an_answer_that_was_lost_leaves_the_outcome_unknown_and_it_is_not_sent_again() -> None:
    async def main() -> None:
        outside = Outside(httpx.ReadError("reset"))
        async with stage(world=_world(outside)) as shown:
            ended = await _done(shown, {**POST, "retry": 3})
            assert (ended.state, ended.results["s0"].outcome) == ("needs_decision", "unknown")
            assert ended.results["s0"].reason == "the connection broke (ReadError): it may have arrived"
            assert len(outside.got) == 1
            # The next one is another request: nothing of ours hangs on what became of the first.
            other = await _done(shown, POST, id="fi_2", key="k2")
            assert other.results["s0"].outcome == "accepted"

    run(main())


def test_a_read_needs_no_intent_is_made_in_shadow_and_repeated() -> None:
    async def main() -> None:
        outside = Outside(httpx.ReadError("reset"), httpx.Response(200, text="ready"))
        async with stage(world=_world(outside)) as shown:
            ended = await _done(shown, {**GET, "retry": 1}, mode="shadow")
            assert ended.results["s0"].reason == "HTTP 200: ready"
            row = await shown.last_step(ended.id)
            assert (row.kind, row.attempt, row.target_id) == ("read", 2, "GET https://ops.example/tickets")
            assert shown.events == []

    run(main())


def test_in_shadow_a_write_is_rendered_and_recorded_and_not_sent() -> None:
    async def main() -> None:
        outside = Outside()
        async with stage(world=_world(outside)) as shown:
            ended = await _done(shown, POST, mode="shadow")
            assert ended.results["s0"].outcome == "shadow"
            assert outside.got == []
            assert (await shown.last_step(ended.id)).request["params"] == POST["params"] | {"headers": {}}

    run(main())


def test_over_the_ceiling_of_all_rules_nothing_leaves_and_it_is_told() -> None:
    async def main() -> None:
        outside = Outside()
        async with stage(world=_world(outside), most=1) as shown:
            ended = await _done(shown, POST, {**POST, "on_error": "continue"})
            assert [result.outcome for result in ended.results.values()] == ["accepted", "refused"]
            assert "max_writes_per_hour" in ended.results["s1"].reason
            assert len(outside.got) == 1
            assert [alarm.about for alarm in shown.alarms] == ["ceiling"]

    run(main())


def test_what_cannot_leave_as_it_is_rendered_is_refused_and_recorded() -> None:
    async def main() -> None:
        outside = Outside()
        async with stage(world=_world(outside)) as shown:
            ended = await _done(shown, {**POST, "params": {**POST["params"], "url": "http://ops.example/"}})
            assert ended.state == "failed"
            assert "this machine only" in ended.reason
            assert (outside.got, (await shown.last_step(ended.id)).outcome) == ([], "refused")

    run(main())


def test_a_request_is_no_target_that_limits_count_nor_a_change_that_a_rerun_looks_for() -> None:
    async def main() -> None:
        outside = Outside()
        async with stage(world=_world(outside)) as shown:
            plan = {"limits": {"targets": {"max": 1, "per_s": 3600}}}
            ended = await _done(shown, POST, {"kind": "rerun_instance"}, plan=plan)
            assert [result.outcome for result in ended.results.values()] == ["accepted", "accepted"]

    run(main())


@pytest.mark.parametrize("at", [0.1, 0.4])
def test_a_stop_waits_for_the_answer(at: float) -> None:
    async def main() -> None:
        outside = Outside(takes=3.0)
        world = _world(outside)
        event = failed_event(world.add_failed("t_1"))
        firing = firing_of(event, [POST])
        async with Store.open(":memory:", world.clock) as store:
            async with stage(store, world) as shown:
                await shown.add(firing, event)
                await anyio.sleep(at)
            assert (await store.read(lambda tx: tx.one("open_intents"))) == {"n": 0}
            async with stage(store, world) as shown:
                await shown.courses.resume(await shown.courses.left_open())
                (ended,) = await shown.ended(firing.id)
            assert ended.results["s0"].outcome == "accepted"
            assert len(outside.got) == 1

    run(main())


def test_a_store_that_fails_when_the_answer_comes_makes_it_unknown_and_not_sent_twice() -> None:
    async def main() -> None:
        outside = Outside()
        world = World(LoopClock(START), web=outside.web)
        event = failed_event(world.add_failed("t_1"))
        firing = firing_of(event, [POST])
        async with Store.open(":memory:", world.clock) as store:
            failing = FailingStore(store, world.clock, [(0.3, 1.0)])
            async with stage(failing, world) as shown:  # type: ignore[arg-type]
                await shown.add(firing, event)
                shown.store = store
                (ended,) = await shown.ended(firing.id)
            assert (ended.state, ended.results["s0"].outcome) == ("needs_decision", "unknown")
            assert len(outside.got) == 1

    run(main())


def test_an_intent_whose_sender_died_is_unknown_and_one_before_that_was_never_sent() -> None:
    """What the journal holds after kill -9 between the intent and the answer."""

    async def main() -> None:
        outside = Outside()
        world = _world(outside)
        event = failed_event(world.add_failed("t_1"))
        firing = firing_of(event, [POST, NOTICE], state="running")
        async with Store.open(":memory:", world.clock) as store:
            async with stage(store, world) as shown:
                await shown.add(firing, event)
                ended = (await shown.ended(firing.id))[0]
                row = await shown.last_step(ended.id)
            born = firing_of(event, [{**POST, "on_error": "continue"}, NOTICE], state="running", id="fi_2", key="k2")
            await store.write(lambda tx: journal.put_firing(tx, born))
            intent = replace(row, action_id="act_2", firing_id="fi_2", state="intent", outcome="", result={})
            await Book(store).intend([Ask(intent, "r")], lambda asks: [None])
            async with stage(store, world) as shown:
                await shown.courses.resume(await shown.courses.left_open())
                (ended,) = await shown.ended("fi_2")
            assert [result.outcome for result in ended.results.values()] == ["unknown", "accepted"]
            assert "whether the request arrived is not known" in ended.results["s0"].reason
            assert len(outside.got) == 1

    run(main())
