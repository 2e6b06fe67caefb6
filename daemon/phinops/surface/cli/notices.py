"""`phinops notices`: what people were told, and telling once more what did not arrive."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from phinops.clock import SystemClock
from phinops.config import Config
from phinops.errors import StoreError
from phinops.surface.cli.options import config_of, config_option, json_option, limit_option, person
from phinops.surface.cli.output import print_json, print_rows
from phinops.surface.cli.reach import NobodyAnswers, Remote, SaidNo
from phinops.surface.cli.shelf import in_store

T = TypeVar("T")

STATES = ("ready", "sent", "merged", "dead")


@click.group(invoke_without_command=True)
@click.option("--state", type=click.Choice(STATES), help="Only those: merged were told in the message of another one.")
@click.option("--notifier", default="", metavar="NAME", help="Only those for this notifier.")
@limit_option
@config_option
@json_option
@click.pass_context
def notices(
    ctx: click.Context, state: str | None, notifier: str, limit: int, config_path: Path | None, as_json: bool
) -> None:
    """What people were told, and what became of it, newest first.

    \b
    Example:
      phinops notices --state dead
    """
    if ctx.invoked_subcommand is not None:
        ctx.obj = config_path
        return
    query: dict[str, str | int] = {"limit": limit, "state": state or "", "notifier": notifier}
    config = config_of(config_path)
    rows = _ask(
        config,
        lambda remote: remote.get("/api/v1/notices", **query),
        lambda here: here.listed(limit, config.timezone, state=state or "", notifier=notifier),
    )
    if as_json:
        print_json(rows)
        return
    columns = {
        "TIME": "time", "NOTIFIER": "notifier", "STATE": "state", "TRIES": "attempts", "TITLE": "title",
        "ERROR": "error", "TOLD WITH": "told_with", "ID": "id",
    }  # fmt: skip
    print_rows(rows, columns)


@notices.command()
@click.argument("notice_id", metavar="ID", required=False, default="")
@click.option("--all", "every", is_flag=True, help="All that are dead.")
@config_option
@click.pass_context
def resend(ctx: click.Context, notice_id: str, every: bool, config_path: Path | None) -> None:
    """Try a dead notice once more, under the same id; one that is younger than a day, until it is that old.

    \b
    Example:
      phinops notices resend --all
    """
    if bool(notice_id) == every:
        raise click.UsageError("name one notice, or say --all")
    by = person()
    found = _ask(
        config_of(config_path or ctx.obj),
        lambda remote: _sent(remote.post("/api/v1/notices/resend", {"id": notice_id, "by": by})),
        lambda here: here.send_again(by, notice_id),
    )
    if not found:
        raise SaidNo(f"there is no dead notice «{notice_id}»" if notice_id else "no notice is dead")
    click.echo(f"on the way again: {', '.join(found)}")


def _sent(answer: Any) -> list[str]:
    if answer.status != 200:
        raise StoreError(answer.message)
    found: list[str] = answer.body["again"]
    return found


def _ask(config: Config, remotely: Callable[[Remote], T], alone: Callable[[Any], Awaitable[T]]) -> T:
    """By the daemon, or in the store where none runs: it is delivered after the next start."""
    try:
        return remotely(Remote(config))
    except NobodyAnswers as nobody:
        return in_store(config, nobody, lambda store: _alone(store, alone))


async def _alone(store: Any, ask: Callable[[Any], Awaitable[T]]) -> T:
    from phinops.channels import Notices
    from phinops.execute.notify.post import Post

    async with Post() as post:
        return await ask(Notices({}, store, post, SystemClock()))
