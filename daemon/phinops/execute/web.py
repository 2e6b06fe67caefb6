"""The one way by which the step `http` reaches the outside: one request, sent once, to an address that was looked at.

A name is resolved here and the connection made to what it resolved to, so that no answer of a name server leads a
request to where it may not go: the addresses at which clouds hand out credentials, and those of the link.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from phinops.config.fields import is_loopback
from phinops.errors import PhinopsError
from phinops.execute.outward import Outward
from phinops.execute.steps.http import Request

TIMEOUT = 15.0
"""Real seconds from sending to the answer's first line; a name and a connection have `CONNECT` each."""

CONNECT = 5.0
BODY = 5.0
"""Real seconds for the answer's body: what has not come by then is left."""

KEPT = 16 * 1024
"""Bytes that are read of an answer's body."""

_METADATA = frozenset(
    map(ipaddress.ip_address, ("169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254"))
)
"""Where AWS, Alibaba Cloud, Azure and Oracle tell a machine its credentials."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host and port; raises OSError."""


class NotSent(PhinopsError):
    """Nothing has left; the text says why, for people."""


class Lost(PhinopsError):
    """It may have arrived, and no answer came; the text says why, for people."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, whatever its status; `body` is its beginning."""

    status: int
    body: bytes


class Web(Outward):
    """Sends requests; an async context manager. Nothing is followed, kept open or taken from the environment.

    `transport` carries requests in the network's stead, by name unless `resolve` finds their addresses.
    """

    def __init__(
        self,
        *,
        timeout: float = TIMEOUT,
        transport: httpx.AsyncBaseTransport | None = None,
        resolve: Resolve | None = None,
    ) -> None:
        self._timeout = timeout
        self._resolve = resolve or (_resolve if transport is None else None)
        super().__init__(
            httpx.AsyncClient(
                timeout=httpx.Timeout(timeout, connect=min(CONNECT, timeout)),
                transport=transport,
                follow_redirects=False,
                trust_env=False,
                # A connection belongs to one name: another one at the same address must not get it.
                limits=httpx.Limits(max_keepalive_connections=0),
            )
        )

    async def send(self, request: Request) -> Reply:
        """Send it once and read the beginning of the answer.

        Raises:
            NotSent: it did not leave.
            Lost: it may have arrived.
        """
        try:
            url = httpx.URL(request.url)
        except httpx.InvalidURL:
            raise NotSent("its url is no address") from None
        addresses = await self._addresses(url)
        for address in addresses[:-1]:
            with contextlib.suppress(NotSent):
                return await self._ask(request, url, address)
        return await self._ask(request, url, addresses[-1])

    async def _addresses(self, url: httpx.URL) -> Sequence[str]:
        """Where the host is, at most two of its addresses. Raises NotSent."""
        host, port = url.raw_host.decode("ascii"), url.port or (443 if url.scheme == "https" else 80)
        if self._resolve is None:
            return [host]
        try:
            async with asyncio.timeout(CONNECT):
                found = list(dict.fromkeys(await self._resolve(host, port)))
        except (OSError, TimeoutError, UnicodeError):
            found = []
        if not found:
            raise NotSent(f"{host} cannot be found")
        for each in found:
            if not allowed(each):
                raise NotSent(f"{host} is at {each}, where nothing is sent: it is of the link or tells credentials")
            if url.scheme == "http" and not is_loopback(each):
                raise NotSent(f"{host} is at {each}, not on this machine: it needs https://")
        return found[:2]

    async def _ask(self, request: Request, url: httpx.URL, address: str) -> Reply:
        built = self._client.build_request(
            request.method,
            url.copy_with(host=address),
            content=request.body or None,
            headers={
                "user-agent": "phinops",
                **request.headers,
                "host": url.netloc.decode("ascii"),
                "accept-encoding": "identity",
            },
            extensions={"sni_hostname": url.raw_host.decode("ascii")},
        )
        with _translated(self._timeout):
            async with asyncio.timeout(self._timeout):
                response = await self._client.send(built, stream=True)
        try:
            return Reply(response.status_code, await _beginning(response))
        finally:
            await response.aclose()


def allowed(address: str) -> bool:
    """Whether a request may go to the address: not to one of the link, of many, of nobody or of a cloud's metadata."""
    found = ipaddress.ip_address(address)
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return allowed(str(inner))
    if found.is_link_local or found.is_multicast or found.is_unspecified or found in _METADATA:
        return False
    return not (found.version == 4 and found.is_reserved)


async def _resolve(host: str, port: int) -> Sequence[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(each[4][0]) for each in found]


async def _beginning(response: httpx.Response) -> bytes:
    """As much of the body as is kept; the status is known, so what breaks off now loses nothing that matters."""
    read = bytearray()
    # What is packed all the same is not unpacked: a little of it may be very much.
    chunks = response.aiter_raw() if "content-encoding" in response.headers else response.aiter_bytes()
    with contextlib.suppress(httpx.HTTPError, TimeoutError):
        async with asyncio.timeout(BODY):
            async for chunk in chunks:
                read += chunk
                if len(read) >= KEPT:
                    break
    return bytes(read[:KEPT])


@contextmanager
def _translated(timeout: float) -> Iterator[None]:
    """httpx's errors as what is known of the request, in words that hold no address."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise NotSent(f"no connection ({type(error).__name__})") from None
    except (httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
        raise NotSent(f"it is no request that could be sent ({type(error).__name__})") from None
    except (TimeoutError, httpx.TimeoutException):
        raise Lost(f"no answer within {timeout:g} s") from None
    except httpx.HTTPError as error:
        raise Lost(f"the connection broke ({type(error).__name__})") from None
