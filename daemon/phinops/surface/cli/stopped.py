"""The daemon opened by a command because none is running: store, ledger and clients, but no sources and no rules."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from phinops.clock import SystemClock
from phinops.config import Config
from phinops.daemon import Daemon
from phinops.errors import PhinopsError, StoreHeld
from phinops.surface import logs


@asynccontextmanager
async def stopped_daemon(config: Config, silence: PhinopsError) -> AsyncGenerator[Daemon]:
    """The daemon, not running.

    Raises:
        PhinopsError: `silence`, when the store is held: a daemon runs, but does not answer.
    """
    logs.configure("warning")
    try:
        async with Daemon.open(config, clock=SystemClock()) as daemon:
            yield daemon
    except StoreHeld as error:
        raise type(silence)(f"{silence}, and yet {error}") from None
