"""A corpus of mistakes: each file ends with the places and codes of the errors that it must give, and no others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from phinops.decide.load import load_rules
from settings import SETTING

CORPUS = sorted(Path(__file__).with_name("faulty").glob("*.rules.yaml"))
EXPECTED = re.compile(r"^# expect: (\d+):(\d+) ([a-z-]+)$", re.MULTILINE)


@pytest.mark.parametrize("file", CORPUS, ids=lambda file: file.name.removesuffix(".rules.yaml"))
def test_a_mistake_is_told_with_its_place_and_code(file: Path) -> None:
    expected = [(int(line), int(column), code) for line, column, code in EXPECTED.findall(file.read_text("utf-8"))]
    loaded = load_rules([file], SETTING)
    found = [(problem.line, problem.column, problem.code) for problem in loaded.errors]
    assert expected
    assert found == expected, "\n".join(map(str, loaded.problems))


def test_the_corpus_is_large_and_each_of_its_files_is_broken_alone() -> None:
    assert len(CORPUS) >= 60
    loaded = load_rules([CORPUS[0].parent], SETTING)
    files = {problem.file for problem in loaded.errors}
    assert {str(file) for file in CORPUS} == files


@pytest.mark.parametrize("quotes", sorted(path.name for path in CORPUS if "yaml-quotes" in path.read_text("utf-8")))
def test_what_lacks_quotes_is_told_so(quotes: str) -> None:
    loaded = load_rules([CORPUS[0].with_name(quotes)], SETTING)
    assert all("in quotes" in problem.message for problem in loaded.errors if problem.code == "yaml-quotes")
