"""`phinops undo`: an action taken back, as long as its target is as the action left it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import click

from phinops.config import Config
from phinops.durations import format_duration
from phinops.errors import ApiError, NotUndone, PhinopsError, QuotaSpent
from phinops.surface.cli.options import DURATION, config_of, config_option, json_option, person
from phinops.surface.cli.output import print_json
from phinops.surface.cli.reach import Answer, NobodyAnswers, Remote

_NO = (400, 404, 409, 422)

_DONE = ("verified", "accepted", "timed_out", "failed")
"""Outcomes of a write that Dataphin took."""


class _Refused(NotUndone):
    """It cannot be taken back (exit code 1)."""


@click.command()
@click.argument("action_id", metavar="ACTION_ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--reason", default="", help="Why; it is kept in the audit trail.")
@click.option("--wait", type=DURATION, default="60s", show_default=True, help="How long to wait for what comes of it.")
@config_option
@json_option
@click.pass_context
def undo(
    ctx: click.Context,
    action_id: str,
    yes: bool,
    reason: str,
    wait: timedelta,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Take an action back: resume what it paused, pause what it resumed.

    ACTION_ID is what `phinops actions` shows. The target is read first: if somebody has touched it since, or a later
    action has, nothing is sent and the command says what has changed (exit code 1). Other steps cannot be taken back,
    and it says why. Exit code 3 means that nobody was reached, or that it is still under way after --wait.

    \b
    Example:
      phinops undo act_0f2c --reason "the mart is repaired"
    """
    config = config_of(config_path)
    try:
        if not yes:
            _confirm(_ask(config, action_id, {"preview": True}))
        found = _ask(config, action_id, {"by": person(), "reason": reason, "wait": format_duration(wait)}, wait)
    except NotUndone as error:
        click.echo(f"phinops: {error}", err=True)
        ctx.exit(1)
    if as_json:
        print_json(found)
    else:
        click.echo(_told(found))
    ctx.exit(_code(found))


def _confirm(plan: Mapping[str, Any]) -> None:
    call = f"{plan['api']} {json.dumps(plan['params'], ensure_ascii=False)}"
    what = f"{plan['action']} of {plan['rule']} is taken back by {plan['step']} {plan['target']} in {plan['tenant']}"
    click.confirm(f"{what}:\n  {call}\nSend it?", abort=True, err=True)


def _told(found: Mapping[str, Any]) -> str:
    reason = f": {found['reason']}" if found["reason"] else ""
    if found["outcome"] in _DONE:
        return f"{found['action']} was taken back by {found['undone_by']} ({found['outcome']}){reason}"
    if found["outcome"] in ("", "absent") and found["state"] not in ("failed", "needs_decision", "skipped"):
        return f"{found['action']} is being taken back by {found['firing_id']}: see `phinops actions`{reason}"
    return f"{found['action']} was not taken back ({found['outcome'] or found['state']}){reason}"


def _code(found: Mapping[str, Any]) -> int:
    if found["outcome"] in _DONE:
        return 0
    return 1 if found["outcome"] in ("refused", "skipped") or found["state"] == "failed" else 3


def _ask(config: Config, action_id: str, body: Mapping[str, Any], wait: timedelta = timedelta()) -> Any:
    """What the daemon answers; NotUndone where that is no."""
    if not action_id.replace("_", "").isalnum():  # it becomes part of an address
        raise _Refused(f"no action «{action_id}» is on record")
    try:
        answer = Remote(config).post(f"/api/v1/actions/{action_id}/undo", body, wait)
    except NobodyAnswers as silence:
        return _alone(config, action_id, body, wait, silence)
    if answer.status == 200:
        return answer.body
    raise _failure(answer)


def _failure(answer: Answer) -> NotUndone | NobodyAnswers:
    return _Refused(answer.message) if answer.status in _NO else NobodyAnswers(answer.message)


def _alone(config: Config, action_id: str, body: Mapping[str, Any], wait: timedelta, silence: NobodyAnswers) -> Any:
    from phinops.surface.cli.stopped import stopped_daemon

    async def ask() -> Any:
        async with stopped_daemon(config, silence) as daemon:
            try:  # in here: what leaves a task group is wrapped
                if body.get("preview"):
                    return await daemon.undo_preview(action_id)
                return await daemon.undo(action_id, body["by"], body["reason"], wait)
            except (LookupError, NotUndone) as error:
                return _Refused(str(error))
            except (ApiError, QuotaSpent) as error:
                return NobodyAnswers(str(error))

    found = anyio.run(ask)
    if isinstance(found, PhinopsError):
        raise found
    return found
