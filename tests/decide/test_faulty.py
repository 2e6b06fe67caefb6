"""A corpus of mistakes: each file ends with the findings that it must give, and gives no others.

A line `# expect: LINE:COLUMN CODE TEXT` is one finding; TEXT, which may be left out, is part of its message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from phinops.decide.findings import CODES
from phinops.decide.load import load_rules
from settings import SETTING

CORPUS = sorted(
    file for file in Path(__file__).with_name("faulty").iterdir() if file.name.endswith((".rules.yaml", ".test.yaml"))
)
EXPECTED = re.compile(r"^# expect: (\d+):(\d+) ([a-z-]+)(?: (.+))?$", re.MULTILINE)

ELSEWHERE: Mapping[str, str] = {
    "not-yet": "needs a config: tests/test_config.py",
    "none-found": "a path that does not exist: test_load.py",
    "days-unknown": "a matter of the date: test_calendarfile.py",
    "protected-target": "needs a config: tests/surface/test_protecting.py",
    "unused-notifier": "needs a config: tests/surface/test_unused.py",
    "quota-polls": "needs a config: tests/demand",
    "quota-schedule": "needs a config: tests/demand",
    "quota-together": "needs a config: tests/demand",
    "within-unmet": "needs a config: tests/demand",
}
"""Codes that no rule or test file gives by itself."""


def expected(file: Path) -> list[tuple[tuple[int, int, str], str]]:
    """Place and code of each finding, and part of its message."""
    text = file.read_bytes().decode(errors="replace")
    return [((int(line), int(column), code), part) for line, column, code, part in EXPECTED.findall(text)]


@pytest.mark.parametrize("file", CORPUS, ids=lambda file: file.name.removesuffix(".yaml"))
def test_a_mistake_is_told_with_its_place_its_code_and_its_cure(file: Path) -> None:
    wanted = expected(file)
    problems = load_rules([file], SETTING).problems
    assert wanted
    assert [(each.line, each.column, each.code) for each in problems] == [place for place, _ in wanted], "\n".join(
        map(str, problems)
    )
    for problem, (_, part) in zip(problems, wanted, strict=True):
        assert part in problem.message


def test_the_corpus_is_large_and_each_of_its_files_is_broken_alone() -> None:
    assert len(CORPUS) >= 60
    loaded = load_rules([CORPUS[0].parent], SETTING)
    assert {str(file) for file in CORPUS} == {problem.file for problem in loaded.problems}


def test_every_code_is_in_the_corpus_or_needs_more_than_a_file() -> None:
    found = {code for file in CORPUS for (_, _, code), _ in expected(file)}
    assert found == CODES.keys() - ELSEWHERE.keys()


@pytest.mark.parametrize("quotes", sorted(path.name for path in CORPUS if b"yaml-quotes" in path.read_bytes()))
def test_what_lacks_quotes_is_told_so(quotes: str) -> None:
    loaded = load_rules([CORPUS[0].with_name(quotes)], SETTING)
    assert all("in quotes" in problem.message for problem in loaded.errors if problem.code == "yaml-quotes")
