"""SIGTERM and SIGINT drain, a second one ends at once, SIGHUP reloads."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import structlog
from anyio.abc import TaskStatus

IMPATIENT = 130
"""The exit code after a second signal."""

log = structlog.get_logger(__name__)


async def obey_signals(
    stop: Callable[[], object],
    reload: Callable[[], Coroutine[Any, Any, None]] | None = None,
    *,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Calls `stop` at the first signal to end and `reload` at each SIGHUP. Ends by cancellation.

    Started with `TaskGroup.start` it is listening when that returns: a signal before would kill the process.

    At a second signal the process ends there and then: the store is as after a crash, and that it survives.
    """
    asked = False
    wanted = [signal.SIGTERM, signal.SIGINT, *([signal.SIGHUP] if reload is not None else [])]
    with anyio.open_signal_receiver(*wanted) as signals:
        task_status.started()
        async with anyio.create_task_group() as reloads:
            async for number in signals:
                log.info("signal.received", signal=signal.Signals(number).name)
                if number == signal.SIGHUP and reload is not None:
                    reloads.start_soon(reload)  # beside the loop: a reload that hangs must not hold a SIGTERM up
                elif asked:
                    _end_now()
                else:
                    asked = True
                    stop()


def _end_now() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(IMPATIENT)
