"""Asking until an answer comes."""

from __future__ import annotations

import pytest

from phinops.clock import LoopClock
from phinops.errors import Forbidden, QuotaSpent, StoreError, Throttled, Transient
from phinops.execute.patience import PATIENCE, patiently
from phinops.execute.steps.kind import BadStep
from phinops.virtual import run
from worlds import START


async def _nobody(reason: str) -> None:
    """Whoever is told why it waits."""


class Answers:
    """Fails with each of `errors`, the last one for ever, when it is `endless`."""

    def __init__(self, *errors: Exception, endless: bool = False) -> None:
        self._errors = list(errors)
        self._endless = endless
        self.asked = 0

    async def __call__(self) -> str:
        self.asked += 1
        if self._errors:
            raise self._errors[0] if self._endless else self._errors.pop(0)
        return "yes"


def test_what_may_yet_be_answered_is_asked_again() -> None:
    answers = Answers(Transient("A", "x", "y"), Throttled("A", "x", "y"), QuotaSpent("spent"))

    async def main() -> float:
        clock = LoopClock(START)
        began = clock.monotonic()
        assert await patiently(clock, answers, "it", _nobody) == "yes"
        return clock.monotonic() - began

    assert run(main()) == pytest.approx(5 + 10 + 20, abs=0.1)


def test_a_no_is_final_and_what_is_not_dataphins_passes_through() -> None:
    async def main() -> None:
        clock = LoopClock(START)
        with pytest.raises(BadStep, match=r"it could not be read: A: Forbidden: no"):
            await patiently(clock, Answers(Forbidden("A", "Forbidden", "no")), "it", _nobody)
        with pytest.raises(StoreError):
            await patiently(clock, Answers(StoreError("full")), "it", _nobody)

    run(main())


def test_after_a_day_nobody_asks_any_more() -> None:
    async def main() -> None:
        clock = LoopClock(START)
        began = clock.monotonic()
        with pytest.raises(BadStep, match="could not be read for 1d: spent"):
            await patiently(clock, Answers(QuotaSpent("spent"), endless=True), "it", _nobody)
        assert PATIENCE.total_seconds() - 301 < clock.monotonic() - began <= PATIENCE.total_seconds()

    run(main())
