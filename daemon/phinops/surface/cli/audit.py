"""`phinops audit`: who did what, as lines for other programs."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import anyio
import click

from phinops.config import Config
from phinops.errors import StoreError, StoreHeld
from phinops.record.audit import COLUMNS, Wanted
from phinops.surface.cli.options import MOMENT, config_of, config_option
from phinops.surface.cli.reach import NobodyAnswers, Remote

Page = dict[str, Any]

AT_A_TIME = 1000


@click.command()
@click.option("--since", type=MOMENT, metavar="14d|TIME", help="Written since then.")
@click.option("--until", type=MOMENT, metavar="1d|TIME", help="Written before then.")
@click.option("--action", metavar="ID", default="", help="About this action only.")
@click.option("--rule", metavar="ID", default="", help="Of this rule only.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "csv"]),
    default="jsonl",
    show_default=True,
    help="One JSON object a line, or a table with a heading.",
)
@config_option
def audit(
    since: datetime | None, until: datetime | None, action: str, rule: str, form: str, config_path: Path | None
) -> None:
    """Every write, notice and decision as it was recorded, oldest first: whose doing, on which event, the call with
    its parameters, Dataphin's RequestId, the state before and after. Secrets are masked.

    A time is RFC 3339, or a duration that is counted back from now.

    \b
    Example:
      phinops audit --since 14d --rule rerun-failed-orders --format csv
    """
    config = config_of(config_path)
    write = _csv() if form == "csv" else _jsonl
    for line in _lines(config, Wanted(since, until, action, rule)):
        write(line)


def _lines(config: Config, wanted: Wanted) -> Iterator[Page]:
    """The lines, a page at a time in memory."""
    after: int | None = 0
    while after is not None:
        page = _page(config, wanted, after)
        yield from page["lines"]
        after = page["next"]


def _page(config: Config, wanted: Wanted, after: int) -> Page:
    asked = {"since": wanted.since, "until": wanted.until}
    times = {name: moment.isoformat() for name, moment in asked.items() if moment}
    try:
        answer: Page = Remote(config).get(
            "/api/v1/audit", **times, action=wanted.action, rule=wanted.rule, after=after, limit=AT_A_TIME
        )
    except NobodyAnswers as silence:
        return _from_store(config, wanted, after, silence)
    if "lines" not in answer:
        raise NobodyAnswers(f"the daemon cannot tell its audit: {answer.get('error', {}).get('message', '')}")
    return answer


def _from_store(config: Config, wanted: Wanted, after: int, silence: NobodyAnswers) -> Page:
    from phinops.record.audit import audit_page
    from phinops.record.sqlite import Store
    from phinops.surface import logs

    logs.configure("warning")

    async def read() -> Page:
        async with Store.open(config.store.path, create=False) as store:
            return await store.read(lambda tx: audit_page(tx, wanted, after, AT_A_TIME, config.timezone))

    try:
        return anyio.run(read)
    except StoreHeld:
        raise silence from None
    except StoreError as error:
        raise NobodyAnswers(f"{silence}; {error}") from error


def _jsonl(line: Page) -> None:
    click.echo(json.dumps(line, ensure_ascii=False))


def _csv() -> Callable[[Page], None]:
    """Writes a line as a row, after the heading. What has parts is JSON in its cell."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)

    def write(line: Page) -> None:
        writer.writerow([_cell(line[name]) for name in COLUMNS])

    return write


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else "" if value is None else value
