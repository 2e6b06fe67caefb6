"""Tasks that outlive who started them: a group that is opened later than those who start tasks in it are made."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc


class Crew:
    """A task group of the daemon's; what fails in it ends the daemon."""

    def __init__(self) -> None:
        self._group: anyio.abc.TaskGroup | None = None

    @asynccontextmanager
    async def working(self) -> AsyncGenerator[None]:
        """Tasks may be started inside; what still runs at the end is cancelled."""
        async with anyio.create_task_group() as group:
            self._group = group
            try:
                yield
            finally:
                self._group = None
                group.cancel_scope.cancel()

    def start_soon(self, func: Callable[..., Coroutine[Any, Any, Any]], /, *args: Any) -> None:
        """Start a task; after the end nothing starts any more."""
        if self._group is not None:
            self._group.start_soon(func, *args)
