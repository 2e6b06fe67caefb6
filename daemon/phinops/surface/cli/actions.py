"""`phinops actions`: what was done, and deciding what could not be settled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import click

from phinops.config import Config
from phinops.surface.cli.listings import show
from phinops.surface.cli.options import config_of, config_option, json_option, limit_option, person, tenant_option
from phinops.surface.cli.output import print_json
from phinops.surface.cli.reach import Answer, NobodyAnswers, Remote, SaidNo

Known: TypeAlias = dict[str, Any]
"""What the daemon tells of an action."""

_ANSWERS = {
    "done": "it was done: the rule goes on with its next step",
    "absent": "it was not done: the step is tried again, after a look at its target",
    "abandon": "nobody will know: the rule ends here, and the target is free again",
}


@click.group(invoke_without_command=True)
@config_option
@tenant_option
@limit_option
@json_option
@click.pass_context
def actions(ctx: click.Context, config_path: Path | None, tenant: str | None, limit: int, as_json: bool) -> None:
    """What was done and what came of it, newest first. `phinops undo ID` takes one of them back.

    \b
    Example:
      phinops actions --json
    """
    if ctx.invoked_subcommand is not None:
        ctx.obj = config_path
        return
    columns = {
        "TIME": "time", "STEP": "step", "TARGET": "target", "OUTCOME": "outcome", "API": "api", "ID": "id",
    }  # fmt: skip
    rare = {"REVERSES": "reverses", "UNDONE BY": "undone_by", "TOO OFTEN": "doubled"}
    show("actions", config_of(config_path), tenant, limit, as_json, columns, rare)


@actions.command()
@click.argument("action_id", metavar="ID")
@click.option("--as", "answer", type=click.Choice(list(_ANSWERS)), help="What became of it; without it you are asked.")
@click.option("--reason", metavar="TEXT", default="", help="Why you say so, for the audit.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@config_option
@json_option
@click.pass_context
def resolve(
    ctx: click.Context,
    action_id: str,
    answer: str | None,
    reason: str,
    yes: bool,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Decide what became of an action that is unknown.

    Shows what was known of its target before, and how that looks now, which takes a call or two. Then say what became
    of it: `done`, and the rule goes on with its next step; `absent`, and the step is tried again; `abandon`, and the
    rule ends. Whichever it is, the target takes writes again. It is recorded with your name.

    \b
    Example:
      phinops actions resolve act_5d0e0f2c --as done --reason "seen in the console"
    """
    if answer is None and yes:
        raise click.UsageError("--yes needs --as: what became of the action?")
    config = config_of(config_path or ctx.obj)
    remote, path = Remote(config), f"/api/v1/actions/{action_id}"
    try:
        known = _body(remote.post(f"{path}/look"))
    except NobodyAnswers as silence:
        found = anyio.run(_alone, config, silence, action_id, answer, reason, yes)
    else:
        said = {"as": _decided(known, answer, yes), "reason": reason, "by": person()}
        found = _body(remote.post(f"{path}/resolve", said))
    if as_json:
        print_json(found)
    else:
        click.echo(f"{found['id']} is {found['outcome']}; its firing {found['firing_id']} is {found['firing']}")


def _body(answer: Answer) -> Known:
    if answer.status in (400, 404, 409):
        raise SaidNo(answer.message)
    if answer.status != 200:
        raise NobodyAnswers(answer.message)
    found: Known = answer.body
    return found


async def _alone(
    config: Config, silence: NobodyAnswers, action_id: str, answer: str | None, reason: str, yes: bool
) -> Known:
    """The same on the store of a daemon that does not run; the next one that starts goes on from there."""
    from phinops.resolutions import NotUnknown
    from phinops.surface.cli.stopped import stopped_daemon

    async with stopped_daemon(config, silence) as daemon:
        known = _there(action_id, await daemon.resolutions.look(action_id))
        chosen: Any = _decided(known, answer, yes)
        try:
            found = await daemon.resolutions.resolve(action_id, chosen, person(), reason, begin=False)
        except NotUnknown as error:
            raise SaidNo(str(error)) from error
        return _there(action_id, found)


def _there(action_id: str, found: Known | None) -> Known:
    if found is None:
        raise SaidNo(f"no action «{action_id}» is on record")
    return found


def _decided(known: Known, answer: str | None, yes: bool) -> str:
    """What the person says, once they have seen what is known."""
    if known["outcome"] != "unknown":
        raise SaidNo(f"{known['id']} is «{known['outcome']}»: only what is unknown has to be decided")
    click.echo(_shown(known), err=True)
    if answer is None:
        for name, means in _ANSWERS.items():
            click.echo(f"  {name:8} {means}", err=True)
        return str(click.prompt("What became of it?", type=click.Choice(list(_ANSWERS)), err=True))
    if not yes:
        click.confirm(f"{_ANSWERS[answer]}. Record that?", abort=True, err=True)
    return answer


def _shown(known: Known) -> str:
    seen = {"applied": "like done", "absent": "like not done"}.get(known.get("found", ""), "neither like done nor not")
    looks = f"cannot be read: {known['unread']}" if known.get("unread") else f"{_json(known['now'])}, {seen}"
    target, by = known["target"] or known["api"], f"rule {known['rule']}, firing {known['firing_id']}"
    lines = {
        "action": f"{known['step']} of {target} ({by})",
        "sent": f"{known['api']} {_json(known['request'])}",
        "unknown": known["reason"],
        "before": _json(known["before"]),
        "now": looks,
    }
    return "\n".join(f"{name + ':':9}{text}" for name, text in lines.items())


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if value else "not known"
