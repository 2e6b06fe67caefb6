"""`phinops simulate`: a Dataphin tenant on this machine."""

from __future__ import annotations

import json
from typing import get_args

import anyio
import click

from phinops.catalog.catalog import Edition
from phinops.surface.cli.options import log_options

EDITIONS: tuple[Edition, ...] = get_args(Edition)


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0 takes a free one.")
@click.option("--edition", type=click.Choice(EDITIONS), default="basic", show_default=True)
@click.option("--scenario", default="default", show_default=True, metavar="NAME|FILE", help="What happens there.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same tenant.")
@log_options
def simulate(port: int, edition: Edition, scenario: str, seed: int, log_level: str, log_format: str) -> None:
    """A Dataphin tenant on loopback: quotas, signatures, instances that fail, and faults, as scenarios say.

    As soon as it can be called it says how, in a line of JSON on stdout that holds url, op_tenant_id, edition,
    access_key_id and access_key_secret. It runs until SIGTERM or SIGINT.

    \b
    Example:
      phinops simulate --port 8080 --edition agile
    """
    from phinops.surface import logs

    logs.configure(log_level, log_format)
    anyio.run(_simulate, port, edition, scenario, seed)


async def _simulate(port: int, edition: Edition, scenario: str, seed: int) -> None:
    from phinops.clock import SystemClock
    from phinops.simulate import serve
    from phinops.surface.server import CannotListen
    from phinops.surface.signals import obey_signals

    stopped = anyio.Event()
    try:
        async with (
            serve(scenario, clock=SystemClock(), edition=edition, seed=seed, port=port) as simulator,
            anyio.create_task_group() as tasks,
        ):
            await tasks.start(obey_signals, stopped.set)
            names = ("url", "op_tenant_id", "access_key_id", "access_key_secret", "edition")
            click.echo(json.dumps({name: getattr(simulator, name) for name in names}))
            await stopped.wait()
            tasks.cancel_scope.cancel()
    except OSError as error:
        raise CannotListen(f"cannot listen on port {port}: {error.strerror}") from error
