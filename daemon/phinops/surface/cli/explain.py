"""`phinops explain`: why each rule fired on a recorded event, or did not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import click

from phinops.config import Config
from phinops.errors import StoreError, StoreHeld
from phinops.surface.cli.options import config_of, config_option, json_option
from phinops.surface.cli.output import print_json
from phinops.surface.cli.reach import NobodyAnswers, Remote

Accounts = list[dict[str, Any]]

_MARKS = {True: ("yes", "green"), False: ("NO", "red"), None: ("??", "yellow")}

_OUTCOMES = {
    "fired": "fired",
    "skipped": "did not fire",
    "counted": "counted",
    "no_match": "did not fire",
    "other_event": "did not look",
    "not_in_force": "was not there",
}


@click.command()
@click.argument("name", metavar="EVENT_ID")
@click.option("--rule", "rule", metavar="RULE_ID", default="", help="Of this rule only, also if it did not look.")
@config_option
@json_option
@click.pass_context
def explain(ctx: click.Context, name: str, rule: str, config_path: Path | None, as_json: bool) -> None:
    """Why each rule fired on an event that is on record, or did not: clause by clause, with the values of then.

    EVENT_ID is what `phinops events` and `phinops firings` show; a firing's id will do. The exit code is 1 when nothing
    of that name is on record.

    \b
    Example:
      phinops explain ev_0f2c --rule rerun-failed-orders
    """
    accounts, pruned = _ask(config_of(config_path), name, rule)
    if accounts is None:
        older = f"; what is from before {pruned} was pruned" if pruned else ""
        click.echo(f"no event or firing «{name}» is on record{older}", err=True)
        ctx.exit(1)
    elif as_json:
        print_json(accounts)
    else:
        _tell(accounts)


def _ask(config: Config, name: str, rule: str) -> tuple[Accounts | None, str]:
    """The accounts, None when nothing of that name is on record; and before when all was pruned, "" if nothing was."""
    try:
        remote = Remote(config)
        found = remote.find(f"/api/v1/explain/{name}", rule=rule)
        return found, "" if found else remote.get("/api/v1/status").get("store", {}).get("pruned_before") or ""
    except NobodyAnswers as silence:
        return _from_store(config, name, rule, silence)


def _from_store(config: Config, name: str, rule: str, silence: NobodyAnswers) -> tuple[Accounts | None, str]:
    from phinops.decide.language import Language
    from phinops.record.pruning import pruned_before
    from phinops.record.sqlite import Store
    from phinops.surface import logs
    from phinops.telling import Telling

    logs.configure("warning")

    async def read() -> tuple[Accounts | None, str]:
        async with Store.open(config.store.path, create=False) as store:
            found = await Telling(store, Language(config.timezone), config.timezone).explain(name, rule)
            pruned = await store.read(pruned_before)
            return found, pruned.astimezone(config.timezone).isoformat() if pruned else ""

    try:
        return anyio.run(read)
    except StoreHeld:
        raise silence from None
    except StoreError as error:
        raise NobodyAnswers(f"{silence}; {error}") from error


def _tell(accounts: Sequence[Mapping[str, Any]]) -> None:
    if not accounts:
        click.echo("no rule looked at it")
    for account in accounts:
        click.echo(f"{click.style(account['rule'], bold=True)}  {_headline(account)}")
        for line in _details(account):
            click.echo(f"  {line}")


def _headline(account: Mapping[str, Any]) -> str:
    outcome, reason = _OUTCOMES[account["outcome"]], account["reason"]
    if account["outcome"] == "fired":
        waits = account["state"] in ("waiting", "queued")
        outcome = f"waits ({account['mode']})" if waits else f"fired ({account['mode']}): {account['state']}"
    return f"{outcome}: {reason}" if reason else outcome


def _details(account: Mapping[str, Any]) -> Iterator[str]:
    if account["condition"]:
        yield from _clause(account["condition"], "")
    for guard in account["guards"]:
        said = guard["reason"].removeprefix(f"{guard['guard']}: ")
        yield f"{click.style('NO  ', fg='red')} {guard['guard']}: {said}"
    for each in account["actions"]:
        name = each["step_id"] if each["step_id"] else each["step"]
        said = f"{name}: {each['outcome'] or 'under way'}"
        yield f"step {said}{': ' + each['reason'] if each['reason'] else ''}{_of(each)}"
    if account["version"]:
        key = f", key {account['key']}" if account["key"] else ""
        firing = f", firing {account['firing']}" if account["firing"] else ""
        yield click.style(f"decided {account['time']} by version {account['version']}{key}{firing}", dim=True)


def _of(action: Mapping[str, Any]) -> str:
    return f"  ({action['api']} {action['target']})".replace(" )", ")") if action["api"] else ""


def _clause(clause: Mapping[str, Any], indent: str) -> Iterator[str]:
    mark, colour = _MARKS[clause["holds"]]
    word = {"all": "all of", "any": "any of"}.get(clause["kind"], "")
    text = word or " ".join(clause["text"].split())
    values = "; ".join(f"{name} = {_shown(value)}" for name, value in clause["values"].items())
    why = clause["reason"] or values
    here = "  <- this one" if clause["decides"] and not word else ""
    yield f"{indent}{click.style(f'{mark:<4}', fg=colour)} {text}{f'   [{why}]' if why else ''}{here}"
    for part in clause["parts"]:
        yield from _clause(part, indent + "  ")


def _shown(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else "null" if value is None else str(value)
