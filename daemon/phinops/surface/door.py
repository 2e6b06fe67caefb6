"""Who may come in: under which name, and with which token."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from phinops.config import Server
from phinops.config.fields import is_loopback
from phinops.surface.asked import PREFIX
from phinops.surface.listening import bracketed
from phinops.surface.refusals import error_answer


@dataclass(frozen=True, slots=True)
class Door:
    """Who may come in: the names the Host header may bear (empty: any), the tokens, whether reading needs one. Under
    the name of `public_url` come those who follow a link of a notice, and nobody else.
    """

    hosts: frozenset[str]
    tokens: tuple[str, ...]
    reading_is_free: bool
    public_host: str = ""

    def knows(self, request: Request) -> bool:
        """Whether the request bears one of the tokens."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        given = token.strip().encode()
        # Every token is compared, so that the time taken tells nothing.
        fits = [hmac.compare_digest(given, known.encode()) for known in self.tokens]
        return scheme.lower() == "bearer" and any(fits)


def door_for(server: Server, port: int, tokens: Sequence[str]) -> Door:
    """The door of an address: on loopback reading is free, elsewhere everything but health and hooks needs a token."""
    local = is_loopback(server.host)
    names = {"127.0.0.1", "localhost", "[::1]", bracketed(server.host)} if local else {bracketed(server.host)}
    hosts = frozenset(host for name in names for host in (name, f"{name}:{port}"))
    anywhere = server.host in ("0.0.0.0", "::")
    public = urlsplit(server.public_url).netloc.lower()
    return Door(frozenset() if anywhere else hosts, tuple(tokens), reading_is_free=local, public_host=public)


class HostCheck:
    """Refuses requests under a foreign name, so that a page in a browser cannot reach the daemon by its own DNS."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        hosts = [value.decode("latin-1").lower() for name, value in scope.get("headers", ()) if name == b"host"]
        if scope["type"] == "http" and not self._lets_in(hosts, scope["path"]):
            await error_answer(421, "wrong-host", "phinops does not listen under the name of the Host header")(
                scope, receive, send
            )
            return
        await self._app(scope, receive, send)

    def _lets_in(self, hosts: Sequence[str], path: str) -> bool:
        door = self._door
        if len(hosts) == 1 and hosts[0] == door.public_host and hosts[0] not in door.hosts:
            return path.startswith(PREFIX)
        return not door.hosts or (len(hosts) == 1 and hosts[0] in door.hosts)
