"""`phinops reload`: config and rules read anew."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from phinops.surface.cli.options import config_of, config_option, json_option
from phinops.surface.cli.output import print_json
from phinops.surface.cli.reach import Answer, NobodyAnswers, Remote


@click.command()
@config_option
@json_option
@click.pass_context
def reload(ctx: click.Context, config_path: Path | None, as_json: bool) -> None:
    """Make the running daemon read config and rules again, and wait until it has.

    When anything is wrong the problems are listed and the exit code is 1: what is broken stays as it was last good.

    \b
    Example:
      phinops reload --config /etc/phinops/phinops.toml
    """
    answer = Remote(config_of(config_path)).post("/api/v1/reload", wait=timedelta(seconds=60))
    if answer.status not in (200, 409):
        raise NobodyAnswers(answer.message or f"the daemon answered {answer.status}")
    if as_json:
        print_json(answer.body)
    else:
        _tell(answer)
    ctx.exit(0 if answer.body["accepted"] else 1)


def _tell(answer: Answer) -> None:
    for problem in answer.body["problems"]:
        click.echo("{file}:{line}:{column}: {code} {message}".format(**problem), err=True)
    if not answer.body["accepted"]:
        click.echo("refused: what is broken stays as it was last good", err=True)
        return
    changed = "; ".join(f"{name}: {_listed(what)}" for name, what in answer.body["changed"].items() if what)
    click.echo(f"reloaded: {changed or 'nothing changed'}")


def _listed(what: Any) -> str:
    return ", ".join(map(str, what)) if isinstance(what, list) else str(what)
