"""The tutorial, typed by somebody: every command in its order, in one shell, and what it prints is what is shown.

`PHINOPS_REWRITE=1 pytest tests/e2e/test_tutorial.py` writes anew what the document shows.
"""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fences import Fence, fences

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"
WITHIN = 120.0
"""Seconds that a command may take, and that what is waited for may take to come."""

END = "=== ended with"

_ID = re.compile(r"\b(?:ev|fi|act)_[0-9a-f]{8,}\b")
_VARYING: Mapping[str, re.Pattern[str]] = {
    "ID": _ID,
    "TIME": re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)"),
    "DATE": re.compile(r"\b\d{4}-\d\d-\d\d\b"),
    "INSTANCE": re.compile(r"\bt_\d{10,}_\d{8}_\d{10,}\b"),
    "VERSION": re.compile(r"(?<=by version )[0-9a-f]{16}\b"),
    "SECONDS": re.compile(r"(?<=failed in )\d+\.\d(?= s$)", re.MULTILINE),
}
"""What differs from run to run, and nothing else."""


def same(text: str) -> str:
    """The text without what differs from run to run, and without the blanks by which it is put in columns."""
    for name, pattern in _VARYING.items():
        text = pattern.sub(f"<{name}>", text)
    return re.sub(r"(?<=\S)  +", "  ", text)


@dataclass(frozen=True, slots=True)
class Shown:
    """A command with what the document shows below it; one that has `until`, a pattern, waits for something."""

    line: int
    command: str
    output: str
    until: str


def shown_in(fence: Fence) -> Iterator[Shown]:
    until = next((mark.removeprefix("until=") for mark in fence.marks if mark.startswith("until=")), "")
    for command, output in re.findall(r"^\$ (.*\n)((?:(?!\$ ).*\n)*)", fence.text, re.MULTILINE):
        yield Shown(fence.line, command.rstrip("\n"), output, until)


class Shell:
    """One bash, as on a reader's terminal, with `phinops` on its path. Ports are taken from those that are free."""

    def __init__(self, folder: Path, ports: Mapping[str, str]) -> None:
        self._ports = ports
        (folder / "bin").mkdir()
        program = folder / "bin" / "phinops"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m phinops "$@"\n')
        program.chmod(0o755)
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("COV", "PHINOPS", "DATAPHIN"))
        }
        self._process = subprocess.Popen(
            ["bash", "--norc"],
            cwd=folder,
            env={**kept, "PATH": f"{program.parent}:{kept['PATH']}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def type(self, command: str) -> str:
        """What the command prints, on either stream, with the ports of the document."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{self.with_free_ports(command)}\necho '{END}' $?\n".encode())
        self._process.stdin.flush()
        printed = self._read(command)
        for documented, port in self._ports.items():
            printed = printed.replace(f":{port}", f":{documented}")
        return printed

    def with_free_ports(self, text: str) -> str:
        """The text with the ports of this run."""
        for documented, port in self._ports.items():
            text = text.replace(documented, port)
        return text

    def _read(self, command: str) -> str:
        assert self._process.stdout is not None
        read, until = b"", time.monotonic() + WITHIN
        while not re.search(rb"^" + END.encode() + rb" \d+\n\Z", read, re.MULTILINE):
            left = until - time.monotonic()
            ready, _, _ = select.select([self._process.stdout], [], [], max(left, 0))
            assert ready, f"not within {WITHIN} s: {command}\n{read.decode()}"
            more = os.read(self._process.stdout.fileno(), 65_536)
            assert more, f"the shell has ended: {command}\n{read.decode()}"
            read += more
        return read.decode().rpartition(END)[0]

    def end(self) -> None:
        """Whatever it started is ended with it."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()


@contextmanager
def shell(folder: Path, *documented: str) -> Iterator[Shell]:
    """A shell in the folder, with a free port for each that the document names."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        free = [str(listener.getsockname()[1]) for listener in (one, two)]
    here = Shell(folder, dict(zip(documented, free, strict=True)))
    try:
        yield here
    finally:
        here.end()


@dataclass(slots=True)
class Reader:
    """Does what the document says. `ids` are those that it shows, with what they are in this run."""

    shell: Shell
    folder: Path
    ids: dict[str, str] = field(default_factory=dict)

    def save(self, fence: Fence) -> None:
        """The file that the reader is told to write, or to append to."""
        for how, name in (mark.split("=", 1) for mark in fence.marks):
            with (self.folder / name).open("w" if how == "file" else "a", encoding="utf-8") as file:
                file.write(("\n" if how == "append" else "") + fence.text)

    def type(self, shown: Shown, *, compare: bool) -> str:
        """What the command prints; one that is waited for is repeated until it prints what is shown."""
        command, deadline = self.now(shown.command), time.monotonic() + WITHIN
        while True:
            printed = self.shell.type(command)
            there = same(printed) == same(shown.output) if compare else re.search(shown.until, printed, re.MULTILINE)
            if there or not shown.until or time.monotonic() > deadline:
                break
        self.ids |= dict(zip(_ID.findall(shown.output), _ID.findall(printed), strict=False))
        return printed

    def now(self, command: str) -> str:
        """The command with the ids of this run."""
        return _ID.sub(lambda found: self.ids.get(found[0], found[0]), command)


def test_the_tutorial_shows_what_happens(tmp_path: Path) -> None:
    rewrite = "PHINOPS_REWRITE" in os.environ
    told: dict[int, list[str]] = {}
    with shell(tmp_path, "8642", "8643") as terminal:
        reader = Reader(terminal, tmp_path / "ops")
        for fence in fences(TUTORIAL):
            if fence.language == "yaml":
                reader.save(fence)
            for shown in shown_in(fence):
                printed = reader.type(shown, compare=not rewrite)
                assert rewrite or same(printed) == same(shown.output), f"{TUTORIAL.name}:{shown.line}: {shown.command}"
                told.setdefault(fence.line, []).append(f"$ {reader.now(shown.command)}\n{printed}")
                if shown.command == "phinops init":
                    config = reader.folder / "phinops.toml"
                    config.write_text(terminal.with_free_ports(config.read_text()))
    if rewrite:
        _rewrite({line: "".join(parts) for line, parts in told.items()})


def _rewrite(told: Mapping[int, str]) -> None:
    """Put what was told below the fences that open in these lines."""
    lines, out = TUTORIAL.read_text(encoding="utf-8").splitlines(keepends=True), []
    inside = False
    for number, line in enumerate(lines, 1):
        inside = inside and line != "```\n"
        if not inside:
            out.append(line)
        if number in told:
            inside = True
            out.append(told[number])
    TUTORIAL.write_text("".join(out), encoding="utf-8")
