"""The tokens of a template: what its code calls, which filters and tests it uses, and whether it is one expression.

minijinja finds syntax errors and unknown variables by itself; this finds the rest before an event does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

_OPENING = re.compile(r"\{\{|\{%|\{#")
_TOKEN = re.compile(
    r"""(?P<space>\s+)|(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|(?P<name>[^\W\d]\w*)|(?P<number>\d[\w.]*)"""
    r"""|(?P<close>[-+]?\}\}|[-+]?%\})|(?P<sign>\*\*|//|[=!<>]=|.)""",
    re.DOTALL,
)
_RAW = re.compile(r"\{%[-+]?\s*raw\s*[-+]?%\}.*?\{%[-+]?\s*endraw\s*[-+]?%\}", re.DOTALL)
_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)

Block = Literal["{{", "{%"]


@dataclass(frozen=True, slots=True)
class Token:
    """One token of code; `kind` is text, name, number or sign."""

    kind: str
    text: str
    offset: int


@dataclass(frozen=True, slots=True)
class Code:
    """One `{{ ... }}` or `{% ... %}`, from `start` to `end` of the template."""

    block: Block
    start: int
    end: int
    tokens: tuple[Token, ...]


def is_template(text: str) -> bool:
    """Whether the text holds anything that is rendered."""
    return _OPENING.search(text) is not None


def blocks(template: str) -> Iterator[Code]:
    """The template's code in order, without comments and raw blocks; an unclosed block ends with the text."""
    at = 0
    while found := _OPENING.search(template, at):
        skipped = (_RAW if found[0] == "{%" else _COMMENT).match(template, found.start())
        if skipped or found[0] == "{#":
            at = skipped.end() if skipped else len(template)
            continue
        code = _code(template, found)
        yield code
        at = code.end


def _code(template: str, opening: re.Match[str]) -> Code:
    tokens: list[Token] = []
    closing = "}}" if opening[0] == "{{" else "%}"
    depth = 0
    at = opening.end() + (template[opening.end() : opening.end() + 1] in ("-", "+"))
    while at < len(template) and (found := _TOKEN.match(template, at)):
        if found.lastgroup == "close" and found[0].endswith(closing) and not depth:
            return Code("{{" if closing == "}}" else "{%", opening.start(), found.end(), tuple(tokens))
        kind, text = found.lastgroup or "sign", found[0]
        if kind == "close":  # `}}` that ends two maps
            kind, text = "sign", found[0][0]
        if kind != "space":
            tokens.append(Token(kind, text, at))
            depth += (text == "{") - (text == "}" and depth > 0)
        at += len(text)
    return Code("{{" if closing == "}}" else "{%", opening.start(), len(template), tuple(tokens))


def sole_expression(template: str) -> str | None:
    """The expression of a template that is one `{{ expression }}` and nothing else, else None."""
    trimmed = template.strip()
    if not trimmed.startswith("{{") or not trimmed.endswith("}}"):
        return None
    code = next(blocks(trimmed), None)
    if code is None or code.end != len(trimmed) or not code.tokens:
        return None
    last = code.tokens[-1]
    return trimmed[code.tokens[0].offset : last.offset + len(last.text)]
