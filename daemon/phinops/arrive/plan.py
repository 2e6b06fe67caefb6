"""How a day's calls are spread over what there is to poll.

Changes are taken to come at random. Something that changes `rate` times an hour and is polled every `T` seconds is
seen `T / 2` late on average, so of `n` things the sum of `weight x rate x T / 2` is to be small while the sum of
`cost / T` stays within the calls that are left. That is so when every `T` is `sqrt(price x cost / (weight x rate))`
with one price for all: what a call is worth. Here that price is found, under bounds, over the hours that are left of
the quota day.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_EXACT = 1e-6
"""The price is found to this part; intervals go with its root."""

_ROUNDS = 4
"""How often the prices of several pools are worked out in turn: what draws on two of them couples them."""

AUTO_PART = 0.05
"""The part of the calls that fixed intervals leave to the others in any case."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What it means to poll one thing.

    `costs` are the calls of one poll by pool, of pools that are limited. `wants` is weight x changes an hour for each
    of the 24 hours of a day. The interval is kept within `shortest` and `longest` seconds where the calls allow it;
    `fixed` is one that somebody asked for.
    """

    costs: Mapping[str, float]
    wants: Sequence[float]
    shortest: float
    longest: float
    fixed: float | None = None


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the day that is left: `seconds` within the hour of day `hour`."""

    hour: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What a call of each pool is worth, and by how much intervals must be longer than their bound says.

    A pool that is not named is not limited.
    """

    prices: Mapping[str, float] = field(default_factory=dict)
    strains: Mapping[str, float] = field(default_factory=dict)

    def interval(self, demand: Demand, hour: int, extra: float = 0.0) -> float:
        """Seconds between two polls in that hour of the day; `extra` is added to what it wants."""
        if demand.fixed is not None:
            return demand.fixed
        price = sum(self.prices.get(pool, 0.0) * cost for pool, cost in demand.costs.items())
        strain = max((self.strains.get(pool, 1.0) for pool in demand.costs), default=1.0)
        return _interval(price, demand.wants[hour] + extra, demand) * strain


def plan(demands: Sequence[Demand], calls: Mapping[str, float], stretches: Sequence[Stretch]) -> Plan:
    """The plan by which `demands` use `calls` (by pool) over the stretches, and no more.

    Fixed intervals come first. Where even the longest intervals cost more than there is, all become longer in the same
    proportion; where the shortest cost less, calls are left over.
    """
    left = {pool: _left_by_fixed(demands, pool, count, stretches) for pool, count in calls.items()}
    free = [_Wish(demand, stretches) for demand in demands if demand.fixed is None and demand.costs]
    prices = dict.fromkeys(left, 0.0)
    pools = [pool for pool in left if any(pool in wish.demand.costs for wish in free)]
    for _ in range(_ROUNDS if len(pools) > 1 else 1):
        for pool in pools:
            prices[pool] = _price(free, pool, left[pool], prices)
    strains = {pool: _spent(free, pool, prices) / max(left[pool], 1e-9) for pool in pools}
    return Plan(prices, {pool: strain for pool, strain in strains.items() if strain > 1 + 10 * _EXACT})


class _Wish:
    """A demand, with what its price is measured against in each stretch."""

    __slots__ = ("demand", "terms")

    def __init__(self, demand: Demand, stretches: Sequence[Stretch]) -> None:
        self.demand = demand
        self.terms = [
            (each.seconds, math.sqrt(wants) if (wants := demand.wants[each.hour]) > 0 else 0.0) for each in stretches
        ]

    def polls(self, price: float) -> float:
        """How many polls are made in all stretches at that price of one poll."""
        root, shortest, longest = math.sqrt(price), self.demand.shortest, self.demand.longest
        total = 0.0
        for seconds, wanted in self.terms:
            if root <= shortest * wanted:
                total += seconds / shortest
            elif root >= longest * wanted:
                total += seconds / longest
            else:
                total += seconds * wanted / root
        return total


def _left_by_fixed(demands: Sequence[Demand], pool: str, count: float, stretches: Sequence[Stretch]) -> float:
    seconds = sum(each.seconds for each in stretches)
    fixed = sum(demand.costs.get(pool, 0.0) * seconds / demand.fixed for demand in demands if demand.fixed)
    return max(count - fixed, AUTO_PART * count)


def _price(wishes: Sequence[_Wish], pool: str, calls: float, prices: Mapping[str, float]) -> float:
    """The price of a call of `pool` at which it is just used up: 0 where it cannot be, however often is polled."""

    def spent(price: float) -> float:
        return _spent(wishes, pool, {**prices, pool: price})

    if spent(0.0) <= calls:
        return 0.0
    low, high = 1e-12, _dearest(wishes)
    if spent(high) >= calls:
        return high
    while high > low * (1 + _EXACT):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if spent(middle) > calls else (low, middle)
    return high


def _dearest(wishes: Sequence[_Wish]) -> float:
    """A price at which everything is polled as rarely as its bound allows."""
    return max(
        (wish.demand.longest * wanted) ** 2 / min(wish.demand.costs.values())
        for wish in wishes
        for _, wanted in wish.terms or [(0.0, 0.0)]
    ) + 1e-9  # fmt: skip


def _spent(wishes: Sequence[_Wish], pool: str, prices: Mapping[str, float]) -> float:
    total = 0.0
    for wish in wishes:
        cost = wish.demand.costs.get(pool)
        if cost:
            total += cost * wish.polls(sum(prices.get(name, 0.0) * each for name, each in wish.demand.costs.items()))
    return total


def _interval(price: float, wants: float, demand: Demand) -> float:
    if wants <= 0:
        return demand.longest if price > 0 else demand.shortest
    return min(demand.longest, max(demand.shortest, math.sqrt(price / wants)))
