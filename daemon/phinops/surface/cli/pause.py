"""`phinops pause` and `phinops resume`: the kill switch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from phinops.config import Config
from phinops.errors import StoreError
from phinops.surface.cli.options import config_of, config_option, json_option, person
from phinops.surface.cli.output import paused_text, print_json
from phinops.surface.cli.reach import NobodyAnswers, Remote
from phinops.surface.cli.shelf import in_store

if TYPE_CHECKING:
    from phinops.record.sqlite import Store


@click.command()
@click.option("--reason", metavar="TEXT", default="", help="Why; others see it in `phinops status`.")
@config_option
@json_option
def pause(reason: str, config_path: Path | None, as_json: bool) -> None:
    """Let no write leave until `phinops resume`: neither those of rules nor anybody's.

    What a rule is about to write waits, and is looked at anew before it is written; reads, notices and what is
    under way go on. It survives restarts. Where no daemon runs it holds from the next start on.

    \b
    Example:
      phinops pause --reason "release of the order marts"
    """
    found = _move(config_of(config_path), "pause", {"by": person(), "reason": reason})
    if as_json:
        print_json({"paused": found})
    else:
        click.echo(f"no write leaves: {paused_text(found or {})}")


@click.command()
@config_option
@json_option
def resume(config_path: Path | None, as_json: bool) -> None:
    """Let writes leave again, which `phinops pause` held back. What waited is looked at anew first.

    \b
    Example:
      phinops resume
    """
    found = _move(config_of(config_path), "resume", {"by": person()})
    if as_json:
        print_json({"resumed": found})
    else:
        click.echo(f"writes leave again; they were {paused_text(found)}" if found else "writes were not paused")


def _move(config: Config, what: str, texts: dict[str, str]) -> dict[str, Any] | None:
    """The pause that begins or ends, moved by the daemon, or in the store where none runs."""
    try:
        answer = Remote(config).post(f"/api/v1/{what}", texts)
    except NobodyAnswers as nobody:
        return in_store(config, nobody, lambda store: _in_store(store, config, what, texts))
    if answer.status != 200:
        raise StoreError(answer.message)
    found: dict[str, Any] | None = answer.body[f"{what}d"]
    return found


async def _in_store(store: Store, config: Config, what: str, texts: dict[str, str]) -> dict[str, Any] | None:
    from phinops.execute.brake import Brake
    from phinops.record import pausing
    from phinops.safeguards import KillSwitch

    zone = config.timezone
    switch = KillSwitch(store, Brake(await store.read(pausing.pause_of), zone), zone)
    return await (switch.pause(**texts) if what == "pause" else switch.resume(**texts))
