from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import structlog

from counting import MemoryLedger
from loopback import HANG, RESET, Answerer, Got, Loopback, answer, ok, raw, refusal, serving
from phinops.catalog.catalog import UnknownApi, load_catalog
from phinops.catalog.quotas import QuotaPlan
from phinops.clock import ScaledClock
from phinops.errors import (
    Ambiguous,
    ConfigError,
    Forbidden,
    Malformed,
    QuotaSpent,
    Refused,
    StoreError,
    Throttled,
    Transient,
)
from phinops.execute.answers import LARGEST
from phinops.execute.limit import Limiter, Priority
from phinops.execute.send import TRIES, Client, Endpoint, Reply
from phinops.execute.sign import KeyPair, acs3_authorization

SHANGHAI = ZoneInfo("Asia/Shanghai")
START = datetime(2026, 1, 5, tzinfo=UTC)
SPEED = 100.0
INSTANCE = {"ProjectId": 7, "InstanceId": "t_1"}
RERUN = {"OperateCommand": {"ProjectId": 7, "Operation": "RERUN", "InstanceIdList": [{"Id": "t_1"}]}}


class Pairs:
    """The keys of a test: what `now` says, and how often they were asked for."""

    def __init__(self, now: tuple[str, str] = ("key", "secret"), writes: tuple[str, str] | None = None) -> None:
        self.now = now
        self.writes = writes
        self.asked = 0
        self.fault: ConfigError | None = None

    def read(self) -> tuple[str, str]:
        self.asked += 1
        if self.fault:
            raise self.fault
        return self.now

    def write(self) -> tuple[str, str]:
        return self.writes or self.now


class Rig:
    """A client, its limiter and the server that it calls."""

    def __init__(self, client: Client, limiter: Limiter, server: Loopback, clock: ScaledClock) -> None:
        self.client = client
        self.limiter = limiter
        self.server = server
        self.clock = clock

    async def read(self, **params: Any) -> Reply:
        return await self.client.read("GetPhysicalInstance", {**INSTANCE, **params}, priority=Priority.POLL)

    async def write(self, params: Mapping[str, Any] | None = RERUN) -> Reply | None:
        async def prepare() -> Mapping[str, Any] | None:
            return params

        return await self.client.write("OperateInstance", prepare)


@asynccontextmanager
async def rig(
    answerer: Answerer,
    *,
    keys: Pairs | None = None,
    ledger: MemoryLedger | None = None,
    url: str = "",
    timeout: float = 5.0,
    plan: QuotaPlan | None = None,
    **more: Any,
) -> AsyncIterator[Rig]:
    clock = ScaledClock(SPEED, START)
    plan = plan or QuotaPlan({"1": 50, "2": 20, "3": 5}, {"1+2": 1000})
    limiter = Limiter("a", plan, ledger or MemoryLedger(), clock, timeout=timeout, zone=SHANGHAI)
    await limiter.open()
    async with serving(answerer) as server:
        endpoint = Endpoint(url=url or server.url, op_tenant_id=30001011, edition="basic", timeout_s=timeout)
        client = Client(replace(endpoint, **more), keys or Pairs(), limiter, load_catalog(), clock)
        async with client:
            yield Rig(client, limiter, server, clock)


def in_turn(*answers: bytes) -> Callable[[Got], bytes]:
    """One answer after the other, the last for ever."""
    left = list(answers)
    return lambda got: left.pop(0) if len(left) > 1 else left[0]


def at(minutes: float) -> str:
    when = START + timedelta(minutes=minutes)
    return f"{when:%a, %d %b %Y %H:%M:%S GMT}"


async def test_a_read_gives_the_whole_answer_and_its_request_id() -> None:
    async with rig(lambda got: ok(Instance={"Id": "t_1"})) as it:
        reply = await it.read()
    assert (reply.api, reply.request_id, reply.status) == ("GetPhysicalInstance", "r-1", 200)
    assert reply.body["Instance"] == {"Id": "t_1"}
    assert 0 < reply.elapsed_s < 5
    [got] = it.server.got
    assert (got.method, got.target.partition("?")[0], got.body) == ("POST", "/", b"")
    assert got.query == {"Env": "PROD", "InstanceId": "t_1", "OpTenantId": "30001011", "ProjectId": "7"}
    assert got.headers["host"] == it.server.url.removeprefix("http://")
    assert got.headers["accept"] == "application/json"
    assert got.headers["user-agent"].startswith("phinops/")
    assert "x-acs-retry-attempts" not in got.headers


def signed_by(got: Got, key: KeyPair) -> bool:
    names = got.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    headers = {name: got.headers[name] for name in names}
    return got.headers["authorization"] == acs3_authorization(got.target.partition("?")[2], headers, key)


async def test_writes_go_out_with_their_own_key() -> None:
    keys = Pairs(("reader", "r"), ("writer", "w"))
    async with rig(lambda got: ok(), keys=keys) as it:
        await it.read()
        await it.write()
    assert signed_by(it.server.got[0], KeyPair("reader", "r"))
    assert signed_by(it.server.got[1], KeyPair("writer", "w"))


async def test_structs_travel_as_one_form_field_and_what_the_caller_states_goes_first() -> None:
    async with rig(lambda got: ok()) as it:
        await it.write({**RERUN, "Env": "DEV", "OpUserId": "5"})
    [got] = it.server.got
    assert got.query == {"Env": "DEV", "OpTenantId": "30001011", "OpUserId": "5"}
    assert json.loads(got.form["OperateCommand"]) == RERUN["OperateCommand"]
    assert got.headers["content-type"] == "application/x-www-form-urlencoded"


async def test_booleans_of_the_query_are_written_as_json_has_them() -> None:
    async with rig(lambda got: ok()) as it:
        spec = load_catalog().require("GetBatchTaskInfo")
        wanted = {each.name: 1 for each in spec.parameters if each.required and each.location == "query"}
        await it.client.read("GetBatchTaskInfo", {**wanted, "IncludeAllUpStreams": True}, priority=Priority.OPERATOR)
    assert it.server.got[0].query["IncludeAllUpStreams"] == "true"


async def test_the_old_signature_can_be_chosen() -> None:
    async with rig(lambda got: ok(), signature="rpc_v1") as it:
        await it.read()
    assert it.server.got[0].query["SignatureMethod"] == "HMAC-SHA1"
    assert "authorization" not in it.server.got[0].headers


async def test_a_read_is_tried_again_with_a_new_nonce_and_its_attempt() -> None:
    async with rig(in_turn(RESET, raw(b"<html>", 502), refusal("X", 500), ok())) as it:
        await it.read()
    assert [got.headers.get("x-acs-retry-attempts") for got in it.server.got] == [None, "1", "2", "3"]
    assert len({got.headers["x-acs-signature-nonce"] for got in it.server.got}) == 4
    assert it.limiter.calls_today()[1] == 4


async def test_a_read_gives_up_after_the_last_try() -> None:
    async with rig(lambda got: refusal("InternalError", 500)) as it:
        with pytest.raises(Transient, match="InternalError") as caught:
            await it.read()
    assert len(it.server.got) == TRIES
    assert (caught.value.status, caught.value.request_id) == (500, "r-2")


async def test_the_catch_all_error_is_tried_once_more_only() -> None:
    async with rig(lambda got: refusal("DPN.Commons.InternalError")) as it:
        with pytest.raises(Transient):
            await it.read()
    assert len(it.server.got) == 2


async def test_no_try_begins_after_the_deadline() -> None:
    async with rig(lambda got: RESET) as it:
        await asyncio.sleep(0.02)
        soon = it.clock.monotonic() + 0.1
        with pytest.raises(Transient):
            await it.client.read("GetPhysicalInstance", INSTANCE, priority=Priority.POLL, deadline=soon)
        with pytest.raises(QuotaSpent):
            await it.client.read("GetPhysicalInstance", INSTANCE, priority=Priority.POLL, deadline=soon - 1)
    assert len(it.server.got) == 1


async def test_a_hung_server_costs_one_timeout_and_holds_the_slot() -> None:
    plan = QuotaPlan({"1+2+3": 1}, {})
    async with rig(in_turn(HANG, ok()), timeout=0.1, plan=plan) as it:
        with pytest.raises(Ambiguous, match=r"no answer in 0\.1 s"):
            await it.write()
        await it.read()
    assert it.server.got[1].at - it.server.got[0].at >= 0.1 + 1 / SPEED


@pytest.mark.parametrize("reply", [RESET, raw(b"<html>", 502), refusal("X", 500), raw(b"<html>", 200)])
async def test_a_write_whose_answer_is_lost_may_have_happened_and_goes_out_once(reply: bytes) -> None:
    async with rig(lambda got: reply) as it:
        with pytest.raises(Ambiguous):
            await it.write()
    assert len(it.server.got) == 1


async def test_a_write_that_never_reached_the_server_was_not_done_and_costs_no_call() -> None:
    ledger = MemoryLedger()
    async with rig(lambda got: ok(), url="http://127.0.0.1:1", ledger=ledger) as it:
        with pytest.raises(Transient) as caught:
            await it.write()
        assert caught.value.code == "phinops.Connect"
        assert it.limiter.calls_today()[2] == 0


async def test_a_server_that_does_not_shake_hands_was_not_reached_within_the_deadline() -> None:
    hung_up = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        hung_up.set()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with rig(lambda got: ok(), url=f"https://127.0.0.1:{port}", timeout=0.1) as it:
        with pytest.raises(Transient, match="no answer"):
            await it.write()
        async with asyncio.timeout(5):
            await hung_up.wait()
    server.close()
    await server.wait_closed()


async def test_an_answer_cut_in_the_middle_leaves_a_write_ambiguous() -> None:
    cut = b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{"

    async def half(got: Got) -> bytes:
        return cut

    async with rig(half, timeout=0.2) as it:
        with pytest.raises(Ambiguous):
            await it.write()


async def test_an_answer_beyond_all_measure_is_refused_without_being_kept() -> None:
    huge = raw(b" " * (LARGEST + 1))
    async with rig(lambda got: huge, timeout=20) as it:
        with pytest.raises(Malformed, match="more than"):
            await it.read()
        with pytest.raises(Ambiguous, match="more than"):
            await it.write()


async def test_a_throttled_read_waits_as_long_as_the_server_says() -> None:
    async with rig(in_turn(refusal("Throttling.User", x_acs_retry_after="20000"), ok())) as it:
        await it.read()
    assert it.server.got[1].at - it.server.got[0].at >= 20 / SPEED


async def test_a_throttled_write_is_known_not_done() -> None:
    async with rig(lambda got: refusal("Throttling.Api", x_acs_retry_after="1500")) as it:
        with pytest.raises(Throttled) as caught:
            await it.write()
    assert caught.value.retry_after == 1.5
    assert len(it.server.got) == 1


async def test_an_overloaded_server_that_names_a_wait_gets_it() -> None:
    async with rig(in_turn(refusal("ServiceUnavailable", 503, x_acs_retry_after="20000"), ok())) as it:
        with pytest.raises(Ambiguous):
            await it.write()
        await it.write()
    assert it.server.got[1].at - it.server.got[0].at >= 20 / SPEED


async def test_a_refusal_is_not_tried_again() -> None:
    async with rig(lambda got: refusal("DPN.OP.NodeNotFound", message="no such node")) as it:
        with pytest.raises(Refused, match=r"GetPhysicalInstance: DPN\.OP\.NodeNotFound: no such node"):
            await it.read()
        with pytest.raises(Refused):
            await it.write()
    assert len(it.server.got) == 2


async def test_a_clock_that_is_off_is_put_right_once_and_for_later_calls() -> None:
    def strict(got: Got) -> bytes:
        theirs = START + timedelta(hours=1)
        ours = datetime.fromisoformat(got.headers["x-acs-date"])
        if abs(theirs - ours) > timedelta(minutes=15):
            return refusal("InvalidTimeStamp.Expired", date=at(60))
        return ok()

    async with rig(strict) as it:
        await it.write()
        await it.read()
    assert [got.api for got in it.server.got] == ["OperateInstance", "OperateInstance", "GetPhysicalInstance"]
    assert len({got.headers["x-acs-signature-nonce"] for got in it.server.got}) == 3
    assert it.limiter.calls_today() == {1: 1, 2: 2, 3: 0}


async def test_a_clock_that_cannot_be_put_right_is_a_refusal() -> None:
    async with rig(lambda got: refusal("InvalidTimeStamp.Expired")) as it:
        with pytest.raises(Refused, match="Expired"):
            await it.read()
        with pytest.raises(Refused, match="Expired"):
            await it.write()
    assert len(it.server.got) == 4


@pytest.mark.parametrize("code", ["InvalidAccessKeyId.NotFound", "SignatureDoesNotMatch"])
async def test_a_key_that_was_changed_is_read_again(code: str) -> None:
    keys = Pairs()

    def rotated(got: Got) -> bytes:
        if signed_by(got, KeyPair("new", "hush")):
            return ok()
        keys.now = ("new", "hush")
        return refusal(code, 404)

    async with rig(rotated, keys=keys) as it:
        await it.write()
        await it.read()
    assert len(it.server.got) == 3
    assert keys.asked == 2


async def test_a_key_that_did_not_change_is_refused_with_a_hint() -> None:
    keys = Pairs()
    async with rig(lambda got: refusal("InvalidAccessKeyId.Inactive"), keys=keys) as it:
        with pytest.raises(Forbidden, match="unknown, inactive"):
            await it.read()
        keys.fault = ConfigError("the file is gone")
        with structlog.testing.capture_logs() as logs, pytest.raises(Forbidden):
            await it.read()
    assert len(it.server.got) == 2
    assert "keys.unreadable" in [entry["event"] for entry in logs]


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        (("STS.abc", "s"), "roles cannot call"),
        (("", "s"), "access_key_id is empty"),
        (("id", "two words"), "access_key_secret is empty or holds"),
        (("id", "line\n"), "access_key_secret"),
        (("ключ", "s"), "access_key_id"),
    ],
)
async def test_a_key_that_cannot_work_is_refused_at_the_start(pair: tuple[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        async with rig(lambda got: ok(), keys=Pairs(pair)):
            pytest.fail("opened")
    assert pair[1] == "s" or pair[1] not in str(caught.value)


async def test_the_pair_for_writes_is_named_when_it_is_the_wrong_one() -> None:
    with pytest.raises(ConfigError, match="write_access_key_id begins with STS"):
        async with rig(lambda got: ok(), keys=Pairs(writes=("STS.x", "s"))):
            pytest.fail("opened")


@pytest.mark.parametrize("url", ["ftp://host", "https://", "https://host/path", "host"])
async def test_an_endpoint_that_is_none_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(ConfigError, match="write https://HOST"):
        async with rig(lambda got: ok(), url=url):
            pytest.fail("opened")


async def test_a_secret_that_the_server_quotes_does_not_come_out() -> None:
    keys = Pairs(("key", "TopSecret"))
    async with rig(lambda got: refusal("SignatureDoesNotMatch", message="signed with TopSecret"), keys=keys) as it:
        with pytest.raises(Forbidden) as caught:
            await it.read()
    assert "TopSecret" not in str(caught.value)
    assert "signed with ***" in str(caught.value)


async def test_a_write_with_nothing_to_send_sends_nothing() -> None:
    async with rig(lambda got: ok()) as it:
        assert await it.write(None) is None
        assert it.limiter.calls_today()[2] == 0
    assert it.server.got == []


async def test_what_prepare_raises_passes_through_and_nothing_is_sent() -> None:
    async def broken() -> None:
        raise StoreError("the disk is full")

    async with rig(lambda got: ok()) as it:
        with pytest.raises(StoreError):
            await it.client.write("OperateInstance", broken)
        assert it.limiter.calls_today()[2] == 0
    assert it.server.got == []


async def test_a_call_that_cannot_be_counted_is_not_sent() -> None:
    ledger = MemoryLedger()
    ledger.broken = StoreError("the disk is full")
    async with rig(lambda got: ok(), ledger=ledger) as it:
        with pytest.raises(StoreError):
            await it.read()
        ledger.broken = None
        await it.read()
    assert len(it.server.got) == 1


async def test_what_is_wrong_with_a_call_is_said_before_it_is_sent() -> None:
    async with rig(lambda got: ok(), edition="agile") as it:
        with pytest.raises(UnknownApi, match="did you mean «GetPhysicalInstance»"):
            await it.client.read("GetPhysicalInstanc", {}, priority=Priority.POLL)
        with pytest.raises(ValueError, match="OperateInstance writes"):
            await it.client.read("OperateInstance", {}, priority=Priority.POLL)
        with pytest.raises(Refused, match="needs the basic edition"):
            await it.client.read("ListDataServiceApiImpacts", {}, priority=Priority.POLL)
        with pytest.raises(Refused, match="needs InstanceId"):
            await it.client.read("GetPhysicalInstance", {"ProjectId": 7}, priority=Priority.POLL)
        with pytest.raises(Refused, match="did you mean"):
            await it.read(Instanceid="t")
        with pytest.raises(Refused, match="cannot be sent"):
            await it.read(InstanceId="\ud800")
        with pytest.raises(Refused, match="Operation"):
            await it.write({"OperateCommand": {"ProjectId": 7, "Operation": "FLY", "InstanceIdList": []}})
    assert it.server.got == []


async def test_a_client_that_is_not_open_says_so() -> None:
    async with rig(lambda got: ok()) as it:
        pass
    with pytest.raises(RuntimeError, match="not open"):
        await it.read()


async def test_a_read_may_go_the_way_of_writes() -> None:
    async def prepare() -> Mapping[str, Any]:
        return INSTANCE

    async with rig(lambda got: ok()) as it:
        reply = await it.client.write("GetPhysicalInstance", prepare)
    assert reply is not None


async def test_connections_are_kept_and_never_more_than_sixteen() -> None:
    async def slowly(got: Got) -> bytes:
        await asyncio.sleep(0.01)
        return ok()

    async with rig(slowly) as it, asyncio.TaskGroup() as calls:
        for _ in range(60):
            calls.create_task(it.read())
    assert len(it.server.got) == 60
    assert it.server.connections <= 12


async def test_hung_reads_do_not_hold_up_a_write() -> None:
    hung = asyncio.Event()

    def hangs(got: Got) -> bytes:
        if len(it.server.got) == 4:
            hung.set()
        return HANG if got.api == "GetPhysicalInstance" else ok()

    async with rig(hangs, plan=QuotaPlan({"1+2+3": 5}, {}), timeout=3) as it:
        reads = [asyncio.ensure_future(it.read()) for _ in range(20)]
        async with asyncio.timeout(2):
            await hung.wait()
            await it.write()
        for each in reads:
            each.cancel()
        await asyncio.gather(*reads, return_exceptions=True)


async def test_an_answer_without_an_envelope_is_not_taken_for_one() -> None:
    async with rig(lambda got: answer({"hello": "world"})) as it:
        with pytest.raises(Malformed, match="neither"):
            await it.read()
        with pytest.raises(Ambiguous):
            await it.write()
