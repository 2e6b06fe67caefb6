from __future__ import annotations

from datetime import timedelta

import pytest

from phinops.execute.steps.kind import BadStep, checked
from phinops.execute.steps.table import STEPS
from phinops.execute.steps.wait import WaitParams
from stillness import Checked

WAIT = STEPS["wait"]


def wait(**given: object) -> WaitParams:
    return WaitParams.model_validate(given)


def test_it_waits_for_so_long_or_for_something() -> None:
    assert wait(duration="1h30m").longest == timedelta(minutes=90)
    assert wait(until=True, timeout="2h").longest == timedelta(hours=2)
    assert wait(until=True, timeout="2h").until == "true"
    assert not WAIT.writes(wait(duration="1h"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "takes a duration such as 10m"),
        ({"timeout": "5m"}, "takes a duration such as 10m"),
        ({"until": "true"}, "«timeout» is missing"),
        ({"duration": "5m", "until": "true", "timeout": "1h"}, "has no place beside a duration"),
    ],
)
def test_what_does_not_go_together_is_told(given: dict[str, object], message: str) -> None:
    assert message in WAIT.problems(wait(**given), Checked())[0][1]


@pytest.mark.parametrize("given", [{"duration": "5m"}, {"until": "now > now", "timeout": "{{ vars.long }}"}])
def test_what_goes_together_is_fine(given: dict[str, object]) -> None:
    assert WAIT.problems(wait(**given), Checked()) == []


@pytest.mark.parametrize("duration", ["5", 5, "0s", "soon", "367d", "9999999999999d", ["5m"]])
def test_a_duration_that_is_none_is_refused(duration: object) -> None:
    with pytest.raises(BadStep, match="must be"):
        checked(WAIT, {"duration": duration})


def test_an_empty_condition_is_refused() -> None:
    with pytest.raises(BadStep, match="is empty"):
        checked(WAIT, {"until": " ", "timeout": "5m"})
