"""What a quota day has, and what of it is asked for in vain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from phinops.catalog.catalog import Edition, load_catalog
from phinops.catalog.quotas import level_of, part_of_day, plan_for
from phinops.config import TenantQuota
from phinops.demand.ask import Ask


@dataclass(frozen=True, slots=True)
class Lack:
    """A pool that is asked for `need` calls and has `room` for them, of the `limit` that phinops may use.

    `polls`: it is polls that ask for too much, and the rest of the limit is kept for actions.
    """

    pool: str
    need: int
    room: int
    limit: int
    polls: bool

    @property
    def told(self) -> str:
        """What there is, for people."""
        if self.polls:
            return f"polls have {self.room:,} of the {self.limit:,} of levels {self.pool}"
        return f"levels {self.pool} have {self.limit:,}"


class Day:
    """The calls of one account's day in an edition. `share` replaces the one of `quota` when given."""

    def __init__(self, quota: TenantQuota, edition: Edition, share: float | None = None) -> None:
        self._plan = plan_for(edition, quota.qps, quota.daily)
        self._levels = quota.levels
        self._share = quota.share if share is None else share
        self._action_reserve = quota.action_reserve

    def lacks(self, asks: Iterable[Ask]) -> list[Lack]:
        """The pools that cannot give what is asked for, the one that lacks most first."""
        wanted: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
        for ask in asks:
            wanted[ask.polls] += self._by_pool(ask.calls)
        found = []
        for pool in self._plan.days:
            limit, room = self.limits(pool)
            polls, total = wanted[True][pool], wanted[True][pool] + wanted[False][pool]
            if polls > room:
                found.append(Lack(pool, polls, room, limit, polls=True))
            elif total > limit:
                found.append(Lack(pool, total, limit, limit, polls=False))
        return sorted(found, key=lambda lack: lack.room - lack.need)

    def limits(self, pool: str) -> tuple[int, int]:
        """What phinops may use of the pool, and what polls may use of that."""
        limit, reserve = part_of_day(self._plan.days[pool], self._share, self._action_reserve)
        return limit, limit - reserve

    def _by_pool(self, calls: Mapping[str, int]) -> Counter[str]:
        found: Counter[str] = Counter()
        for api, number in calls.items():
            pool = self._plan.day_pool(level_of(load_catalog().require(api), self._levels))
            if pool:
                found[pool] += number
        return found
