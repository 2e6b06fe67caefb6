from __future__ import annotations

import json
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import httpx
import pytest

from fakedaemon import PLAN, QUOTA, STATUS, UNDONE, UNLIMITED, FakeService, Reloaded
from phinops.config import Secret, Server
from phinops.errors import Ambiguous, Forbidden, NotUndone, QuotaSpent, StoreError
from phinops.problem import Problem
from phinops.surface.door import Door, door_for
from phinops.surface.listening import CannotListen, bind, serving
from phinops.surface.server import HOOK_LIMIT, build_app

TOKEN = {"Authorization": "Bearer t0ken"}


@pytest.fixture
def service() -> FakeService:
    return FakeService()


LOCAL = door_for(Server(), 8642, ["t0ken", "other"])


@asynccontextmanager
async def visitor(service: FakeService, door: Door = LOCAL) -> AsyncGenerator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(build_app(service, door), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8642") as client:
        yield client


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_health_is_a_status_with_its_reasons(service: FakeService, path: str) -> None:
    async with visitor(service) as client:
        good = await client.get(path)
        service.health = (False, ["source alerts of prod is stale"])
        bad = await client.get(path)
    assert (good.status_code, good.json()) == (200, {"ok": True, "reasons": []})
    assert (bad.status_code, bad.json()["reasons"]) == (503, ["source alerts of prod is stale"])


async def test_reading_on_loopback_needs_no_token(service: FakeService) -> None:
    async with visitor(service) as client:
        assert (await client.get("/api/v1/status")).json() == STATUS
        assert (await client.get("/api/v1/events")).json() == [{"kind": "event", "limit": 100, "tenant": ""}]
        assert (await client.get("/api/v1/firings?limit=3")).json() == [{"kind": "firing", "limit": 3, "tenant": ""}]
        assert (await client.get("/api/v1/actions?tenant=prod")).json()[0]["tenant"] == "prod"
        assert (await client.get("/")).text.startswith("<!doctype html>")


async def test_the_quota_is_told_by_what_is_asked(service: FakeService) -> None:
    async with visitor(service) as client:
        assert (await client.get("/api/v1/quota")).json() == [QUOTA, UNLIMITED]
        await client.get("/api/v1/quota?by=rule&limit=3&tenant=prod")
        wrong = await client.get("/api/v1/quota?by=colour")
    assert service.asked == [(None, 10, ""), ("rule", 3, "prod")]
    assert (wrong.status_code, wrong.json()["error"]["message"]) == (400, "`by` is one of api, source, rule, firing")


async def test_the_quota_is_described_as_it_is_told(service: FakeService) -> None:
    async with visitor(service) as client:
        document = (await client.get("/api/v1/openapi.json")).json()
    told = document["paths"]["/api/v1/quota"]["get"]
    schema = told["responses"]["200"]["content"]["application/json"]["schema"]["items"]
    assert set(schema["required"]) == set(QUOTA)
    assert set(schema["properties"]["spenders"]["items"]["properties"]) == {*QUOTA["spenders"][0], "firing"}
    assert [each["name"] for each in told["parameters"]] == ["by", "limit", "tenant"]


async def test_what_was_recorded_is_told_page_by_page(service: FakeService) -> None:
    async with visitor(service) as client:
        good = await client.get("/api/v1/recorded?tenant=prod&since=2026-01-05T00:00:00Z&after=0&limit=5")
        await client.get("/api/v1/recorded")
        wrong = [
            (await client.get(f"/api/v1/recorded?{each}")).status_code
            for each in ("since=today", "since=2026-01-05", "after=x")
        ]
    assert good.json() == {"newest": None, "next": None, "events": []}
    assert service.asked == [
        ("prod", datetime(2026, 1, 5, tzinfo=UTC), 0, 5),
        ("", datetime(1970, 1, 1, tzinfo=UTC), 0, 100),
    ]
    assert wrong == [400, 400, 400]


@pytest.mark.parametrize("limit", ["0", "1001", "x", "-1"])
async def test_a_limit_out_of_bounds_is_refused(service: FakeService, limit: str) -> None:
    async with visitor(service) as client:
        answer = await client.get(f"/api/v1/events?limit={limit}")
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "`limit` is a number from 1 to 1000"


@pytest.mark.parametrize(
    "authorization", ["", "Bearer wrong", "Basic t0ken", "Bearer", "t0ken", "Bearer t0ken2", "Bearer ümlaut"]
)
async def test_a_change_without_the_token_is_refused(service: FakeService, authorization: str) -> None:
    async with visitor(service) as client:
        for path in ("/api/v1/reload", "/api/v1/call", "/api/v1/pause", "/api/v1/resume", "/api/v1/actions/a/undo"):
            answer = await client.post(path, headers=[(b"Authorization", authorization.encode())])
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert service.asked == []


@pytest.mark.parametrize("token", ["t0ken", "other"])
async def test_each_of_the_tokens_opens(service: FakeService, token: str) -> None:
    async with visitor(service) as client:
        answer = await client.post("/api/v1/reload", headers={"Authorization": f"bearer {token}"})
    assert (answer.status_code, answer.json()) == (200, {"accepted": True, "problems": [], "changed": {"added": ["a"]}})


async def test_the_kill_switch_is_moved_in_somebody_s_name(service: FakeService) -> None:
    async with visitor(service) as client:
        given = {"by": "ada", "reason": "a release"}
        paused = await client.post("/api/v1/pause", headers=TOKEN, json=given)
        nameless = await client.post("/api/v1/pause", headers=TOKEN)
        resumed = await client.post("/api/v1/resume", headers=TOKEN, json={"by": "bob"})
        wrong = await client.post("/api/v1/pause", headers=TOKEN, json={"by": 7})
    assert (paused.status_code, paused.json()["paused"] | given) == (200, paused.json()["paused"])
    assert nameless.json()["paused"]["by"] == "api"
    assert (resumed.status_code, resumed.json()) == (200, {"resumed": None})
    assert (wrong.status_code, wrong.json()["error"]["message"]) == (400, "`by` and `reason` are texts")
    assert service.asked == [("pause", "ada", "a release"), ("pause", "api", ""), ("resume", "bob")]


async def test_a_refused_reload_lists_its_problems(service: FakeService) -> None:
    service.reloaded = Reloaded(False, (Problem("a.rules.yaml", 3, 7, "unknown-key", "no"),))
    async with visitor(service) as client:
        answer = await client.post("/api/v1/reload", headers=TOKEN)
    assert answer.status_code == 409
    assert answer.json()["problems"] == [
        {"file": "a.rules.yaml", "line": 3, "column": 7, "code": "unknown-key", "message": "no", "severity": "error"}
    ]


async def test_beyond_loopback_reading_needs_a_token_and_health_does_not(service: FakeService) -> None:
    door = door_for(Server(listen="ops.example.com:80", token=Secret(env="T")), 80, ["t0ken"])
    async with visitor(service, door) as client:
        client.base_url = httpx.URL("http://ops.example.com:80")
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/metrics")).status_code == 401
        assert (await client.get("/api/v1/status")).status_code == 401
        assert (await client.get("/api/v1/status", headers=TOKEN)).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:1", "127.0.0.1.evil.example:8642", ""])
async def test_a_foreign_host_header_is_refused(service: FakeService, host: str) -> None:
    async with visitor(service) as client:
        answer = await client.get("/api/v1/status", headers={"Host": host})
    assert (answer.status_code, answer.json()["error"]["code"]) == (421, "wrong-host")


@pytest.mark.parametrize("host", ["127.0.0.1:8642", "LOCALHOST:8642", "[::1]:8642", "localhost"])
async def test_every_name_of_loopback_is_the_listening_name(service: FakeService, host: str) -> None:
    async with visitor(service) as client:
        assert (await client.get("/api/v1/status", headers={"Host": host})).status_code == 200


async def test_on_every_address_any_name_will_do(service: FakeService) -> None:
    door = door_for(Server(listen="0.0.0.0:80", token=Secret(env="T")), 80, ["t0ken"])
    async with visitor(service, door) as client:
        assert (await client.get("/api/v1/status", headers={"Host": "x", **TOKEN})).status_code == 200


UNDO = "/api/v1/actions/act_1/undo"


async def test_an_action_is_taken_back_for_who_says_so(service: FakeService) -> None:
    async with visitor(service) as client:
        plan = await client.post(UNDO, headers=TOKEN, json={"preview": True})
        done = await client.post(UNDO, headers=TOKEN, json={"by": " ann ", "reason": "over", "wait": "5s"})
        assert (await client.get(UNDO)).status_code == 405
    assert (plan.json(), done.json()) == (PLAN, UNDONE)
    assert service.asked == ["act_1", ("act_1", "ann", "over", timedelta(seconds=5))]


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"by": ""}', b'{"by": 7}', b'{"by": "a", "reason": 7}', b'{"by": "a", "wait": 7}'],
)
async def test_an_undo_that_does_not_say_who_or_is_not_one_is_wrong(service: FakeService, body: bytes) -> None:
    async with visitor(service) as client:
        answer = await client.post(UNDO, headers=TOKEN, content=body)
    assert (answer.status_code, service.asked) == (400, [])


@pytest.mark.parametrize("asked", [{"preview": True}, {"by": "ann"}])
@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (LookupError("no action «act_1» is on record"), 404, "http"),
        (NotUndone("act_1 cannot be taken back: it is over"), 409, "not-undone"),
        (QuotaSpent("the day is spent"), 503, "quota-spent"),
    ],
)
async def test_what_cannot_be_taken_back_is_told_apart(
    service: FakeService, error: Exception, status: int, code: str, asked: dict[str, Any]
) -> None:
    service.error = error
    async with visitor(service) as client:
        answer = await client.post(UNDO, headers=TOKEN, json=asked)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.json()["error"]["message"] == str(error)


async def test_leases_are_described_as_they_are_told(service: FakeService) -> None:
    async with visitor(service) as client:
        (lease,) = (await client.get("/api/v1/leases?tenant=prod&limit=3")).json()
        document = (await client.get("/api/v1/openapi.json")).json()
    told = document["paths"]["/api/v1/leases"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert set(lease) - {"limit"} == set(told["items"]["required"])
    assert (lease["tenant"], lease["limit"]) == ("prod", 3)


async def test_a_call_is_handed_on_and_its_reply_given_back(service: FakeService) -> None:
    body = {"api": "ListProjects", "params": {"PageSize": 1}, "wait": "5s", "tenant": "prod"}
    async with visitor(service) as client:
        answer = await client.post("/api/v1/call", headers=TOKEN, json=body)
        await client.post("/api/v1/call", headers=TOKEN, json={"api": "ListProjects"})
    assert answer.json() == {"Code": "OK"}
    assert service.asked == [
        ("ListProjects", {"PageSize": 1}, timedelta(seconds=5), "prod"),
        ("ListProjects", {}, timedelta(seconds=60), None),
    ]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ValueError("ListProjects has no parameter 'X'"), 400, "http"),
        (Forbidden("ListProjects", "DPN.Auth", "no right", request_id="r-1"), 422, "refused"),
        (QuotaSpent("the day is spent"), 503, "quota-spent"),
        (Ambiguous("OperateInstance", "timeout", "no answer"), 503, "ambiguous"),
        (StoreError("disk full"), 503, "unavailable"),
        (RuntimeError("a secret"), 500, "internal"),
    ],
)
async def test_what_went_wrong_with_a_call_is_told_apart(
    service: FakeService, error: Exception, status: int, code: str
) -> None:
    service.error = error
    async with visitor(service) as client:
        answer = await client.post("/api/v1/call", headers=TOKEN, json={"api": "ListProjects"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert "a secret" not in answer.text
    if isinstance(error, Forbidden):
        assert answer.json()["error"]["request_id"] == "r-1"


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"\xff", b"{}", b'{"api": 1}', b'{"api": "A", "params": []}', b'{"api": "A", "wait": "5"}']
)
async def test_a_call_that_is_not_one_is_refused(service: FakeService, body: bytes) -> None:
    async with visitor(service) as client:
        answer = await client.post("/api/v1/call", headers=TOKEN, content=body)
    assert (answer.status_code, service.asked) == (400, [])


async def test_a_hook_is_taken_in(service: FakeService) -> None:
    async with visitor(service) as client:
        answer = await client.post("/hooks/deploy", headers={"webhook-id": "m1"}, content=b"x" * HOOK_LIMIT)
    assert (answer.status_code, service.asked) == (202, [("deploy", "m1", HOOK_LIMIT)])


@pytest.mark.parametrize("status", [400, 401, 404, 429, 503])
async def test_a_refused_hook_says_why(service: FakeService, status: int) -> None:
    service.hooked = (status, "because")
    async with visitor(service) as client:
        answer = await client.post("/hooks/deploy", headers={"webhook-id": "m1"})
    assert (answer.status_code, answer.json()["error"]["message"]) == (status, "because")


async def test_a_hook_of_more_than_a_mebibyte_is_not_read_on(service: FakeService) -> None:
    given = 0

    async def endless() -> AsyncGenerator[bytes]:
        nonlocal given
        while True:
            given += 1 << 16
            yield b"x" * (1 << 16)

    async with visitor(service) as client:
        answer = await client.post("/hooks/deploy", content=endless())
    assert (answer.status_code, service.asked) == (413, [])
    assert given <= HOOK_LIMIT + (1 << 17)


async def test_a_hook_whose_body_breaks_off_is_not_taken_in(service: FakeService) -> None:
    sent: list[Any] = []
    messages = iter([{"type": "http.request", "body": b"half", "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/hooks/x", "headers": [(b"host", b"localhost")]}
    await build_app(service, LOCAL)({**scope, "query_string": b"", "root_path": ""}, receive, send)
    assert (sent[0]["status"], service.asked) == (400, [])


async def test_every_error_is_json(service: FakeService) -> None:
    async with visitor(service) as client:
        for method, path, status in (("GET", "/nowhere", 404), ("POST", "/healthz", 405), ("GET", "/hooks/x", 405)):
            answer = await client.request(method, path)
            assert (answer.status_code, set(answer.json()["error"])) == (status, {"code", "message"})


async def test_metrics_are_prometheus_text_with_our_prefix(service: FakeService) -> None:
    async with visitor(service) as client:
        answer = await client.get("/metrics")
    lines = answer.text.splitlines()
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'phinops_events_total{type="instance.failed"} 3.0' in lines
    assert "phinops_actions_unsettled 1.0" in lines
    assert 'phinops_actions{outcome="verified"} 2.0' in lines
    assert 'phinops_notices{state="sent"} 1.0' in lines
    assert 'phinops_calls_by_source{level="1",source="alerts"} 5.0' in lines
    assert 'phinops_source_state{source="impacts",state="resting",tenant="prod"} 1.0' in lines
    assert 'phinops_source_last_good_timestamp_seconds{source="alerts",tenant="prod"} 1.767571200e+09' in [
        line.replace("1.7675712e+09", "1.767571200e+09") for line in lines
    ]
    assert 'phinops_quota_limit{pool="1+2",tenant="prod"} 50000.0' in lines
    assert "phinops_ready 1.0" in lines
    assert all(line.startswith(("phinops_", "# HELP phinops_", "# TYPE phinops_")) for line in lines)


async def test_metrics_are_there_when_the_store_is_not(service: FakeService) -> None:
    service.error = StoreError("disk failed")
    async with visitor(service) as client:
        answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert "phinops_ready 1.0" in answer.text
    assert "phinops_actions" not in answer.text


async def test_the_openapi_document_names_every_route(service: FakeService) -> None:
    app = build_app(service, LOCAL)
    served = {route.path for route in app.routes if hasattr(route, "path")}
    async with visitor(service) as client:
        document = (await client.get("/api/v1/openapi.json")).json()
    assert set(document["paths"]) == served - {"/", "/api/v1/openapi.json"}
    assert json.loads(json.dumps(document))["openapi"] == "3.1.0"


async def test_it_serves_on_a_socket_and_ends_with_the_block(service: FakeService) -> None:
    with bind(Server(listen="127.0.0.1:0")) as listener:
        port = listener.getsockname()[1]
        async with (
            serving(build_app(service, door_for(Server(), port, [])), listener),
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
        ):
            assert (await client.get("/healthz")).status_code == 200
    with pytest.raises(OSError, match="attempts failed"):
        await anyio.connect_tcp("127.0.0.1", port)


def test_an_address_that_is_taken_is_told() -> None:
    with bind(Server(listen="127.0.0.1:0")) as listener:
        taken = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(CannotListen, match=f"cannot listen on {taken}"):
            bind(Server(listen=taken))


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_ipv6_loopback_can_be_listened_on() -> None:
    with bind(Server(listen="[::1]:0")) as listener:
        assert listener.getsockname()[0] == "::1"
