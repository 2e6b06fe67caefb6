"""The daemon with everything around it: API, token, signals, systemd."""

from __future__ import annotations

import anyio
import structlog

from phinops.clock import SystemClock
from phinops.config import Config
from phinops.daemon import Daemon
from phinops.surface import systemd
from phinops.surface.door import door_for
from phinops.surface.listening import bind, serving
from phinops.surface.server import build_app
from phinops.surface.service import Service
from phinops.surface.signals import obey_signals
from phinops.surface.token import write_token

# A start that waits for ever would be killed by systemd; and an unreachable Dataphin must not end `run`.
READY_WITHIN_S = 20.0
_LOOK_EVERY_S = 0.05

log = structlog.get_logger(__name__)


async def host(config: Config, shadow: bool = False) -> None:
    """Runs the daemon until a signal has drained it.

    Raises:
        ConfigError: a secret is missing or unreadable.
        StoreError: the store cannot be opened; StoreHeld: another daemon has it.
        CannotListen: the address is taken.
    """
    listener = bind(config.server)
    with listener:
        address = f"{config.server.listen.rpartition(':')[0]}:{listener.getsockname()[1]}"
        async with Daemon.open(config, clock=SystemClock(), shadow=shadow) as daemon:
            tokens = [write_token(config.state_folder)]
            if config.server.token is not None:
                tokens.append(config.server.token.reveal())
            door = door_for(config.server, listener.getsockname()[1], tokens)
            async with serving(build_app(daemon, door), listener), anyio.create_task_group() as tasks:
                await tasks.start(obey_signals, lambda: _stop(daemon), lambda: reload_announced(daemon))
                tasks.start_soon(_announce, daemon)
                log.info("daemon.listening", address=address, shadow=shadow)
                await daemon.run()
                tasks.cancel_scope.cancel()
    log.info("daemon.stopped")


def _stop(daemon: Daemon) -> None:
    systemd.notify("STOPPING=1", "STATUS=draining")
    daemon.stop()


async def reload_announced(service: Service) -> None:
    """A reload that systemd is told of from begin to end, whether or not it is accepted."""
    systemd.reloading()
    result = await service.reload()
    log.info("daemon.reloaded", accepted=result.accepted, problems=[str(each) for each in result.problems])
    verdict = "reloaded" if result.accepted else f"reload refused: {len(result.problems)} problems, last good kept"
    systemd.notify("READY=1", f"STATUS={verdict}")


async def _announce(daemon: Daemon) -> None:
    """READY once stock was taken, or after a while without; from then on the status and the signs of life."""
    with anyio.move_on_after(READY_WITHIN_S):
        # Readiness is computed from many things: there is nobody who could set an event.
        while not daemon.ready()[0]:  # noqa: ASYNC110
            await anyio.sleep(_LOOK_EVERY_S)
    ready, reasons = daemon.ready()
    log.info("daemon.ready", ready=ready, reasons=reasons)
    systemd.notify("READY=1", systemd.status_line((ready, reasons)))
    await systemd.keep_informed(daemon.healthy, daemon.ready)
