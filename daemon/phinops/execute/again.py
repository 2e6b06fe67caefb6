"""When a step that came to no good is done once more."""

from __future__ import annotations

from datetime import timedelta

from phinops.execute.steps.kind import Step
from phinops.firing import StepResult

FIRST, LONGEST = timedelta(seconds=10), timedelta(minutes=15)
"""The pause before the first repetition; each is twice as long as the one before, up to the longest."""


def may_be_repeated(step: Step, result: StepResult) -> bool:
    """Whether doing it again may help, and can do no harm: never where it is not known what was done.

    Only of a write that was followed are `failed` and `timed_out` ends; of a wait they are its answer. What may still
    be under way is not begun a second time beside it. Each kind of step says which outcomes these are.
    """
    return result.outcome in step.repeatable


def pause(tries: int) -> timedelta:
    """How long after the end of so many tries the next one begins."""
    return min(FIRST * (1 << min(tries - 1, 20)), LONGEST)
