"""How often things change, learned from what polls found before.

Counts are few and unevenly spread: most projects fail now and then, a few every night. So a project's rate is drawn
towards what all have on average, its day towards the day of all, each the more the less is known of it. Whether
projects have days of their own at all is learned as well: the day of all counts for as many days as make what was
found most likely.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, tzinfo

HOURS = 24

UNKNOWN = 1.0
"""Changes a day that something is taken to have of which nothing is known."""

HALF_LIFE = 14.0
"""Days after which what was found counts half."""

_OF_ONE = 1.0
"""Days of the average that each part's own days are mixed with."""

_OF_AN_HOUR = (10.0, 30.0, 100.0, 300.0)
"""Days of the day of all that the hours of each part may be mixed with: few where each part has its own hours, many
where all have the same."""

_FLAT = 12.0
"""Changes, evenly over the day, that the day of all is mixed with."""

_NEIGHBOUR = 0.1
"""The part of an hour's changes that count for the hour before, and as much for the one after."""

Rates = Mapping[str, Sequence[float]]
"""Changes an hour by part, for each of the 24 hours of the day."""


def rates(found: Mapping[tuple[str, datetime], int], parts: Collection[str], now: datetime, zone: tzinfo) -> Rates:
    """The rates of `parts`, from what was found by part and hour; hours of the day are those of `zone`."""
    hours = {part: [0.0] * HOURS for part in parts}
    oldest = 0.0
    for (part, moment), count in found.items():
        age = max(0.0, (now - moment).total_seconds() / 86_400)
        oldest = max(oldest, age)
        if part in hours:
            hours[part][moment.astimezone(zone).hour] += count * math.exp2(-age / HALF_LIFE)
    days = _weight_of(max(oldest, 1.0)) if found else 0.0
    totals = {part: sum(counts) for part, counts in hours.items()}
    mean = (sum(totals.values()) / max(1, len(parts)) + _OF_ONE * UNKNOWN) / (days + _OF_ONE)
    shape = _shape(hours.values())
    usual = {
        part: [(total + _OF_ONE * mean) / (days + _OF_ONE) * share for share in shape] for part, total in totals.items()
    }
    cells = [cell for part in parts for cell in zip(hours[part], usual[part], strict=True)]
    mixed_with = max(_OF_AN_HOUR, key=lambda more: _likelihood(cells, days, more))
    return {part: _mixed(counts, usual[part], days, mixed_with) for part, counts in hours.items()}


def _weight_of(days: float) -> float:
    """What so many days count for together, when each counts the less the older it is."""
    return HALF_LIFE / math.log(2) * (1 - math.exp2(-days / HALF_LIFE))


def _shape(counts: Collection[Sequence[float]]) -> Sequence[float]:
    """The part of a day's changes that falls into each hour, for all together."""
    sums = [sum(each[hour] for each in counts) for hour in range(HOURS)]
    smooth = [
        (1 - 2 * _NEIGHBOUR) * sums[hour] + _NEIGHBOUR * (sums[hour - 1] + sums[(hour + 1) % HOURS])
        for hour in range(HOURS)
    ]
    return [(each + _FLAT / HOURS) / (sum(sums) + _FLAT) for each in smooth]


def _likelihood(cells: Collection[tuple[float, float]], days: float, more: float) -> float:
    """How likely what was found is, up to a constant of its own, if the usual was known from so many days `more`.

    `cells` are what was found in an hour of a part, and what is usual there: a count of Poisson whose rate is itself
    spread around the usual by a gamma distribution, which makes it a negative binomial one.
    """
    found = 0.0
    for count, usual in cells:
        spread = more * usual
        found -= spread * math.log1p(days / more)
        if count > 0:
            found += math.lgamma(spread + count) - math.lgamma(spread) - count * math.log(days + more)
    return found


def _mixed(counts: Sequence[float], usual: Sequence[float], days: float, more: float) -> Sequence[float]:
    return tuple((count + more * each) / (days + more) for count, each in zip(counts, usual, strict=True))
