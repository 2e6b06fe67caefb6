"""The store opened by a command because no daemon runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import anyio

from phinops.config import Config
from phinops.errors import StoreError, StoreHeld
from phinops.surface.cli.reach import NobodyAnswers

if TYPE_CHECKING:
    from phinops.record.sqlite import Store

T = TypeVar("T")


def in_store(config: Config, nobody: NobodyAnswers, ask: Callable[[Store], Awaitable[T]]) -> T:
    """What `ask` finds in the store, which must be there already.

    Raises:
        NobodyAnswers: `nobody`, when a daemon holds the store and yet does not answer; or the store cannot be used.
    """
    from phinops.record.sqlite import Store  # most commands find a daemon, and start without it
    from phinops.surface import logs

    logs.configure("error")

    async def asked() -> T:
        async with Store.open(config.store.path, create=False) as store:
            return await ask(store)

    try:
        return anyio.run(asked)
    except StoreHeld:
        raise nobody from None
    except StoreError as error:
        raise NobodyAnswers(f"{nobody}; {error}") from error
