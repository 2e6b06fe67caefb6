"""Requests to the outside: where they may go, what is known when no answer comes, and how much of one is kept."""

from __future__ import annotations

import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import closing

import httpx
import pytest

from loopback import HANG, RESET, raw, serving
from phinops.execute.steps.http import Request
from phinops.execute.web import KEPT, Lost, NotSent, Reply, Web, allowed

PUBLIC = "203.0.113.7"
Handler = Callable[[httpx.Request], httpx.Response]


def _request(url: str = "https://api.example/deploys?x=1", method: str = "POST", body: bytes = b"{}") -> Request:
    return Request(method, url, {"x-one": "1"}, body)


def _at(*addresses: str) -> Callable[[str, int], Awaitable[Sequence[str]]]:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return resolve


def _web(handler: Handler, *addresses: str) -> Web:
    return Web(transport=httpx.MockTransport(handler), resolve=_at(*(addresses or (PUBLIC,))))


async def test_the_connection_is_made_to_the_address_that_was_looked_at_and_bears_the_name() -> None:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(201, text="made")

    async with _web(handle) as web:
        assert await web.send(_request("https://api.example:8443/deploys?x=1")) == Reply(201, b"made")
    (request,) = seen
    assert str(request.url) == f"https://{PUBLIC}:8443/deploys?x=1"
    assert (request.headers["host"], request.headers["x-one"]) == ("api.example:8443", "1")
    assert request.extensions["sni_hostname"] == "api.example"
    assert request.content == b"{}"


@pytest.mark.parametrize(
    ("address", "may"),
    [
        (PUBLIC, True),
        ("10.0.0.8", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("2001:db8::1", True),
        ("169.254.169.254", False),
        ("169.254.0.1", False),
        ("100.100.100.200", False),
        ("168.63.129.16", False),
        ("fd00:ec2::254", False),
        ("fe80::1", False),
        ("::ffff:169.254.169.254", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("2002:a9fe:a9fe::1", False),
        ("0.0.0.0", False),
        ("::", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
    ],
)
def test_where_nothing_is_sent(address: str, may: bool) -> None:
    assert allowed(address) is may


@pytest.mark.parametrize(
    ("addresses", "url", "reason"),
    [
        (["169.254.169.254"], "https://metadata.example/", "169.254.169.254, where nothing is sent"),
        ([PUBLIC, "fe80::1"], "https://api.example/", "fe80::1, where nothing is sent"),
        ([PUBLIC], "http://localhost/", "not on this machine"),
        ([], "https://api.example/", "cannot be found"),
        ([PUBLIC], "https://[::1", "no address"),
    ],
)
async def test_what_may_not_leave_does_not(addresses: list[str], url: str, reason: str) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        raise AssertionError("it has left")

    async with Web(transport=httpx.MockTransport(handle), resolve=_at(*addresses)) as web:
        with pytest.raises(NotSent, match=reason):
            await web.send(_request(url))


async def test_a_name_that_is_not_found_has_sent_nothing() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror("unknown")

    async with Web(resolve=resolve) as web:
        with pytest.raises(NotSent, match=r"api\.example cannot be found"):
            await web.send(_request())


async def test_the_second_address_is_tried_where_the_first_takes_no_connection() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.host == PUBLIC:
            raise httpx.ConnectError("refused")
        return httpx.Response(200)

    async with _web(handle, PUBLIC, PUBLIC, "203.0.113.8", "203.0.113.9") as web:
        assert (await web.send(_request())).status == 200


@pytest.mark.parametrize(
    ("error", "known"),
    [
        (httpx.ConnectError("x"), NotSent),
        (httpx.ConnectTimeout("x"), NotSent),
        (httpx.UnsupportedProtocol("x"), NotSent),
        (httpx.LocalProtocolError("x"), NotSent),
        (httpx.ReadTimeout("x"), Lost),
        (httpx.WriteError("x"), Lost),
        (httpx.RemoteProtocolError("x"), Lost),
    ],
)
async def test_what_is_known_when_no_answer_comes(error: httpx.HTTPError, known: type[Exception]) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        raise error

    async with _web(handle) as web:
        with pytest.raises(known):
            await web.send(_request())


async def test_redirects_are_answers() -> None:
    async with _web(lambda request: httpx.Response(302, headers={"location": "https://169.254.169.254/"})) as web:
        assert (await web.send(_request())).status == 302


async def test_only_the_beginning_of_an_answer_is_kept_and_nothing_is_unpacked() -> None:
    packed = gzip.compress(b"0" * 10_000_000)
    async with serving(lambda got: raw(b"x" * 100_000)) as server, Web() as web:
        reply = await web.send(_request(server.url, "GET", b""))
        assert reply.body == b"x" * KEPT
        (got,) = server.got
        assert got.headers["accept-encoding"] == "identity"
        assert (got.method, got.body) == ("GET", b"")
    async with serving(lambda got: raw(packed, content_encoding="gzip")) as server, Web() as web:
        assert (await web.send(_request(server.url))).body == packed[:KEPT]


async def test_a_real_connection_that_breaks_or_hangs() -> None:
    async with serving(lambda got: RESET) as server, Web() as web:
        with pytest.raises(Lost, match="broke"):
            await web.send(_request(server.url))
    async with serving(lambda got: HANG) as server, Web(timeout=0.2) as web:
        with pytest.raises(Lost, match=r"no answer within 0\.2 s"):
            await web.send(_request(server.url))
    async with Web() as web:
        with pytest.raises(NotSent, match="no connection"):
            await web.send(_request(f"http://127.0.0.1:{_free_port()}/"))


async def test_an_answer_that_breaks_off_is_one() -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"half"
            raise httpx.ReadError("reset")

        return httpx.Response(200, content=chunks())

    async with Web(transport=httpx.MockTransport(answer), resolve=_at(PUBLIC)) as web:
        assert await web.send(_request()) == Reply(200, b"half")


def _free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


async def test_a_transport_in_the_networks_stead_needs_no_addresses() -> None:
    seen: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return httpx.Response(200)

    async with Web(transport=httpx.MockTransport(handle)) as web:
        await web.send(_request())
    assert seen == ["https://api.example/deploys?x=1"]
