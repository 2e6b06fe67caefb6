"""The natural mistakes of YAML: a value that is something else to YAML than to the one who wrote it.

Each is told with its cure, and where the cure is to put the value in quotes, it is applied to go on reading.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import yaml

_ENTRY = re.compile(r"^(?P<before>\s*(?:-\s+)*(?:[\w.-]+|\"[^\"]*\"|'[^']*')\s*:\s+|\s*(?:-\s+)+)(?P<value>\S.*?)\s*$")

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""What YAML 1.2 allows nowhere (section 5.1), and a byte order mark that is not at the beginning."""

_STARTS: Mapping[str, str] = {
    "*": "`*` begins a YAML alias",
    "&": "`&` begins a YAML anchor",
    "!": "`!` begins a YAML tag",
    "@": "`@` cannot begin a YAML value",
    "`": "a backtick cannot begin a YAML value",
    "%": "`%` cannot begin a YAML value",
}


@dataclass(frozen=True, slots=True)
class Mistake:
    """Why a text is not YAML. `value` is the column, from 0, of the value in its line that lacks quotes."""

    code: str
    place: tuple[int, int]
    message: str
    value: int | None = None


@dataclass(frozen=True, slots=True)
class Repair:
    """The text with the value in the line put in quotes."""

    text: str
    line: int


def tag_reason(source: str) -> str:
    """What to say of a value that YAML takes for a tagged one."""
    return f"`{source.split()[0] if source.split() else source}` is a YAML tag here: put the whole value in quotes"


def explain(error: yaml.YAMLError, text: str) -> Mistake:
    """What is wrong, in words of the one who wrote it. Lines and columns count from 1."""
    problem = str(getattr(error, "problem", None) or getattr(error, "reason", None) or error)
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        return Mistake("yaml-syntax", _reader_place(text), f"the text is not YAML: {problem}")
    lines = text.split("\n")
    line, column = _inside(mark, getattr(error, "context_mark", None), lines)
    missing_quotes = _missing_quotes(problem, lines[line], line, column)
    if missing_quotes:
        return missing_quotes
    if lines[line][: column + 1].strip() == "" and "\t" in lines[line][: column + 1]:
        return Mistake("yaml-syntax", (line + 1, column + 1), "a tab cannot indent YAML: use spaces")
    context = str(getattr(error, "context", None) or "")
    return Mistake("yaml-syntax", (line + 1, column + 1), f"not YAML: {f'{context}, ' if context else ''}{problem}")


def _inside(mark: yaml.Mark, context: yaml.Mark | None, lines: list[str]) -> tuple[int, int]:
    """The mark; at the end of the file, where the parser only gave up, where it began to miss something."""
    filled = [index for index, line in enumerate(lines) if line.strip()]
    last = filled[-1] if filled else 0
    best = context if context is not None and mark.line > last else mark
    if best.line > last:
        return last, max(0, len(lines[last].rstrip()) - 1)
    return best.line, min(best.column, len(lines[best.line]))


def _reader_place(text: str) -> tuple[int, int]:
    # The C reader counts bytes, the other one characters; what they refuse is the first unprintable one.
    found = _UNPRINTABLE.search(text)
    at = found.start() if found else 0
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)


def _missing_quotes(problem: str, source: str, line: int, column: int) -> Mistake | None:
    entry = _ENTRY.match(source)
    start = len(entry["before"]) if entry else None
    value = entry["value"] if entry else ""
    if start is not None and column >= start:
        reason = _reason(value, problem)
        if reason:
            colon = column + 1 if "colon" in reason else start + 1
            return Mistake("yaml-quotes", (line + 1, colon), f"{reason}: put the value in quotes", start)
    braces = source.rfind("{{", 0, column + 1)
    if braces >= 0 and "expected" in problem:
        return Mistake("yaml-quotes", (line + 1, braces + 1), "`{{` begins a YAML mapping: put the value in quotes")
    # Inside of { } or [ ] only the sign itself tells; what its value is, is not known well enough to go on.
    for at in (column, column - 1):
        if 0 <= at < len(source) and source[at] in _STARTS:
            return Mistake("yaml-quotes", (line + 1, at + 1), f"{_STARTS[source[at]]}: put the value in quotes")
    return None


def _reason(value: str, problem: str) -> str:
    if value.startswith("{{"):
        return "`{{` begins a YAML mapping"
    if value.startswith("{%"):
        return "`{` begins a YAML mapping"
    if value[0] in _STARTS:
        return _STARTS[value[0]]
    if value[0] in "\"'" and "expected" in problem and len(value) > 1 and value[0] in value[1:]:
        return "the text goes on after its closing quote"
    if "mapping values are not allowed" in problem and re.search(r":(\s|$)", value) and value[0] not in "{[\"'":
        return "a colon with a blank after it begins a YAML mapping"
    return ""


def repair(text: str, mistake: Mistake) -> Repair | None:
    """The text with the value that the mistake is about in quotes, or None where that would not help."""
    if mistake.value is None:
        return None
    lines = text.split("\n")
    index = mistake.place[0] - 1
    value = lines[index][mistake.value :].rstrip()
    lines[index] = lines[index][: mistake.value] + "'" + value.replace("'", "''") + "'"
    return Repair("\n".join(lines), mistake.place[0])
