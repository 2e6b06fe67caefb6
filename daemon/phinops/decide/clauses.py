"""A condition taken apart where it says «and» and «or», so that each part can be told and covered by itself.

The text is only ever cut, never understood: what is a valid condition stays one in each of its parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

_TOKEN = re.compile(
    r'''(?P<text>[rRbB]{0,2}(?:"""(?:\\.|[^\\])*?"""|\'\'\'(?:\\.|[^\\])*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'))'''
    r"""|(?P<comment>//[^\n]*)|(?P<and>&&)|(?P<or>\|\|)|(?P<choice>\?)|(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<rest>.)""",
    re.DOTALL,
)
_RAW_TEXT = re.compile(r"""[bB]?[rR][bB]?(?:\"\"\".*?\"\"\"|'''.*?'''|"[^"\n]*"|'[^'\n]*')""", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Clause:
    """A part of a condition: `all` or `any` of its `parts`, or with `is` something that is asked as it stands.

    `text` is what was written, without what surrounds it; `offset` is where it begins in the condition.
    """

    kind: Literal["all", "any", "is"]
    text: str
    offset: int
    parts: tuple[Clause, ...] = ()


def parse(condition: str) -> Clause:
    """The condition as a tree. Whatever is neither an «and» nor an «or», a choice with `?` too, is one leaf."""
    return _parse(condition, 0)


def clauses(condition: str) -> list[Clause]:
    """What all of must hold: the condition's top level, in order; an alternative or a choice is one of them."""
    whole = parse(condition)
    return list(whole.parts) if whole.kind == "all" else [whole]


def leaves(clause: Clause) -> Iterator[Clause]:
    """Everything that is asked as it stands, in order."""
    if not clause.parts:
        yield clause
    for part in clause.parts:
        yield from leaves(part)


def _parse(text: str, offset: int) -> Clause:
    text, offset = _bare(text, offset)
    signs = list(_top_level(text))
    if not any(sign == "choice" for sign, _ in signs):
        for kind, sign in (("any", "or"), ("all", "and")):
            cuts = [at for each, at in signs if each == sign]
            if cuts:
                return Clause("any" if kind == "any" else "all", text, offset, tuple(_cut(text, offset, cuts)))
    return Clause("is", text, offset)


def _cut(text: str, offset: int, cuts: list[int]) -> Iterator[Clause]:
    begins, ends = [0, *(at + 2 for at in cuts)], [*cuts, len(text)]
    for begin, end in zip(begins, ends, strict=True):
        yield _parse(text[begin:end], offset + begin)


def _bare(text: str, offset: int) -> tuple[str, int]:
    """Without the blanks, the comments before it and the parentheses around all of it."""
    while True:
        left = re.match(r"(?:\s|//[^\n]*(?:\n|$))*", text)
        begin = left.end() if left else 0
        stripped = text[begin:].rstrip()
        if not (stripped.startswith("(") and _closing(stripped) == len(stripped) - 1):
            return stripped, offset + begin
        text, offset = stripped[1:-1], offset + begin + 1


def _closing(text: str) -> int:
    """Where the parenthesis is closed that the text begins with; -1 when it is not."""
    depth = 0
    for kind, at in _tokens(text):
        depth += (kind == "open") - (kind == "close")
        if not depth:
            return at
    return -1


def _top_level(text: str) -> Iterator[tuple[str, int]]:
    depth = 0
    for kind, at in _tokens(text):
        if kind in ("open", "close"):
            depth += 1 if kind == "open" else -1
        elif not depth and kind in ("and", "or", "choice"):
            yield kind, at


def _tokens(text: str) -> Iterator[tuple[str, int]]:
    at = 0
    while at < len(text):
        # Inside of a raw text a backslash is a backslash.
        word = not at or not (text[at - 1].isalnum() or text[at - 1] == "_")
        raw = _RAW_TEXT.match(text, at) if word else None
        found = raw or _TOKEN.match(text, at)
        assert found
        if not raw:
            yield found.lastgroup or "rest", at
        at = found.end()
