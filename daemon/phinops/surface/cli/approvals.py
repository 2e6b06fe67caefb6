"""`phinops approvals`, `approve` and `deny`: what people are asked, and their answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import click

from phinops.answering import READ_WITHIN, Answering, Said
from phinops.clock import SystemClock
from phinops.config import Config
from phinops.errors import PhinopsError, StoreError, StoreHeld
from phinops.execute.bells import Bells
from phinops.record.sqlite import Store
from phinops.surface import logs
from phinops.surface.cli.options import (
    config_of,
    config_option,
    json_option,
    limit_option,
    person,
    tenant_of,
    tenant_option,
)
from phinops.surface.cli.output import print_json
from phinops.surface.cli.reach import NobodyAnswers, Remote

Row = dict[str, Any]

READ = timedelta(seconds=READ_WITHIN)


class DaemonFailed(PhinopsError):
    """The daemon is there, and cannot take the answer (exit code 3)."""


_VERBS: dict[Said, str] = {"approved": "approve", "denied": "deny"}

reason_option = click.option("--reason", metavar="TEXT", default="", help="Why; kept with the answer.")


@click.command()
@config_option
@tenant_option
@limit_option
@json_option
def approvals(config_path: Path | None, tenant: str | None, limit: int, as_json: bool) -> None:
    """What people were asked, newest first: the calls, how things were, and what became of it.

    \b
    Example:
      phinops approvals --limit 5
    """
    config = config_of(config_path)
    name = tenant_of(config, tenant).name if tenant is not None else ""
    try:
        rows: list[Row] = Remote(config).get("/api/v1/approvals", limit=limit, tenant=name)
    except NobodyAnswers as silence:
        rows = _stored(config, silence, lambda answering: answering.listed(limit, name), create=False)
    if as_json:
        print_json(rows)
    else:
        for row in rows:
            _tell(row)


@click.command()
@click.argument("approval_id", metavar="ID")
@reason_option
@config_option
@json_option
@click.pass_context
def approve(ctx: click.Context, approval_id: str, reason: str, config_path: Path | None, as_json: bool) -> None:
    """Say yes to what a rule asks. It counts for what was shown, and only while that is still so.

    The objects are read again first. Exit code 1 when somebody has answered before, time is over, or the state has
    changed. Where no daemon runs the answer is kept, and the state is read at the start.

    \b
    Example:
      phinops approve ap_0f2c7a61b3d94e58a1c0 --reason "checked with the data team"
    """
    _answer(ctx, config_of(config_path), approval_id, "approved", reason, as_json)


@click.command()
@click.argument("approval_id", metavar="ID")
@reason_option
@config_option
@json_option
@click.pass_context
def deny(ctx: click.Context, approval_id: str, reason: str, config_path: Path | None, as_json: bool) -> None:
    """Say no to what a rule asks: nothing of it is done.

    \b
    Example:
      phinops deny ap_0f2c7a61b3d94e58a1c0 --reason "wait for the upstream fix"
    """
    _answer(ctx, config_of(config_path), approval_id, "denied", reason, as_json)


def _answer(ctx: click.Context, config: Config, approval_id: str, said: Said, reason: str, as_json: bool) -> None:
    by = person()
    try:
        refusal, row = _served(config, approval_id, said, by, reason)
    except NobodyAnswers as silence:
        refusal, row = _stored(config, silence, lambda answering: _alone(answering, approval_id, said, by, reason))
    if as_json and row is not None:
        print_json(row)
    elif not refusal and row is not None:
        _tell(row)
    if refusal:
        click.echo(f"phinops: {refusal}", err=True)
        ctx.exit(1)


def _served(config: Config, approval_id: str, said: Said, by: str, reason: str) -> tuple[str, Row | None]:
    """Why the answer comes to nothing, or "", and the question as the running daemon has it."""
    path = f"/api/v1/approvals/{quote(approval_id, safe='')}/{_VERBS[said]}"
    answer = Remote(config).post(path, {"by": by, "via": "cli", "reason": reason}, READ)
    if answer.status == 200:
        return "", answer.body
    if answer.status in (404, 409):
        return answer.message, answer.body["error"].get("approval")
    raise DaemonFailed(answer.message or f"the daemon answered {answer.status}")


async def _alone(answering: Answering, approval_id: str, said: Said, by: str, reason: str) -> tuple[str, Row | None]:
    """Answer where no daemon runs: nobody is there to read the state, so nothing is waited for."""
    answered = await answering.answer(approval_id, said, by=by, via="cli", reason=reason, wait=0.0)
    return answered.refusal, answering.told(answered.approval) if answered.approval else None


def _stored(config: Config, silence: NobodyAnswers, ask: Callable[[Answering], Any], *, create: bool = False) -> Any:
    """What `ask` gives of the store itself, where no daemon holds it."""
    logs.configure("warning")
    clock = SystemClock()

    async def asking() -> Any:
        async with Store.open(config.store.path, clock, create=create) as store:
            return await ask(Answering(store, Bells(), clock, config.timezone))

    try:
        return anyio.run(asking)
    except StoreHeld:
        raise silence from None
    except StoreError as error:
        raise NobodyAnswers(f"{silence}; {error}") from error


def _tell(row: Row) -> None:
    click.echo(f"{row['id']}  {row['state']}")
    click.echo(f"  {row['rule']}, step {row['step']}, tenant {row['tenant']}, asked at {row['time']}")
    for line in row["message"].splitlines():
        click.echo(f"  {line}")
    for call in row["calls"]:
        click.echo(f"  - {call['text']}")
    for each in row["objects"]:
        click.echo(f"    {each['text']}")
    if row["outcome"] or row["answer"] == "approved":
        click.echo(f"  {_came_to(row)}")


def _came_to(row: Row) -> str:
    if row["outcome"] == "accepted":
        return "what was shown was still so"
    if not row["outcome"]:
        return f"the state is read again before anything is done, which takes more than {READ_WITHIN:g} s, or a start"
    return f"{row['outcome']}: {row['why']}" if row["why"] else str(row["outcome"])
