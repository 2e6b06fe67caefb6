"""What an edition allows: calls a second, calls a day, and which APIs.

The numbers are those of Dataphin's OpenAPI overview page (April 2026). It gives Agile and Intelligent no rate
of their own; the cells of its table are merged, and the reading taken here, Agile as Personal and Intelligent
as Basic, is also the safe one. Of "levels 1 and 2: 50,000 a day" the stricter one is taken: both together.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from phinops.catalog.catalog import ApiSpec, Edition

LEVELS = (1, 2, 3)

# An API without a published level may be of any: the dearest is assumed.
UNPUBLISHED_LEVEL = 3

_POOL = re.compile(r"[123](\+[123]){0,2}")


def _pools(limits: Mapping[str, int], what: str) -> dict[int, str]:
    """Which pool each level is in. Raises ValueError on an impossible key or limit, or a repeated level."""
    pools: dict[int, str] = {}
    for pool, limit in limits.items():
        if not _POOL.fullmatch(pool):
            raise ValueError(f'{what}: {pool!r} does not name levels; write "1", "2", "3" or a sum such as "1+2"')
        if limit < 1:
            raise ValueError(f"{what}: the limit of {pool!r} must be at least 1")
        for level in map(int, pool.split("+")):
            if level in pools:
                raise ValueError(f"{what}: level {level} is in {pools[level]!r} and in {pool!r}")
            pools[level] = pool
    return pools


@dataclass(frozen=True, slots=True)
class QuotaPlan:
    """Limits by pool: `rates` in calls a second, `days` in calls a quota day.

    A pool's key names the levels that share it, joined by "+" ("1", "1+2", "1+2+3"); levels that no
    pool has are unlimited. Raises ValueError when a key is none of these, a level stands in two, or a limit is
    below 1.
    """

    rates: Mapping[str, int]
    days: Mapping[str, int]
    _rate_pools: Mapping[int, str] = field(init=False, repr=False, compare=False)
    _day_pools: Mapping[int, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_rate_pools", _pools(self.rates, "calls a second"))
        object.__setattr__(self, "_day_pools", _pools(self.days, "calls a day"))

    def rate_pool(self, level: int) -> str | None:
        """The pool whose rate limits `level`, or None."""
        return self._rate_pools.get(level)

    def day_pool(self, level: int) -> str | None:
        """The pool whose day limits `level`, or None."""
        return self._day_pools.get(level)


def part_of_day(calls: int, share: float, action_reserve: float) -> tuple[int, int]:
    """Of a pool's calls a day, those that a `share` of the account may use, and those of them kept for actions."""
    limit = max(1, math.floor(calls * share + 1e-9))
    return limit, math.ceil(limit * action_reserve - 1e-9)


_RATE_OF_EACH = {"1": 50, "2": 20, "3": 5}

PLANS: Mapping[Edition, QuotaPlan] = {
    "personal": QuotaPlan({"1+2+3": 5}, {"1+2+3": 100}),
    "agile": QuotaPlan({"1+2+3": 5}, {"1+2+3": 1_000}),
    "basic": QuotaPlan(_RATE_OF_EACH, {"1+2": 50_000, "3": 10_000}),
    "intelligent": QuotaPlan(_RATE_OF_EACH, {"3": 10_000}),
    "private": QuotaPlan({}, {}),
}
"""The published plan of each edition. None is published for private ones: use `plan_for`, which insists."""


def plan_for(
    edition: Edition, qps: Mapping[str, int] | None = None, daily: Mapping[str, int] | None = None
) -> QuotaPlan:
    """The edition's plan, in which a table that is given replaces the edition's.

    Raises ValueError for a private deployment that states no rate, and for impossible tables.
    """
    if edition == "private" and not qps:
        raise ValueError('a private deployment has no published quota: state qps, for instance { "1+2+3" = 5 }')
    published = PLANS[edition]
    return QuotaPlan(published.rates if qps is None else qps, published.days if daily is None else daily)


# Personal is nowhere a minimum edition although it has a quota: it is taken to have what Agile has.
_RANK: Mapping[str, int] = {"personal": 0, "agile": 0, "basic": 1, "intelligent": 2, "private": 2}


def allowed(spec: ApiSpec, edition: Edition) -> bool:
    """Whether `edition` has the API. One without a published minimum edition is allowed everywhere."""
    return spec.edition is None or _RANK[edition] >= _RANK[spec.edition]


def level_of(spec: ApiSpec, overrides: Mapping[str, int] | None = None) -> int:
    """The level, 1 to 3, whose quota a call of the API uses; `overrides` by API name go first."""
    stated = (overrides or {}).get(spec.name, spec.level)
    return UNPUBLISHED_LEVEL if stated is None else stated
