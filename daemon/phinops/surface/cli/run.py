"""`phinops run`: the daemon in the foreground."""

from __future__ import annotations

from pathlib import Path

import anyio
import click

from phinops.surface.cli.options import config_of, config_option, log_options


@click.command()
@config_option
@click.option("--shadow", is_flag=True, help="Treat every armed rule as shadow.")
@log_options
def run(config_path: Path | None, shadow: bool, log_level: str, log_format: str) -> None:
    """The daemon, in the foreground. The systemd unit starts it so.

    SIGHUP reloads, SIGTERM and SIGINT drain, a second one ends at once. It keeps running while Dataphin is away or
    rules are broken; `phinops status` has the reasons.

    \b
    Example:
      phinops run --config phinops.toml --shadow
    """
    from phinops.surface.early import obey_early

    obey_early()
    from phinops.surface import logs
    from phinops.surface.host import host

    logs.configure(log_level, log_format)
    anyio.run(host, config_of(config_path), shadow)
