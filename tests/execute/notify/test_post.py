from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator

import anyio
import httpx
import pytest

from phinops.execute.notify.note import Undelivered
from phinops.execute.notify.post import ANSWER_LIMIT, Answer, Post

URL = "https://hooks.example/send?access_token=t0ps3cret"


def post_to(answer: httpx.Response | Exception, **settings: float) -> Post:
    async def handle(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return Post(transport=httpx.MockTransport(handle), **settings)


async def refusal(answer: httpx.Response | Exception, url: str = URL, **settings: float) -> Undelivered:
    async with post_to(answer, **settings) as post:
        with pytest.raises(Undelivered) as caught:
            await post.send(url, b"{}", {})
    assert "t0ps3cret" not in str(caught.value)
    assert "t0ps3cret" not in repr(caught.value.__cause__)
    return caught.value


async def test_any_2xx_is_an_answer() -> None:
    async with post_to(httpx.Response(202, text="fine")) as post:
        assert await post.send(URL, b"{}", {"x": "y"}) == Answer(202, b"fine")


@pytest.mark.parametrize("status", [301, 400, 401, 404, 410])
async def test_some_refusals_are_for_good(status: int) -> None:
    error = await refusal(httpx.Response(status, headers={"location": "https://other.example"}))
    assert not error.retry
    assert str(status) in error.reason


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
async def test_some_refusals_may_pass(status: int) -> None:
    error = await refusal(httpx.Response(status))
    assert (error.reason, error.retry, error.after) == (f"HTTP {status}", True, None)


@pytest.mark.parametrize(
    ("value", "date", "after"),
    [
        ("7", None, 7.0),
        ("Mon, 05 Jan 2026 12:00:30 GMT", "Mon, 05 Jan 2026 12:00:00 GMT", 30.0),
        ("Mon, 05 Jan 2026 11:00:00 GMT", "Mon, 05 Jan 2026 12:00:00 GMT", 0.0),
        ("Mon, 05 Jan 2026 12:00:30 GMT", None, None),
        ("soon", "Mon, 05 Jan 2026 12:00:00 GMT", None),
    ],
)
async def test_retry_after_is_read_in_both_forms(value: str, date: str | None, after: float | None) -> None:
    headers = {"retry-after": value} | ({"date": date} if date else {})
    assert (await refusal(httpx.Response(429, headers=headers))).after == after


class Drip(httpx.AsyncByteStream):
    """A body that never ends, a kilobyte at a time."""

    def __init__(self, pause: float) -> None:
        self._pause = pause

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            await anyio.sleep(self._pause)
            yield b"x" * 1024


async def test_an_endless_answer_is_cut() -> None:
    async with post_to(httpx.Response(200, stream=Drip(0.0))) as post:
        assert len((await post.send(URL, b"{}", {})).body) == ANSWER_LIMIT


async def test_one_time_out_holds_for_the_whole_request() -> None:
    error = await refusal(httpx.Response(200, stream=Drip(0.02)), timeout=0.1)
    assert (error.reason, error.retry) == ("no answer within 0.1 s", True)


def caused_by(cause: Exception) -> httpx.ConnectError:
    error = httpx.ConnectError(f"cannot connect to {URL}")
    error.__cause__ = cause
    return error


UNTRUSTED = ssl.SSLCertVerificationError(1, "certificate verify failed")
UNTRUSTED.verify_message = "self-signed certificate"


@pytest.mark.parametrize(
    ("error", "reason", "retry"),
    [
        (httpx.ConnectTimeout(URL), "no answer within 15 s", True),
        (httpx.ConnectError(URL), "its host cannot be found or reached", True),
        (caused_by(ConnectionRefusedError(111, URL)), "no connection: refused", True),
        (caused_by(UNTRUSTED), "its certificate is not trusted (self-signed certificate)", True),
        (caused_by(ssl.SSLError(1, "wrong version")), "TLS failed", True),
        (httpx.ReadError(URL), "the connection broke (ReadError)", True),
        (httpx.RemoteProtocolError(URL), "the connection broke (RemoteProtocolError)", True),
    ],
)
async def test_a_broken_connection_is_told_without_the_address(error: Exception, reason: str, retry: bool) -> None:
    found = await refusal(error)
    assert reason in found.reason
    assert found.retry is retry


@pytest.mark.parametrize("url", ["hooks.example/t0ps3cret", "ftp://x.example/t0ps3cret", "https://x:t0ps3cret/"])
async def test_an_address_that_is_none_is_for_good(url: str) -> None:
    async with Post() as post:
        with pytest.raises(Undelivered) as caught:
            await post.send(url, b"{}", {})
    assert not caught.value.retry
    assert "t0ps3cret" not in str(caught.value)


async def test_no_address_reaches_a_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with post_to(httpx.Response(200)) as post:
        await post.send(URL, b"{}", {})
    assert caplog.text == ""


async def test_where_nobody_listens_the_connection_is_refused() -> None:
    async with Post() as post:
        with pytest.raises(Undelivered, match="no connection: refused") as caught:
            await post.send("http://127.0.0.1:1/t0ps3cret", b"{}", {})
    assert caught.value.retry
