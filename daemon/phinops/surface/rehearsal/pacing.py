"""What intervals could have done with the same calls: all the same, the best in theory, the best with hindsight.

A poll costs one call of one project. What fails at random is seen half an interval late on average, so every mean here
is a sum of halves. The best intervals are those of the daemon's own plan for who knows the rates, within the same
bounds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias

from phinops.arrive.plan import Demand, Stretch, plan
from phinops.arrive.planner import FEW, LONGEST, SHORTEST
from phinops.arrive.rates import HOURS

HOUR, DAY = 3600.0, 86_400.0

_POOL = "all"

Cell: TypeAlias = tuple[int, int]
"""A project, by its id, at an hour of the day."""

Failure: TypeAlias = tuple[int, float]
"""Its project and its seconds after midnight."""


def equal_delay(projects: int, calls: float) -> float:
    """The mean delay in seconds when all projects are polled at one interval that uses `calls` a day."""
    return DAY * projects / calls / 2


def optimum_delay(rates: Mapping[int, Sequence[float]], calls: float) -> float:
    """The least mean delay to be expected by who knows the true rates (failures an hour by project, for each hour)."""
    weights = {(project, hour): rate for project, hours in rates.items() for hour, rate in enumerate(hours)}
    return _mean_delay(weights, _intervals(weights, calls, len(rates)))


def hindsight_delay(
    failures: Collection[Failure], known: Collection[Failure], projects: Collection[int], calls: float
) -> float:
    """The mean delay of `failures` with fixed intervals that were chosen knowing all of `known`, them among those.

    An interval is one of the project's own times a factor of the hour's own: what is wanted of it goes with the
    failures of the project times those of the hour.
    """
    by_project = Counter(project for project, _ in known)
    by_hour = Counter(_hour(at) for _, at in known)
    wants = {(project, hour): float(by_project[project] * by_hour[hour]) for project in projects for hour in range(24)}
    met = Counter((project, _hour(at)) for project, at in failures)
    return _mean_delay(met, _intervals(wants, calls, len(projects)))


def _hour(at: float) -> int:
    return min(23, int(at // HOUR))


def _mean_delay(weights: Mapping[Cell, float], intervals: Mapping[Cell, float]) -> float:
    return sum(weight * intervals[cell] / 2 for cell, weight in weights.items()) / sum(weights.values())


def _intervals(wants: Mapping[Cell, float], calls: float, projects: int) -> dict[Cell, float]:
    """Intervals by `wants` that use so many calls a day, or as many as the bounds allow."""
    longest = max(LONGEST, FEW * 2 * equal_delay(projects, calls))
    hours = range(HOURS)
    demands = {
        project: Demand({_POOL: 1.0}, [wants[project, hour] for hour in hours], SHORTEST, longest)
        for project in dict.fromkeys(project for project, _ in wants)
    }
    made = plan(list(demands.values()), {_POOL: calls}, [Stretch(hour, HOUR) for hour in hours])
    return {(project, hour): made.interval(demand, hour) for project, demand in demands.items() for hour in hours}
