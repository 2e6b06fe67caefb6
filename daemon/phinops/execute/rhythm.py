"""When a verification reads: soon at first and ever more rarely, as often as the day can pay, and with its neighbours.

With calls to spare the pauses double from `FIRST` up to `LONGEST`. Where the day has few calls left, a verification
takes no more than its portion of them, and its pauses grow faster, so that it still reads soon, and still at its end.
One that follows a run does not even read soon then, but when most runs like it are over.
Reads fall on the points of a grid as coarse as the pause before them: verifications that began at about the same time
come to read at the same moment, and share their calls.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

FIRST, LONGEST = 5.0, 60.0
"""Seconds of the first pause, and of the longest as long as calls are plenty."""

_STEPS = (5.0, 10.0, 20.0)  # each goes into the next, and the last into LONGEST

_HUGE = 500.0  # no pause is e to the power of this, and a float still holds it

PORTION = 20
"""One verification takes at most one in so many of the calls that the day has left."""

FEWEST = 3
"""So many reads are made however little is left."""

PLENTY = 500
"""Where a verification may make so many reads, it need not mind when runs are likely to be over."""

MOST = 0.75
"""A run is read when this part of those that it may be like are over."""

AGAIN = 0.25
"""A run that is not over is read again after this part of its age at the soonest, and after half its age where no
run that it may be like took so long."""

STEEPEST = 4.0
"""How many times as long as the one before a pause may be: a first read that comes too soon tells nothing."""


def reads_left(calls: int | None, made: int) -> int | None:
    """How many reads a verification may still make, at least one; None: as many as it likes.

    `calls` is what the day has left (None: no limit), `made` how many reads it has made already.
    """
    if calls is None:
        return None
    return max(1, max(FEWEST, (calls + made) // PORTION) - made)


def are_few(reads: int | None) -> bool:
    """Whether each of so many reads should tell something."""
    return reads is not None and reads < PLENTY


def until_over(age: float, likely: Sequence[float]) -> float:
    """Seconds after which a run that began `age` seconds ago is worth a read; none where nothing is known of it.

    `likely` are the lengths of runs that it may be like, the shortest first.
    """
    longer = [each for each in likely if each > age]
    if not longer:
        return age / 2 if likely else 0.0
    return max(longer[math.ceil(MOST * len(longer)) - 1] - age, AGAIN * age)


def pause(before: float | None, left: float, reads: int | None) -> float:
    """Seconds until the next read, of `left` until the last one, which is one of `reads`.

    `before` is the last pause, None at the beginning.
    """
    usual = FIRST if before is None else min(2 * before, LONGEST)
    if reads is None:
        return min(usual, left)
    if reads == 1 or left <= 0:
        return left
    growth = _growth(left, reads, FIRST if before is None else before, began=before is None)
    return min(left, max(usual, left / _sum(growth, reads)))


def _growth(left: float, reads: int, base: float, *, began: bool) -> float:
    """By how much each pause must be longer than the one before, for `reads` of them to last until the end."""
    low, high = 1.0, STEEPEST
    for _ in range(40):
        middle = (low + high) / 2
        if base * _sum(middle, reads) * (1.0 if began else middle) < left:
            low = middle
        else:
            high = middle
    return high


def _sum(growth: float, terms: int) -> float:
    """1 + growth + growth² + ..., of so many terms."""
    if growth < 1 + 1e-9:
        return float(terms)
    if terms * math.log(growth) > _HUGE:
        return math.inf
    return (growth**terms - 1) / (growth - 1)


def grid(span: float) -> float:
    """The step of the grid for pauses of this length: the points of a coarser one are points of all finer ones."""
    if span < LONGEST:
        return max(each for each in _STEPS if each <= max(FIRST, span))
    return LONGEST * 2.0 ** math.floor(math.log2(span / LONGEST))


def aligned(now: float, wait: float, coarsest: float = math.inf) -> float:
    """The wait, made a little shorter or longer so that it ends on a point of its grid; `now` is on the same clock.

    Its grid is no coarser than `coarsest`, a step of one.
    """
    if wait < FIRST:
        return max(0.0, wait)
    step = min(grid(wait), coarsest)
    return math.floor((now + wait) / step + 0.5) * step - now


def cell(moment: float, within: float) -> int:
    """Verifications of the length `within` whose ends fall in the same cell make their last read together.

    A cell is about a sixtieth of `within` wide, from 5 seconds to one minute.
    """
    return math.ceil(moment / grid(min(within, 3600.0) / 60))
