"""Who may come in to the daemon over HTTP, and under which name."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import Request

from phinops.config import Server
from phinops.config.fields import is_loopback
from phinops.surface.listening import bracketed


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
