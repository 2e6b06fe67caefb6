"""A finding as people read it on a terminal: the line of the file below it, and a caret under the place."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import click

from phinops.problem import Problem

_TAB = 4
_MARGIN = 2
_CUT = "…"
_COLOURS = {"error": "red", "warning": "yellow"}

Lines = Callable[[str], Sequence[str]]
"""The lines of a file, none where it cannot be read."""


@dataclass(frozen=True, slots=True)
class Style:
    """How wide the terminal is, in cells, and whether it may be given colours."""

    width: int
    colours: bool


def style_of(width: int) -> Style:
    """The style for a terminal of this width. A variable NO_COLOR that is not empty forbids colours (no-color.org)."""
    return Style(width, not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb")


def lines_of(file: str) -> Sequence[str]:
    """The file's lines as the places of findings count them."""
    try:
        text = Path(file).read_bytes().decode("utf-8-sig", errors="replace")
    except (OSError, ValueError):
        return ()
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def shown(problem: Problem, lines: Sequence[str], style: Style) -> str:
    """The finding, and below it its line of the file with a caret; the finding alone where there is no such line."""
    head = _head(problem, style)
    line = lines[problem.line - 1] if 0 < problem.line <= len(lines) else ""
    if not line.strip():
        return head
    # A column in front of the first word means the line as a whole.
    column = max(problem.column - 1, len(line) - len(line.lstrip()))
    text, cell = _window(line, min(column, len(line)), style.width - _MARGIN)
    caret = click.style("^", fg=_COLOURS[problem.severity], bold=True) if style.colours else "^"
    return f"{head}\n{' ' * _MARGIN}{text}\n{' ' * (_MARGIN + cell)}{caret}"


def _head(problem: Problem, style: Style) -> str:
    note = " (warning)" if problem.severity == "warning" else ""
    if not style.colours:
        return f"{problem}{note}"
    place = click.style(f"{problem.file}:{problem.line}:{problem.column}:", bold=True)
    code = click.style(problem.code, fg=_COLOURS[problem.severity], bold=True)
    return f"{place} {code} {problem.message}{note}"


def _window(line: str, column: int, room: int) -> tuple[str, int]:
    """As much of the line around the column as there is room for, and how many cells stand before the column."""
    glyphs = [_glyph(char) for char in line.rstrip()]
    widths = [_cells(glyph) for glyph in glyphs]
    before, total = sum(widths[:column]), sum(widths)
    if total <= room or room < 8:
        return "".join(glyphs), before
    # A third of the room before the caret, unless the end of the line has no use for the rest.
    wished = max(0, min(before - room // 3, total - room))
    first = _index_at(widths, wished + 1 if wished else 0)
    last = len(widths)
    while sum(widths[first:last]) + (first > 0) + (last < len(widths)) > room:
        last -= 1
    text = (_CUT if first else "") + "".join(glyphs[first:last]) + (_CUT if last < len(glyphs) else "")
    return text, sum(widths[first:column]) + (first > 0)


def _index_at(widths: Sequence[int], cells: int) -> int:
    """The index of the first glyph that begins at or after so many cells."""
    begins = accumulate(widths, initial=0)
    return next(index for index, begin in enumerate(begins) if begin >= cells)


def _glyph(char: str) -> str:
    """The character as a terminal can be given it: a file must not be able to send it commands."""
    if char == "\t":
        return " " * _TAB
    return char if char.isprintable() or unicodedata.category(char) == "Zs" else "\N{REPLACEMENT CHARACTER}"


def _cells(glyph: str) -> int:
    return sum(_width(char) for char in glyph)


def _width(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
