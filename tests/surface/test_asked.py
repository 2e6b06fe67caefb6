"""The links of notices and the API, over HTTP: who may answer, once, and that looking answers nothing."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from fakedaemon import FakeService
from phinops.answering import Answering
from phinops.approval import Approval, Shown, ShownCall, Standing
from phinops.channels import StoredOutbox
from phinops.clock import LoopClock
from phinops.config import Server
from phinops.execute.bells import Bells
from phinops.firing import Firing
from phinops.record import approvals, journal
from phinops.record.sqlite import Store
from phinops.surface.asked import FORM_LIMIT
from phinops.surface.door import door_for
from phinops.surface.server import build_app

START = datetime(2026, 1, 5, tzinfo=UTC)
PUBLIC = "https://phinops.example.com"
TOKEN = {"Authorization": "Bearer t0ken"}
CALL = ShownCall(
    1, "again", "rerun_instance", "OperateInstance", {"Operation": "<RERUN>"}, "instance", "t_1", "7", "d1"
)  # fmt: skip


@dataclass(slots=True)
class Desk:
    """A question on the table, the way to it, and the clock."""

    store: Store
    clock: ShiftedClock
    local: httpx.AsyncClient
    public: httpx.AsyncClient
    path: str

    async def now(self) -> Approval:
        found = await self.store.read(lambda tx: approvals.approval_of(tx, "ap_1"))
        assert found
        return found

    async def later(self, span: timedelta) -> None:
        self.clock.start += span


class ShiftedClock(LoopClock):
    """Its time can be turned on."""

    def __init__(self) -> None:
        super().__init__(START)
        self.start = START

    def now(self) -> datetime:
        return self.start


@asynccontextmanager
async def asked() -> AsyncGenerator[Desk]:
    clock = ShiftedClock()
    async with Store.open(":memory:", clock) as store:
        shown = Shown([CALL], [Standing("instance", "t_1", "7", status="FAILED", below=3)])
        question = Approval(
            "ap_1", "act_1", "fi_1", 0, "prod", "gold", "ask", "May <we>?", shown, START, START + timedelta(hours=1)
        )
        payload = {"rule": "gold", "links": {}, "approval": {"id": "ap_1"}}

        def put(tx: Any) -> None:
            journal.put_firing(tx, Firing("fi_1", "", "prod", "gold", "h", "armed", "k", {"steps": []}, "running"))
            approvals.put_approval(tx, question)
            journal.put_notice(tx, "msg_1", "fi_1", 0, "boss", payload)

        await store.write(put)
        (letter,) = await StoredOutbox(store, public_url=PUBLIC).due("boss", START, 9)
        link = letter.payload["links"]["approval"]
        assert link.startswith(f"{PUBLIC}/approvals/ap_1/")
        service = FakeService(answering=Quick(store, Bells(), clock, UTC))
        door = door_for(Server(public_url=PUBLIC), 8642, ["t0ken"])
        app = build_app(service, door)
        transport = httpx.ASGITransport(app, client=("10.9.8.7", 5))
        async with (
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8642") as local,
            httpx.AsyncClient(transport=transport, base_url=PUBLIC) as public,
        ):
            yield Desk(store, clock, local, public, link.removeprefix(PUBLIC))


class Quick(Answering):
    """Waits for nothing: no firing is carried here."""

    async def answer(self, *given: Any, **more: Any) -> Any:
        return await super().answer(*given, **{**more, "wait": 0.0})


async def test_a_link_shows_what_is_asked_with_two_buttons() -> None:
    async with asked() as desk:
        page = await desk.public.get(desk.path)
        assert page.status_code == 200
        assert "May &lt;we&gt;?" in page.text
        assert "rerun_instance t_1 in project 7: OperateInstance" in page.text
        assert "&lt;RERUN&gt;" in page.text
        assert "instance t_1: FAILED, 3 nodes hang below it" in page.text
        assert re.findall('name="answer" value="([a-z]+)"', page.text) == ["approve", "deny"]
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in page.headers["content-security-policy"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT"])
async def test_looking_answers_nothing_as_often_as_it_is_done(method: str) -> None:
    async with asked() as desk:
        for query in ("", "?answer=approve", "?answer=deny"):
            await desk.public.request(method, desk.path + query)
        assert (await desk.now()).answer == ""


@pytest.mark.parametrize(("button", "answer"), [("approve", "approved"), ("deny", "denied")])
async def test_a_button_answers_with_the_address_of_who_pressed_it(button: str, answer: str) -> None:
    async with asked() as desk:
        page = await desk.public.post(desk.path, data={"answer": button, "reason": " fine "})
        assert (page.status_code, answer.capitalize() in page.text) == (200, True)
        now = await desk.now()
        assert (now.answer, now.by, now.via, now.reason) == (answer, "10.9.8.7", "link", "fine")
        assert now.answered_at == START


async def test_a_link_is_used_once() -> None:
    async with asked() as desk:
        await desk.public.post(desk.path, data={"answer": "deny"})
        again = await desk.public.post(desk.path, data={"answer": "approve"})
        assert again.status_code == 409
        assert "cannot be answered any more: denied by 10.9.8.7 (link)" in again.text
        look = await desk.public.get(desk.path)
        assert (look.status_code, "<button" in look.text) == (410, False)
        assert (await desk.now()).answer == "denied"


async def test_a_link_is_over_when_its_time_is() -> None:
    async with asked() as desk:
        await desk.later(timedelta(hours=1))
        look = await desk.public.get(desk.path)
        late = await desk.public.post(desk.path, data={"answer": "approve"})
        assert (look.status_code, "<button" in look.text) == (410, False)
        assert (late.status_code, (await desk.now()).answer) == (409, "")
        assert "cannot be answered any more: expired at 2026-01-05T01:00:00+00:00" in late.text


async def test_a_link_that_is_not_ours_leads_nowhere() -> None:
    async with asked() as desk:
        code = desk.path.rpartition("/")[2]
        other = ("0" if code[0] != "0" else "1") + code[1:]
        for path in (f"/approvals/ap_1/{other}", f"/approvals/ap_2/{code}", "/approvals/ap_1/é", f"{desk.path}0"):
            for answer in (await desk.public.get(path), await desk.public.post(path, data={"answer": "approve"})):
                assert answer.status_code == 404
        assert (await desk.now()).answer == ""


async def test_a_form_that_says_neither_answers_nothing() -> None:
    async with asked() as desk:
        assert (await desk.public.post(desk.path, data={"answer": "maybe"})).status_code == 400
        assert (await desk.public.post(desk.path, content=b"\xff\xfe")).status_code == 400
        assert (await desk.public.post(desk.path, content=b"a" * (FORM_LIMIT + 1))).status_code == 413
        assert (await desk.now()).answer == ""


async def test_under_the_public_name_there_are_links_and_nothing_else() -> None:
    async with asked() as desk:
        for path in ("/", "/api/v1/status", "/api/v1/approvals", "/metrics", "/healthz"):
            assert (await desk.public.get(path, headers=TOKEN)).status_code == 421
        assert (await desk.local.get("/api/v1/status")).status_code == 200
        assert (await desk.local.get(desk.path)).status_code == 200
        assert (await desk.local.get(desk.path, headers={"Host": "evil.example.com"})).status_code == 421


async def test_the_link_is_not_in_the_store() -> None:
    async with asked() as desk:
        code = desk.path.rpartition("/")[2]
        dump = await desk.store.read(lambda tx: "\n".join(tx._connection.iterdump()))
        assert "ap_1" in dump
        assert code not in dump
        (letter,) = await StoredOutbox(desk.store).due("boss", START, 9)
        assert letter.payload["links"] == {}


async def test_the_api_lists_questions_and_takes_answers_with_the_token() -> None:
    async with asked() as desk:
        (row,) = (await desk.local.get("/api/v1/approvals")).json()
        assert (row["id"], row["state"], row["answer"]) == ("ap_1", "open until 2026-01-05T01:00:00+00:00", "")
        assert row["calls"][0]["params"] == {"Operation": "<RERUN>"}
        assert row["objects"][0]["below"] == 3
        assert (await desk.local.get("/api/v1/approvals?tenant=other")).json() == []
        assert (await desk.local.post("/api/v1/approvals/ap_1/approve")).status_code == 401
        good = await desk.local.post("/api/v1/approvals/ap_1/approve", headers=TOKEN)
        assert (good.status_code, good.json()["answer"], good.json()["by"]) == (200, "approved", "token")
        second = await desk.local.post("/api/v1/approvals/ap_1/deny", headers=TOKEN, json={"by": "anna", "reason": "r"})
        assert second.status_code == 409
        assert "cannot be answered any more: approved by token (api)" in second.json()["error"]["message"]
        assert second.json()["error"]["approval"]["answer"] == "approved"


async def test_an_answer_to_no_question_and_one_that_is_no_text_are_told() -> None:
    async with asked() as desk:
        none = await desk.local.post("/api/v1/approvals/ap_9/approve", headers=TOKEN)
        assert (none.status_code, none.json()["error"]["message"]) == (404, "there is no approval «ap_9»")
        wrong: list[dict[str, Any]] = [{"by": 7}, {"reason": []}, {"via": "link"}]
        for body in wrong:
            answer = await desk.local.post("/api/v1/approvals/ap_1/deny", headers=TOKEN, json=body)
            assert answer.status_code == 400
        assert (await desk.now()).answer == ""


async def test_questions_are_described_as_they_are_told() -> None:
    async with asked() as desk:
        document = (await desk.local.get("/api/v1/openapi.json")).json()
        (row,) = (await desk.local.get("/api/v1/approvals")).json()
        told = document["paths"]["/api/v1/approvals"]["get"]
        schema = told["responses"]["200"]["content"]["application/json"]["schema"]["items"]
        assert set(schema["required"]) == set(row)
