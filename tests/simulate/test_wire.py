"""HTTP as the simulator speaks it."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from phinops.clock import SystemClock
from phinops.simulate import serve
from phinops.simulate.signature import Request
from phinops.simulate.wire import Answer, Malformed, encode_answer, parse_request
from simulated import HandClock

WHOLE = b"POST /?a=1 HTTP/1.1\r\nHost: here\r\nContent-Length: 3\r\n\r\nxyz"


def test_a_request_is_read_when_all_of_it_is_there_and_the_next_one_stays() -> None:
    for end in range(len(WHOLE)):
        assert parse_request(bytearray(WHOLE[:end])) is None
    buffer = bytearray(WHOLE + b"POST / HT")
    headers = {"host": "here", "content-length": "3"}
    assert parse_request(buffer) == Request("POST", "/", "a=1", headers, b"xyz")
    assert buffer == b"POST / HT"


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"GET / HTTP/2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nnonsense\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: many\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\ncontent-length: 99999999\r\n\r\n", 413),
        (b"x" * 70_000, 431),
    ],
)
def test_what_is_no_request_is_said_to_be_none(text: bytes, status: int) -> None:
    with pytest.raises(Malformed) as caught:
        parse_request(bytearray(text))
    assert caught.value.status == status


def test_an_answer_may_have_a_status_that_nobody_named() -> None:
    assert encode_answer(Answer(599), close=True).startswith(b"HTTP/1.1 599 \r\n")


async def exchange(port: int, text: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text)
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    await writer.wait_closed()
    return answer


async def test_requests_of_one_connection_are_answered_in_turn_until_it_is_closed() -> None:
    async with serve("quiet", clock=SystemClock()) as simulator:
        port = int(simulator.url.rpartition(":")[2])
        one = b"GET /_simulator HTTP/1.1\r\nhost: x\r\n\r\n"
        last = b"GET /_simulator HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        answer = await exchange(port, one + one + last)
        assert answer.count(b"HTTP/1.1 200 OK") == 3
        assert (await exchange(port, b"nonsense\r\n\r\n")).startswith(b"HTTP/1.1 400 Bad Request")


async def test_the_counters_can_be_read_from_another_process() -> None:
    async with serve("quiet", clock=HandClock()) as simulator, httpx.AsyncClient() as client:
        failed = simulator.tenant.fail_instance("dws_orders_1d")
        simulator.tenant.reruns[failed.id] += 1
        counters = json.loads((await client.get(f"{simulator.url}/_simulator")).text)
        assert counters["reruns"] == {failed.id: 1}
        assert (counters["refused"], counters["failed"], counters["paused_nodes"]) == (0, 1, [])
        assert counters["calls"] == {}


async def test_the_end_of_the_simulator_resets_what_is_open() -> None:
    async with serve("quiet", clock=SystemClock()) as simulator:
        port = int(simulator.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /_simulator HTTP/1.1\r\nhost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.read(), 5)
    writer.close()
