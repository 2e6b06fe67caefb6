"""`phinops reload`: config and rules read anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from phinops.decide.diff import KeyChange
from phinops.surface.cli.options import config_of, config_option, json_option
from phinops.surface.cli.output import print_json
from phinops.surface.cli.reach import Answer, NobodyAnswers, Remote

_NAMES = ("added", "removed", "changed", "restart")
_CARRIED = {"waiting": "firings that wait", "windows": "open windows"}
_WORDS = {"kept": "kept", "anew": "decided anew", "dropped": "dropped"}


@click.command()
@config_option
@json_option
@click.pass_context
def reload(ctx: click.Context, config_path: Path | None, as_json: bool) -> None:
    """Make the running daemon read config and rules again, and wait until it has.

    Tells which keys of which rules changed, and what became of what waited. When anything is wrong the problems are
    listed and the exit code is 1: what is broken stays as it was last good.

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
    changed = answer.body["changed"]
    if answer.body["accepted"]:
        listed = "; ".join(f"{name}: {', '.join(changed[name])}" for name in _NAMES if changed.get(name))
        click.echo(f"reloaded: {listed or 'nothing changed'}")
    else:
        click.echo("refused: what is broken stays as it was last good", err=True)
    for line in _details(changed):
        click.echo(f"  {line}", err=not answer.body["accepted"])


def _details(changed: Mapping[str, Any]) -> Iterator[str]:
    for rule in changed.get("diff", ()):
        yield from (f"{rule['rule']}: {KeyChange(**key)}" for key in rule["keys"])
    for what, counts in changed.get("carried", {}).items():
        yield f"{_CARRIED[what]}: {', '.join(f'{count} {_WORDS[name]}' for name, count in counts.items())}"
