"""Findings on a terminal: the line, and a caret under the place."""

from __future__ import annotations

from pathlib import Path

import pytest

from phinops.problem import Problem
from phinops.surface.cli.caret import Style, lines_of, shown, style_of

PLAIN = Style(40, colours=False)


def below(line: str, column: int, style: Style = PLAIN) -> tuple[str, str]:
    """The line as it is shown, and that of the caret, for a problem at a column of it."""
    head, *rest = shown(Problem("a.yaml", 1, column, "bad-value", "is wrong"), [line], style).split("\n")
    assert head == f"a.yaml:1:{column}: bad-value is wrong"
    first, second = rest
    return first, second


@pytest.mark.parametrize(
    ("line", "column", "text", "caret"),
    [
        ("    mode: arm", 11, "      mode: arm", "            ^"),
        ("\tmode: arm", 8, "      mode: arm", "            ^"),
        ("名前: 失败 x", 5, "  名前: 失败 x", "        ^"),
        ("    mode: arm", 1, "      mode: arm", "      ^"),
        ("mode: arm  ", 10, "  mode: arm", "           ^"),
        ("mode:", 99, "  mode:", "       ^"),
        ("a\x1b[31mb", 2, "  a\N{REPLACEMENT CHARACTER}[31mb", "   ^"),
        ("a\u3000b", 3, "  a\u3000b", "     ^"),
        ("e\u0301: x", 5, "  e\u0301: x", "     ^"),
    ],
)
def test_the_caret_stands_under_the_column(line: str, column: int, text: str, caret: str) -> None:
    assert below(line, column) == (text, caret)


@pytest.mark.parametrize("wide", ["x", "宽"])
@pytest.mark.parametrize("column", [1, 20, 60, 120, 150])
def test_of_a_long_line_the_part_around_the_caret_is_shown(wide: str, column: int) -> None:
    line = "".join("!" if index == column - 1 else wide for index in range(150))
    text, caret = below(line, column)
    cells = sum(2 if char == "宽" else 1 for char in text)
    assert cells <= 40
    before = text[: text.index("!")]
    assert sum(2 if char == "宽" else 1 for char in before) == caret.index("^")
    assert ("…" in text[:3]) is (column > 13)
    assert text.endswith("…") is (column < 140)


def test_a_terminal_of_no_width_is_given_the_whole_line() -> None:
    assert below("x" * 100, 50, Style(5, colours=False))[0] == "  " + "x" * 100


def test_without_a_line_the_finding_stands_alone() -> None:
    problem = Problem("a.yaml", 2, 1, "bad-value", "is wrong", "warning")
    for lines in ([], ["one"], ["one", "   "]):
        assert shown(problem, lines, PLAIN) == "a.yaml:2:1: bad-value is wrong (warning)"


def test_colours_tell_errors_from_warnings() -> None:
    style = Style(80, colours=True)
    error = shown(Problem("a", 1, 1, "c", "m"), ["x"], style)
    assert "\x1b[31m" in error
    assert error.endswith("\x1b[31m\x1b[1m^\x1b[0m")
    assert "\x1b[33m" in shown(Problem("a", 1, 1, "c", "m", "warning"), ["x"], style)


@pytest.mark.parametrize(
    ("variables", "colours"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_no_color_is_respected(variables: dict[str, str], colours: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert style_of(80) == Style(80, colours=colours)


def test_lines_are_counted_as_places_are(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree\n\xff")
    assert lines_of(str(file)) == ["one", "two", "three", "\N{REPLACEMENT CHARACTER}"]
    assert lines_of(str(tmp_path / "none")) == ()
    assert lines_of("a\0b") == ()
