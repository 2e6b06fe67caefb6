"""`phinops simulate`: a Dataphin tenant on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import anyio
import click

from phinops.catalog.catalog import Edition
from phinops.errors import ConfigError
from phinops.surface.cli.options import log_options

if TYPE_CHECKING:
    from phinops.simulate import Simulator

EDITIONS: tuple[Edition, ...] = get_args(Edition)


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0 takes a free one.")
@click.option("--edition", type=click.Choice(EDITIONS), default="basic", show_default=True)
@click.option("--scenario", default="default", show_default=True, metavar="NAME|FILE", help="What happens there.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same tenant.")
@click.option(
    "--keys", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Write its keys for a shell here."
)
@log_options
def simulate(
    port: int, edition: Edition, scenario: str, seed: int, keys: Path | None, log_level: str, log_format: str
) -> None:
    """A Dataphin tenant on loopback: quotas, signatures, instances that fail, and faults, as scenarios say.

    As soon as it can be called it says how, in a line of JSON on stdout that holds url, op_tenant_id, edition,
    access_key_id and access_key_secret. It runs until SIGTERM or SIGINT.

    With --keys a file that only you can read is there before that line. `. FILE` exports the keys in a shell, under the
    names that the config of `phinops init` reads.

    \b
    Example:
      phinops simulate --port 8080 --edition agile
    """
    from phinops.surface import logs

    logs.configure(log_level, log_format)
    anyio.run(_simulate, port, edition, scenario, seed, keys)


async def _simulate(port: int, edition: Edition, scenario: str, seed: int, keys: Path | None) -> None:
    from phinops.clock import SystemClock
    from phinops.simulate import serve
    from phinops.surface.listening import CannotListen
    from phinops.surface.signals import obey_signals

    stopped = anyio.Event()
    try:
        async with (
            serve(scenario, clock=SystemClock(), edition=edition, seed=seed, port=port) as simulator,
            anyio.create_task_group() as tasks,
        ):
            await tasks.start(obey_signals, stopped.set)
            if keys is not None:
                _write_keys(keys, simulator)
            names = ("url", "op_tenant_id", "access_key_id", "access_key_secret", "edition")
            click.echo(json.dumps({name: getattr(simulator, name) for name in names}))
            await stopped.wait()
            tasks.cancel_scope.cancel()
    except OSError as error:
        raise CannotListen(f"cannot listen on port {port}: {error.strerror}") from error


def _write_keys(path: Path, simulator: Simulator) -> None:
    named = {
        "DATAPHIN_ACCESS_KEY_ID": simulator.access_key_id,
        "DATAPHIN_ACCESS_KEY_SECRET": simulator.access_key_secret,
    }
    try:
        path.touch(0o600)
        path.chmod(0o600)
        path.write_text("".join(f"export {name}={value}\n" for name, value in named.items()), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
