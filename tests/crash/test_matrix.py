"""kill -9 at every step of the journal, under a Dataphin that applies, dawdles, falls silent, loses or refuses.

What must hold: each meant action is done once or known not to be, and nothing is left open. `cases` says what is done
and how Dataphin behaves, `mortal` and `line` where a process dies, `verdict` what is held against what.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from crash.cases import Run
from crash.matrix import figures, matrix, play, undisturbed
from records import LONG

RUNS = 1200 if LONG else 100
SEED = 5


@pytest.mark.long
@pytest.mark.serial
def test_whoever_dies_wherever_each_action_is_done_once_or_known_not_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = play(undisturbed(3 if LONG else 1), tmp_path)
    found = play(matrix(shown, RUNS, SEED), tmp_path)
    with capsys.disabled():
        print(f"\n{figures(found)}")
    wrong = [(json.dumps(asdict(each.run)), each.deaths, each.trouble) for each in (*shown, *found) if each.trouble]
    assert wrong == []
    assert all(each.deaths for each in found), "somebody was to be killed, and was not"
    if LONG:
        killed = {(each.run.behaviour, each.deaths[0]) for each in found}
        assert killed == {(each.run.behaviour, point) for each in shown for point in each.passed}


def test_a_write_that_comes_later_than_anybody_promised_is_done_twice_and_daemon_and_matrix_say_so(
    tmp_path: Path,
) -> None:
    (found,) = play([Run("rerun", "applies late", seed=1, deaths=(("write: arrived", 1),), late=100.0)], tmp_path)
    assert found.deaths == ["write: arrived"]
    assert found.duplicates > 0
    assert found.noticed == 1
    assert found.trouble
