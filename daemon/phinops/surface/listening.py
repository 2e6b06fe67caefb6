"""The socket that the daemon listens on, and the server behind it, inside the daemon's own loop."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncGenerator, Generator

import anyio
import uvicorn
from starlette.types import ASGIApp

from phinops.config import Server
from phinops.errors import PhinopsError


class CannotListen(PhinopsError):
    """The address of `[server].listen` cannot be bound (exit code 3)."""


class _Uvicorn(uvicorn.Server):
    """Leaves the signals to the daemon."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def bracketed(host: str) -> str:
    """The host as it stands in an address."""
    return f"[{host}]" if ":" in host else host.lower()


def bind(server: Server) -> socket.socket:
    """A listening socket for `[server].listen`.

    Raises:
        CannotListen: the address is taken, or not this machine's.
    """
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    try:
        return socket.create_server((server.host, server.port), family=family, backlog=128)
    except OSError as error:
        raise CannotListen(f"cannot listen on {server.listen}: {error.strerror}") from error


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, listener: socket.socket) -> AsyncGenerator[None]:
    """Serves `app` on `listener` for as long as the block runs; requests under way get two seconds to end."""
    config = uvicorn.Config(
        app, lifespan="off", log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=2
    )
    server = _Uvicorn(config)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, [listener])
        try:
            yield
        finally:
            server.should_exit = True
