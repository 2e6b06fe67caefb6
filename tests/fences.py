"""The fenced blocks and the links of Markdown files."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^(?P<indent>\s*)(?P<marks>`{3,}|~{3,})\s*(?P<info>.*)$")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6}\s+(?P<text>.+?)\s*$")


@dataclass(frozen=True, slots=True)
class Fence:
    """One block: `line` is that of its opening fence, `language` and `marks` are the words of its info string."""

    file: Path
    line: int
    language: str
    marks: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return f"{self.file.name}:{self.line} {self.language}"


def fences(file: Path) -> Iterator[Fence]:
    """The blocks of the file in order, without the indentation of the list that they may stand in."""
    opened: tuple[int, re.Match[str], list[str]] | None = None
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        found = _FENCE.match(line)
        if opened is None:
            if found:
                opened = number, found, []
            continue
        begun, opening, lines = opened
        if found and not found["info"] and found["marks"].startswith(opening["marks"]):
            language, *marks = opening["info"].split() or [""]
            yield Fence(file, begun, language, tuple(marks), "\n".join(lines) + "\n")
            opened = None
        else:
            lines.append(line.removeprefix(opening["indent"]))
    assert opened is None, f"{file}: a fence is not closed"


def prose(file: Path) -> Iterator[tuple[int, str]]:
    """The lines outside of blocks, numbered from 1."""
    inside = ""
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        found = _FENCE.match(line)
        if found and not inside:
            inside = found["marks"]
        elif found and not found["info"] and found["marks"].startswith(inside):
            inside = ""
        elif not inside:
            yield number, line


def links(file: Path) -> Iterator[tuple[int, str]]:
    """Where each link stands, and what it points to."""
    for number, line in prose(file):
        for found in _LINK.finditer(re.sub(r"`[^`]*`", "``", line)):
            yield number, found["target"]


def anchors(file: Path) -> set[str]:
    """The names of the file's headings, as GitHub makes them."""
    texts = (found["text"] for _, line in prose(file) if (found := _HEADING.match(line)))
    return {re.sub(r"[^\w\- ]", "", text.lower().replace("`", "")).strip().replace(" ", "-") for text in texts}


def commands(fence: Fence) -> Iterator[list[str]]:
    """The words of each simple command of a block: of `console` the lines after a prompt, else all.

    Variables that are set for one command, redirections and what stands after `|` and `#` are not part of them.
    """
    text = fence.text
    if fence.language == "console":
        text = "\n".join(line[2:] for line in text.splitlines() if line.startswith(("$ ", "# ", "> ")))
    for line in _logical_lines(text):
        command: list[str] = []
        for word in _words(line):
            if set(word) <= set("();<>|&"):
                yield from _simple(command)
                command = [word] if set(word) <= set("<>") else []
            else:
                command.append(word)
        yield from _simple(command)


def _logical_lines(text: str) -> Iterator[str]:
    """Lines as a shell reads them: one that ends in a backslash, or within quotes, goes on in the next."""
    line = ""
    for part in text.splitlines():
        line += part
        if line.endswith("\\"):
            line = line[:-1]
            continue
        try:
            _words(line)
        except ValueError:  # no closing quotation
            line += "\n"
            continue
        yield line
        line = ""
    assert not line, f"a quotation is not closed: {line}"


def _words(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return list(lexer)


def _simple(words: list[str]) -> Iterator[list[str]]:
    while words and re.fullmatch(r"[A-Za-z_]\w*=.*", words[0]):
        words = words[1:]
    if words and words[0] == "sudo":
        words = words[1:]
    if words and not set(words[0]) <= set("<>"):
        yield words
