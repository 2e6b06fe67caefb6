"""`phinops silence`: mutes rules, or what they are about, for a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click

from phinops.clock import SystemClock
from phinops.config import Config
from phinops.errors import StoreError
from phinops.silence import PARTS
from phinops.surface.cli.options import DURATION, config_of, config_option, json_option, limit_option, person
from phinops.surface.cli.output import print_json, print_rows
from phinops.surface.cli.reach import Answer, NobodyAnswers, Remote, SaidNo
from phinops.surface.cli.shelf import in_store

T = TypeVar("T")


@click.group()
def silence() -> None:
    """Mute rules, or what they are about, for a time.

    What is silenced does not fire; it is recorded with the silence as the reason. What runs already goes on.

    \b
    Example:
      phinops silence add --rule "*" --for 30m --reason "release"
    """


@silence.command()
@click.option("--rule", default="", metavar="GLOB", help="Rules by id; «*» is all of them.")
@click.option("--node", default="", metavar="GLOB", help="What is about a node, by its id or name.")
@click.option("--project", default="", metavar="GLOB", help="What is about a project, by its id or name.")
@click.option("--instance", default="", metavar="GLOB", help="What is about an instance, by its id.")
@click.option("--alert", default="", metavar="GLOB", help="What is about an alert, by its id or reason.")
@click.option("--tenant", default="", metavar="NAME", help="In this tenant only.")
@click.option("--for", "span", type=DURATION, metavar="DURATION", help="For how long.")
@click.option(
    "--until", type=click.DateTime(["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"]), help="Until when, in the config's zone."
)
@click.option("--author", default="", metavar="NAME", help="Who says so; else who types this.")
@click.option("--reason", required=True, metavar="TEXT", help="Why.")
@config_option
@json_option
def add(
    span: timedelta | None,
    until: datetime | None,
    author: str,
    reason: str,
    config_path: Path | None,
    as_json: bool,
    **parts: str,
) -> None:
    """Silence from now on. All parts that are given must fit.

    \b
    Example:
      phinops silence add --node "dws_orders_*" --for 2h --reason "source is being moved"
    """
    config = config_of(config_path)
    if (span is None) == (until is None):
        raise click.UsageError("say until when: --for DURATION, or --until TIME")
    ends = SystemClock().now() + span if span else until.replace(tzinfo=config.timezone) if until else None
    assert ends
    given = {part: text for part, text in parts.items() if text}
    body = {**given, "ends": ends.isoformat(), "author": author or person(), "reason": reason}
    found = _ask(
        config,
        lambda remote: _body(remote.post("/api/v1/silences", body)),
        lambda here: here.add(given, ends, author=body["author"], reason=reason),
    )
    if as_json:
        print_json(found)
    else:
        click.echo(f"{found['id']} until {found['ends']}")


@silence.command("list")
@click.option("--all", "ended", is_flag=True, help="Also those that are over.")
@limit_option
@config_option
@json_option
def list_(ended: bool, limit: int, config_path: Path | None, as_json: bool) -> None:
    """What is silenced, newest first.

    \b
    Example:
      phinops silence list
    """
    query = {"limit": limit, "ended": "true" if ended else "false"}
    rows = _ask(
        config_of(config_path),
        lambda remote: remote.get("/api/v1/silences", **query),
        lambda here: here.listed(limit, ended=ended),
    )
    if as_json:
        print_json(rows)
        return
    columns = {
        "SILENCED": "of", "UNTIL": "ends", "AUTHOR": "author", "REASON": "reason", "ENDED BY": "ended_by", "ID": "id",
    }  # fmt: skip
    print_rows([{**row, "of": _words(row)} for row in rows], columns)


def _words(row: dict[str, Any]) -> str:
    return ", ".join(f"{part} {row[part]}" for part in (*PARTS, "tenant") if row[part])


@silence.command()
@click.argument("silence_id")
@config_option
def expire(silence_id: str, config_path: Path | None) -> None:
    """End a silence before its time.

    \b
    Example:
      phinops silence expire si_0f2c
    """
    by = person()
    _ask(
        config_of(config_path),
        lambda remote: _body(remote.post(f"/api/v1/silences/{silence_id}/expire", {"by": by})),
        lambda here: _ended(here, silence_id, by),
    )
    click.echo(f"{silence_id} is over")


async def _ended(here: Any, silence_id: str, by: str) -> None:
    if not await here.end(silence_id, by=by):
        raise SaidNo(f"there is no silence «{silence_id}» that is not over")


def _body(answer: Answer) -> Any:
    if answer.status >= 500:
        raise StoreError(answer.message)
    if answer.status != 200:
        raise SaidNo(answer.message)
    return answer.body


def _ask(config: Config, remotely: Callable[[Remote], T], alone: Callable[[Any], Awaitable[T]]) -> T:
    """By the daemon, or in the store where none runs."""
    try:
        return remotely(Remote(config))
    except NobodyAnswers as nobody:
        return in_store(config, nobody, lambda store: _alone(store, config, alone))


async def _alone(store: Any, config: Config, ask: Callable[[Any], Awaitable[T]]) -> T:
    from phinops.silencing import Silences

    try:
        return await ask(Silences(store, SystemClock(), config.timezone))
    except ValueError as error:
        raise SaidNo(str(error)) from error
