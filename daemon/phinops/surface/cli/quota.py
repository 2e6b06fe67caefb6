"""`phinops quota`: what is left of the quota, until when, and who spent it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

import anyio
import click

from phinops.config import Config
from phinops.surface.cli.options import config_of, config_option, json_option, tenant_of, tenant_option
from phinops.surface.cli.output import print_json
from phinops.surface.cli.reach import NobodyAnswers, Remote
from phinops.surface.service import QuotaKey

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Pools = list[dict[str, Any]]

_PIPE_WIDTH = 200
"""Columns where nobody looks on, so that nothing is cut off."""


@click.command()
@click.option("--by", type=click.Choice(get_args(QuotaKey)), help="Tell spenders apart by this alone.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=10, show_default=True, help="How many spenders of a pool at most."
)
@config_option
@tenant_option
@json_option
def quota(by: str | None, limit: int, config_path: Path | None, tenant: str | None, as_json: bool) -> None:
    """What is left of each pool of the quota, when it runs out at the present pace, and who spent it.

    \b
    Example:
      phinops quota --by rule
    """
    config = config_of(config_path)
    name = tenant_of(config, tenant).name if tenant is not None else ""
    key = cast("QuotaKey | None", by)
    try:
        pools: Pools = Remote(config).get("/api/v1/quota", by=by or "", limit=limit, tenant=name)
    except NobodyAnswers as silence:
        pools = _stopped(config, key, limit, name, silence)
    if as_json:
        print_json(pools)
    else:
        _tell(pools)


def _stopped(config: Config, by: QuotaKey | None, limit: int, tenant: str, silence: NobodyAnswers) -> Pools:
    """The quota of a daemon that does not run, from its store."""
    from phinops.surface.cli.stopped import stopped_daemon

    if not config.store.path.exists():  # asking must not make a store that the service could not write
        raise NobodyAnswers(f"{silence}; there is no store at {config.store.path} either")

    async def read() -> Pools:
        async with stopped_daemon(config, silence) as daemon:
            return await daemon.quota(by, limit, tenant)

    return anyio.run(read)


def _tell(pools: Sequence[dict[str, Any]]) -> None:
    from rich.console import Console

    console = Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    console.print(_summary(pools))
    for pool in pools:
        if pool["spenders"]:
            _tell_spenders(console, pool)


def _summary(pools: Sequence[dict[str, Any]]) -> Table:
    table = _table()
    table.add_column("TENANT", overflow="fold")
    table.add_column("LEVELS")
    for heading in ("LEFT", "USED", "LIMIT", "FOR ACTIONS", "AN HOUR"):
        table.add_column(heading, justify="right")
    table.add_column("RUNS OUT")
    table.add_column("RESETS")
    for pool in pools:
        table.add_row(
            ", ".join(pool["tenants"]),
            pool["pool"],
            _number(pool["left"]),
            _number(pool["used"]),
            _number(pool["limit"]),
            _number(pool["reserve"]),
            _number(round(pool["pace_per_hour"])),
            _end_of(pool),
            _clock(pool["resets"]),
            style=_colour(pool),
        )
    return table


def _tell_spenders(console: Console, pool: dict[str, Any]) -> None:
    names = [name for name in pool["spenders"][0] if name != "calls"]
    table = _table()
    table.add_column("CALLS", justify="right")
    table.add_column("OF USED", justify="right")
    for name in names:
        table.add_column(name.upper(), overflow="fold")
    for each in pool["spenders"]:
        part = f"{each['calls'] / pool['used']:.0%}" if pool["used"] else ""
        table.add_row(_number(each["calls"]), part, *(each[name] or "-" for name in names))
    console.print(f"\nlevels {pool['pool']} of {', '.join(pool['tenants'])}, {pool['day']}", style="bold")
    console.print(table)


def _table() -> Table:
    from rich.table import Table

    return Table(box=None, pad_edge=False, header_style="dim")


def _number(value: int | None) -> str:
    return "no limit" if value is None else f"{value:,}"


def _clock(moment: str) -> str:
    return f"{datetime.fromisoformat(moment):%H:%M}"


def _end_of(pool: dict[str, Any]) -> str:
    if pool["limit"] is None:
        return "never"
    if pool["spent"]:
        return "spent"
    return _clock(pool["runs_out"]) if pool["runs_out"] else "not today"


def _colour(pool: dict[str, Any]) -> str:
    if pool["limit"] is None:
        return ""
    if pool["spent"]:
        return "bold red"
    return "yellow" if pool["runs_out"] or pool["left"] <= pool["reserve"] else ""
