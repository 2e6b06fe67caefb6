"""What systemd is told: ready, reloading, stopping, still alive. Without `$NOTIFY_SOCKET` nothing is told to nobody."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping

import anyio
import structlog

from phinops.surface.service import Health

_STATUS_EVERY_S = 5.0

log = structlog.get_logger(__name__)


def notify(*assignments: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Sends `NAME=value` lines to the service manager (sd_notify(3)); false where there is none or it is deaf."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):  # the abstract namespace
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.sendto("\n".join(assignments).encode(), address)
    except OSError as error:  # a manager that is itself being restarted is no reason to stop working
        log.warning("systemd.unheard", error=str(error))
        return False
    return True


def reloading() -> bool:
    """A reload begins; `notify("READY=1")` ends it. Without the time systemd 253 and later would wait for ever."""
    return notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def watchdog_seconds(environ: Mapping[str, str] = os.environ) -> float | None:
    """How long the service manager waits for a sign of life, or None when it does not."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    micros = environ.get("WATCHDOG_USEC", "")
    return int(micros) / 1e6 if micros.isdigit() and int(micros) else None


def status_line(ready: Health) -> str:
    """One line for `systemctl status`."""
    return "STATUS=ready" if ready[0] else "STATUS=not ready: " + "; ".join(ready[1])


async def keep_informed(
    healthy: Callable[[], Health], ready: Callable[[], Health], environ: Mapping[str, str] = os.environ
) -> None:
    """Tells the status as it changes, and feeds the watchdog as long as every loop moves. Ends by cancellation.

    A loop that hangs makes `healthy` false: the watchdog starves and systemd starts the daemon anew.
    """
    if not environ.get("NOTIFY_SOCKET"):
        return
    patience = watchdog_seconds(environ)
    told = ""
    while True:
        alive, reasons = healthy()
        if alive:
            notify("WATCHDOG=1", environ=environ)
        else:
            log.warning("watchdog.starved", reasons=reasons)
        line = status_line(ready())
        if line != told and notify(line, environ=environ):
            told = line
        await anyio.sleep(min(_STATUS_EVERY_S, patience / 3 if patience else _STATUS_EVERY_S))
