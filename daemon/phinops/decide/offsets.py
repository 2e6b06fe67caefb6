"""Where in the file a character of a YAML text stands: expressions are wrong somewhere, not just somehow."""

from __future__ import annotations

import re

from phinops.decide.document import Node

_PROPERTIES = re.compile(r"(?:[!&]\S*\s+)*")
_LONG_ESCAPES = {"x": 4, "u": 6, "U": 10}


def locate(text: str, node: Node, offset: int) -> tuple[int, int]:
    """Line and column, from 1, of the character at `offset` of the scalar `node` in the file `text`.

    A folded block (`>`) is known by its first line only.
    """
    if node.style == ">":
        return node.place
    source = text[node.start : node.end]
    if node.style == "|":
        return _in_literal(source, node, offset)
    skipped = _PROPERTIES.match(source)
    begin = skipped.end() if skipped and node.style != "!" else 0
    at = begin + _in_flow(source[begin:], node.style, offset)
    line = source.count("\n", 0, at)
    if not line:
        return node.line, node.column + at
    return node.line + line, at - source.rfind("\n", 0, at)


def _in_literal(source: str, node: Node, offset: int) -> tuple[int, int]:
    value = str(node.value)
    before = value[: min(offset, len(value.rstrip()))]
    number, column = before.count("\n"), len(before) - (before.rfind("\n") + 1)
    indent = len(source.split("\n")[number + 1]) - len(value.split("\n")[number])
    return node.line + 1 + number, indent + column + 1


def _in_flow(source: str, style: str, offset: int) -> int:
    """How far into the source of a plain or quoted scalar the character at `offset` of its value is."""
    at = 1 if style in ("'", '"') else 0
    passed = 0
    while passed < offset and at < len(source):
        taken, given = _piece(source, at, style)
        at += taken
        passed += given
    return at


def _piece(source: str, at: int, style: str) -> tuple[int, int]:
    """How many characters of the source make how many of the value, from `at` on."""
    char = source[at]
    if style == '"' and char == "\\":
        return _escape(source, at)
    if style == "'" and source.startswith("''", at):
        return 2, 1
    fold = re.compile(r"[ \t]*\n\s*").match(source, at) if char in " \t\n" else None
    if fold:
        return len(fold[0]), max(1, fold[0].count("\n") - 1)
    return 1, 1


def _escape(source: str, at: int) -> tuple[int, int]:
    kind = source[at + 1 : at + 2]
    if kind == "\n":
        continued = re.compile(r"\\\n[ \t]*").match(source, at)
        return (len(continued[0]) if continued else 2), 0
    return _LONG_ESCAPES.get(kind, 2), 1
