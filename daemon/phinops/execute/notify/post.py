"""The one place from which notices leave over HTTP, with one pooled client for all channels."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx

from phinops.execute.notify.note import Undelivered
from phinops.execute.outward import Outward

TIMEOUT = 15.0
"""Real seconds for a whole request, connection and answer included."""

ANSWER_LIMIT = 64 * 1024
RETRIED_STATUSES = frozenset({408, 425, 429})
"""Refusals that another try may overcome; all other 4xx stay as they are."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A 2xx answer; `body` is its first `ANSWER_LIMIT` bytes."""

    status: int
    body: bytes


class Post(Outward):
    """Posts bodies; an async context manager. Redirects are not followed: a signature is for one address."""

    def __init__(self, *, timeout: float = TIMEOUT, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._timeout = timeout
        client = httpx.AsyncClient(
            timeout=timeout, transport=transport, headers={"user-agent": "phinops"}, follow_redirects=False
        )
        super().__init__(client)

    async def send(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """POST `body` and read the answer, all within the time-out.

        Raises:
            Undelivered: any answer but 2xx, or none. The reason names neither the address nor a header.
        """
        with _translated(self._timeout):
            async with (
                asyncio.timeout(self._timeout),
                self._client.stream("POST", url, content=body, headers=dict(headers)) as response,
            ):
                if not response.is_success:
                    raise _refusal(response)
                return Answer(response.status_code, await _beginning(response))


async def _beginning(response: httpx.Response) -> bytes:
    read = bytearray()
    async for chunk in response.aiter_bytes():
        read += chunk
        if len(read) >= ANSWER_LIMIT:
            break
    return bytes(read[:ANSWER_LIMIT])


def _refusal(response: httpx.Response) -> Undelivered:
    status = response.status_code
    retry = status >= 500 or status in RETRIED_STATUSES
    hint = ": give the address that it redirects to" if response.is_redirect else ""
    return Undelivered(f"HTTP {status}{hint}", retry=retry, after=_retry_after(response) if retry else None)


def _retry_after(response: httpx.Response) -> float | None:
    """Retry-After in seconds. A date counts from the answer's own Date: no two clocks have to agree."""
    value = response.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        wait = parsedate_to_datetime(value) - parsedate_to_datetime(response.headers["date"])
    except (KeyError, TypeError, ValueError):
        return None
    return max(0.0, wait.total_seconds())


@contextmanager
def _translated(timeout: float) -> Iterator[None]:
    """httpx's errors, whose texts may hold the address, as reasons of our own."""
    try:
        yield
    except (TimeoutError, httpx.TimeoutException):
        raise Undelivered(f"no answer within {timeout:g} s", retry=True) from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise Undelivered("its url is no http or https address", retry=False) from None
    except httpx.ConnectError as error:
        raise Undelivered(f"no connection: {_cause(error)}", retry=True) from None
    except httpx.HTTPError as error:
        raise Undelivered(f"the connection broke ({type(error).__name__})", retry=True) from None


def _cause(error: httpx.ConnectError) -> str:
    """Why a connection failed, in words that cannot hold an address."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({cause.verify_message})"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed ({getattr(cause, 'reason', None) or 'no reason given'})"
        if isinstance(cause, ConnectionRefusedError):
            return "refused"
        cause = cause.__cause__ or cause.__context__
    return "its host cannot be found or reached"
