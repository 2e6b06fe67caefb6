"""`phinops backtest`: recorded events under other rules."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import click

from phinops.config import Config
from phinops.errors import StoreError, StoreHeld
from phinops.surface.cli.options import DURATION, config_of, config_option, json_option, tenant_of, tenant_option
from phinops.surface.cli.output import print_json, print_rows
from phinops.surface.cli.reach import NobodyAnswers, Remote

if TYPE_CHECKING:
    from phinops.surface.trial.backtest import Backtest
    from phinops.surface.trial.differences import Change, Difference

Page = dict[str, Any]

AT_A_TIME = 1000

_MARKS: Mapping[Change, tuple[str, str]] = {
    "added": ("+", "green"),
    "removed": ("-", "red"),
    "changed": ("~", "yellow"),
}


@click.command()
@click.option("--since", type=DURATION, metavar="DURATION", required=True, help="How far back from the newest event.")
@click.option(
    "--rules",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="PATH",
    help="The rules to try; else the config's.",
)
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="PATH",
    help="Rules to compare them with; else what was decided then.",
)
@click.option("--fail-on-new-writes", is_flag=True, help="Exit 1 when they write what the others do not.")
@config_option
@tenant_option
@json_option
@click.pass_context
def backtest(
    ctx: click.Context,
    since: timedelta,
    rules: tuple[Path, ...],
    against: tuple[Path, ...],
    fail_on_new_writes: bool,
    config_path: Path | None,
    tenant: str | None,
    as_json: bool,
) -> None:
    """Let recorded events happen once more, under other rules: which decisions are added, removed or changed, and what
    calls and notices it would have cost. Nothing is sent anywhere.

    The exit code is 1 when the rules have mistakes or there is no event to try them on.

    \b
    Example:
      phinops backtest --since 14d --rules new-rules --fail-on-new-writes
    """
    from phinops.surface.logs import configure
    from phinops.surface.trial.backtest import Asked, Mistaken, run_backtest

    configure("critical", "text")
    config = config_of(config_path)
    name = tenant_of(config, tenant).name
    asked = Asked(name, since, tuple(rules) or tuple(config.rules.paths), tuple(against))
    try:
        with tempfile.TemporaryDirectory(prefix="phinops-backtest-") as folder:
            found = run_backtest(config, asked, lambda at, after: _page(config, name, at, after), Path(folder))
    except Mistaken as error:
        for problem in error.problems:
            click.echo(str(problem), err=True)
        ctx.exit(1)
    if as_json:
        print_json(found.to_json())
    else:
        _tell(found)
    if found.pruned:
        click.echo(f"what was recorded before {found.pruned} was pruned: the replay knows nothing of it", err=True)
    if not found.events:
        click.echo("no event is on record that could be tried", err=True)
    ctx.exit(1 if not found.events or (fail_on_new_writes and found.new_writes) else 0)


def _page(config: Config, tenant: str, since: datetime, after: int) -> Page:
    """A page of recorded events, from the daemon or, where none runs, from the store."""
    try:
        answer: Page = Remote(config).get(
            "/api/v1/recorded", tenant=tenant, since=since.isoformat(), after=after, limit=AT_A_TIME
        )
    except NobodyAnswers as silence:
        return _from_store(config, tenant, since, after, silence)
    return answer


def _from_store(config: Config, tenant: str, since: datetime, after: int, silence: NobodyAnswers) -> Page:
    from phinops.record.recorded import page
    from phinops.record.sqlite import Store

    async def read() -> Page:
        async with Store.open(config.store.path, create=False) as store:
            return await store.read(lambda tx: page(tx, tenant, since, after, AT_A_TIME))

    try:
        return anyio.run(read)
    except StoreHeld:
        raise silence from None
    except StoreError as error:
        raise StoreError(f"{silence}; and {error}") from error


def _tell(found: Backtest) -> None:
    for difference in found.differences:
        _tell_one(difference)
    if found.differences:
        click.echo()
    rows = [
        {"what": "decisions that fire", "then": found.old["fired"], "now": found.new["fired"]},
        {"what": "decisions that are skipped", "then": found.old["skipped"], "now": found.new["skipped"]},
        {"what": "writes", "then": found.old["writes"], "now": found.new["writes"]},
        {"what": "writes in shadow", "then": found.old["shadow_writes"], "now": found.new["shadow_writes"]},
        {"what": "notices", "then": found.old["notices"], "now": found.new["notices"]},
        *(
            {"what": f"calls of level {level}", "then": (found.old["calls"] or {}).get(level, ""), "now": calls}
            for level, calls in found.new["calls"].items()
        ),
    ]
    print_rows(rows, {"": "what", found.against or "RECORDED": "then", "RULES": "now"})
    counts = [f"{found.count(change)} {change}" for change in _MARKS]
    click.echo(f"{found.events} events from {found.since} on: {', '.join(counts)}")


def _tell_one(difference: Difference) -> None:
    mark, colour = _MARKS[difference.change]
    event = difference.event
    head = f"{mark} {difference.at} {difference.rule} on {event['type']} {difference.event_id}"
    what = f": {', '.join(difference.what)}" if difference.what else ""
    click.echo(click.style(head + what, fg=colour))
    for name, decision in (("was", difference.old), ("is", difference.new)):
        if decision is not None:
            click.echo(f"    {name:4}{_line(decision)}")


def _line(decision: Page) -> str:
    """A decision in a line."""
    if decision["state"] == "skipped":
        return f"skipped: {decision['reason']}"
    parts: Sequence[str] = [
        *(f"{action['step']} {action['target']}".rstrip() for action in decision["actions"]),
        *(f"notify {notice['to']} ({notice['severity']}) «{notice['title']}»" for notice in decision["notices"]),
    ]
    return f"{decision['mode']}, {decision['state']}: {'; '.join(parts) or 'nothing done'}"
