"""Results on stdout: aligned columns for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

_EMPTY = "-"


def print_json(value: Any) -> None:
    """One JSON document."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def print_rows(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    """Rows under headings; `columns` maps a heading to the key, dots leading inside. Nothing is cut off in a pipe."""
    table = [list(columns), *([_text(_at(row, key)) for key in columns.values()] for row in rows)]
    widths = [max(len(line[index]) for line in table) for index in range(len(columns))]
    room = terminal_width()
    for line in table:
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        click.echo(text if room is None or len(text) <= room else text[: room - 1] + "…")


def terminal_width() -> int | None:
    """How many characters fit into a line of the terminal; None where the results go elsewhere."""
    import shutil

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _at(row: Mapping[str, Any], key: str) -> Any:
    value: Any = row
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _text(value: Any) -> str:
    if value is None or value == "":
        return _EMPTY
    return " ".join(str(value).split())


def paused_text(pause: dict[str, Any]) -> str:
    """Who lets no write leave, since when and why, for people."""
    why = f": {pause['reason']}" if pause["reason"] else ""
    return f"paused by {pause['by']} since {pause['at']}{why}"
