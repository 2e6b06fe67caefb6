"""Keeps the plan by which an account's polls share what is left of its day, and tells each when it is due."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo

from phinops.arrive.arrival import Part
from phinops.arrive.plan import Demand, Plan, Stretch, plan
from phinops.arrive.rates import HOURS, UNKNOWN
from phinops.clock import Clock

SHORTEST = 10.0
LONGEST = 7200.0
"""Seconds between two polls of one thing when the budget decides."""

FEW = 3.0
"""How many times as long as equal intervals the longest may be, where the calls do not allow them to be shorter."""

WITHIN = timedelta(minutes=15)
"""How soon a rule that says nothing of it wants to hear of a change: what `within` is measured against."""

PLAN_EVERY = 60.0
"""Seconds after which the plan is made anew: calls were used, time has passed."""

JITTER = 0.1
"""The part by which an interval is made longer or shorter, so that polls do not march in step."""

AFTERSHOCKS = 0.1
CALM_AFTER = 1200.0
"""How many more changes one change lets expect in the same place, within about so many seconds."""

FOLLOW_UP, FOLLOW_UPS = 4.0, 3.0
"""Calls that are taken to be made because of one change, as sure as after so many changes, while little is known."""

LEFT_TO_POLLS = 0.25
"""The part of the calls that polls are planned with however much others are expected to use."""

_COST_WEIGHT = 0.3
"""How much the last poll counts in what a poll is expected to cost."""


@dataclass(frozen=True, slots=True)
class Left:
    """What polls may still use: `calls` by pool until the quota day ends, in `seconds`.

    A pool's name joins its levels by "+"; one that is not named is not limited. `used` are the calls of the day so far,
    whoever made them. `endless` are pools whose `calls` are a measure and no limit.
    """

    calls: Mapping[str, float]
    seconds: float
    used: Mapping[str, int] = field(default_factory=dict)
    endless: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Care:
    """That rules listen to a source; `within` is how soon the most eager of them wants to hear, where one says so.

    `eased`: its changes are pushed, so that polls only make sure of them; they come at intervals so many times longer.
    """

    within: timedelta | None = None
    eased: float = 1.0


@dataclass(slots=True, eq=False)
class Unit:
    """One part of a source while it is polled, and how near its next poll is.

    `progress` counts from 0 at a poll to `goal` at the next, by 1 an interval; it was so at the monotonic time `at`.
    """

    part: Part
    levels: tuple[int, ...]
    every: float | None = None
    care: Care = Care()
    rates: Sequence[float] = (UNKNOWN / HOURS,) * HOURS
    cost: float = 1.0
    interval: float = SHORTEST
    progress: float = 0.0
    goal: float = 0.0
    at: float = 0.0
    excess: float = 0.0
    excess_at: float = 0.0

    def due_in(self, now: float) -> float:
        """Seconds from the monotonic time `now` until the next poll; less than zero when it is late."""
        return (self.goal - self.progress) * self.interval - (now - self.at)

    def pace(self, interval: float, now: float) -> None:
        """Go on at another interval; the way that was come counts."""
        self.progress += (now - self.at) / self.interval
        self.at, self.interval = now, interval

    def polled(self, began: float, calls: int, chance: random.Random) -> None:
        """A good poll began at the monotonic time `began` and took so many calls."""
        self.cost = max(1.0, self.cost + _COST_WEIGHT * (calls - self.cost))
        self.progress, self.at = 0.0, began
        self.goal = 1.0 if self.every else chance.uniform(1 - JITTER, 1 + JITTER)

    def shaken(self, changes: int, now: float) -> None:
        """So many changes were found: more may follow."""
        self.excess = self.excess_now(now) + AFTERSHOCKS * changes * 3600 / CALM_AFTER
        self.excess_at = now

    def excess_now(self, now: float) -> float:
        """Changes an hour that are expected beyond the usual, because of what was found lately."""
        return self.excess * math.exp((self.excess_at - now) / CALM_AFTER) if self.excess else 0.0

    @property
    def weight(self) -> float:
        """How much a change is worth beside one of which no rule says how soon it wants to hear."""
        within, eased = self.care.within, self.care.eased
        # Intervals go with the root of the weight.
        return (1.0 if within is None else min(20.0, max(0.25, WITHIN / within))) / eased**2

    def costs(self, pools: Iterable[str]) -> Mapping[str, float]:
        """The calls that a poll is expected to take of those of the pools that it draws on."""
        return {pool: self.cost for pool in pools if any(str(level) in pool for level in self.levels)}

    def demand(self, pools: Iterable[str], longest: float = LONGEST) -> Demand:
        """What the plan needs to know; `pools` are those that are limited."""
        weight, within = self.weight, self.care.within
        if within is not None:
            longest = max(SHORTEST, min(longest, within.total_seconds() * self.care.eased))
        return Demand(
            costs=self.costs(pools),
            wants=tuple(weight * rate for rate in self.rates),
            shortest=SHORTEST,
            longest=longest,
            fixed=self.every,
        )


@dataclass(slots=True)
class Others:
    """What is called for beside polls: reading, writing and verifying because of what polls have found.

    It comes out of the same calls. Without a thought of it the polls of the night would use what the actions of the
    night cost the polls of the day.
    """

    calls: Counter[str] = field(default_factory=Counter)
    found: int = 0
    _polled: int = 0
    _used: Mapping[str, int] = field(default_factory=dict)

    def polled(self, calls: int, found: int) -> None:
        """A poll took so many calls and found so many changes."""
        self._polled += calls
        self.found += found

    def look(self, used: Mapping[str, int]) -> None:
        """These are the calls of the day so far; what polls did not make of them since the last look, others did."""
        for pool, count in used.items():
            self.calls[pool] += max(0, count - self._used.get(pool, count) - self._polled)
        self._used, self._polled = used, 0

    def expected(self, pool: str, changes: float) -> float:
        """The calls that others will make of the pool because of so many changes."""
        return changes * (self.calls[pool] + FOLLOW_UP * FOLLOW_UPS) / (self.found + FOLLOW_UPS)


@dataclass(slots=True, eq=False)
class Planner:
    """Plans for one account: all sources of all its tenants divide its day.

    `left` tells what polls may still use; `zone` is that of the quota day.
    """

    left: Callable[[], Left]
    clock: Clock
    zone: tzinfo
    units: dict[Unit, None] = field(default_factory=dict)
    others: Others = field(default_factory=Others)
    _left: Left = Left({}, 0.0)
    _hour: int = -1
    _again_at: float = 0.0

    def enter(self, unit: Unit) -> None:
        """The unit is to be polled from now on."""
        if unit not in self.units:
            unit.at = self.clock.monotonic()
            self.units[unit] = None
            self.changed()

    def leave(self, unit: Unit) -> None:
        """The unit is not polled any more."""
        if unit in self.units:
            del self.units[unit]
            self.changed()

    def changed(self) -> None:
        """Something differs from what the plan was made for."""
        self._again_at = 0.0

    def look(self) -> None:
        """Make the plan anew when it is time, and pace every unit by it."""
        now = self.clock.monotonic()
        here = self.clock.now().astimezone(self.zone)
        if now < self._again_at and here.hour == self._hour:
            return
        self._again_at, self._hour = now + PLAN_EVERY, here.hour
        self._left = self.left()
        self.others.look(self._left.used)
        rest = stretches(here, self._left.seconds)
        calls = self._for_polls(rest)
        longest = max(LONGEST, FEW * self._equal(calls))
        demands = {unit: unit.demand(calls, longest) for unit in self.units}
        made = plan(list(demands.values()), calls, rest)
        for unit, demand in demands.items():
            unit.pace(self._interval(made, unit, demand, here.hour, now), now)

    def is_spent(self, unit: Unit) -> bool:
        """Whether polls have fewer calls left than one poll of the unit is expected to take."""
        if unit.every is not None:
            return False  # kept to until the limiter says no
        calls = self._left.calls
        return any(calls[pool] < cost for pool, cost in unit.costs(calls.keys() - self._left.endless).items())

    def until_reset(self) -> float:
        """Seconds until the quota day ends."""
        return self.left().seconds

    def _for_polls(self, rest: Sequence[Stretch]) -> Mapping[str, float]:
        """The calls of each pool that are left, less those that others are expected to make."""
        changes = sum(unit.rates[each.hour] * each.seconds / 3600 for unit in self.units for each in rest)
        return {
            pool: max(LEFT_TO_POLLS * calls, calls - self.others.expected(pool, changes))
            for pool, calls in self._left.calls.items()
        }

    def _equal(self, calls: Mapping[str, float]) -> float:
        """The interval that all would have if it were one for all."""
        costs = [unit.costs(calls) for unit in self.units]
        rounds = {pool: sum(each.get(pool, 0.0) for each in costs) for pool in calls}
        return max((self._left.seconds * rounds[pool] / max(1.0, calls[pool]) for pool in calls), default=0.0)

    def _interval(self, made: Plan, unit: Unit, demand: Demand, hour: int, now: float) -> float:
        return max(0.001, made.interval(demand, hour, unit.weight * unit.excess_now(now)))


def stretches(here: datetime, seconds: float) -> Sequence[Stretch]:
    """What is left of a day, `seconds` from `here` on, by hours of the day."""
    found = []
    hour, upto = here.hour, 3600.0 - (here.minute * 60 + here.second + here.microsecond / 1e6)
    while seconds > 0:
        found.append(Stretch(hour, min(upto, seconds)))
        seconds -= upto
        hour, upto = (hour + 1) % HOURS, 3600.0
    return found
