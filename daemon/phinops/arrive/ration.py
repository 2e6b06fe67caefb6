"""A part of the day's calls, spread over the day, for reading what could be read for ever."""

from __future__ import annotations

from phinops.catalog.catalog import load_catalog
from phinops.catalog.quotas import level_of, part_of_day, plan_for
from phinops.clock import Clock
from phinops.config import Tenant

DAY = 86_400.0

LISTS = 0.2
"""The part of the day's polls that lists of all that waits may take: they find what will be overdue."""

CHECKS = 0.1
"""And what looking once more at those that wait may cost, where no poll has told that they have started."""

POLITE = 0.02
"""Where the day has no limit: this part of what the rate would give in a day counts as its polls."""

SAVED = 3600.0
"""Seconds whose calls may be saved up; what was overdrawn is waited for."""

FEWEST = 3.0
"""So many calls may be saved up however few a day has."""


class Ration:
    """So many calls a day (None: as many as one likes). Calls are spent when it is known how many they were.

    Whoever finds something saved may go on, also where it turns out to cost more: the next one waits for that.
    """

    def __init__(self, calls: float | None, clock: Clock) -> None:
        self._clock = clock
        self._rate = None if calls is None else calls / DAY
        self._most = 0.0 if self._rate is None else max(FEWEST, self._rate * SAVED)
        self._saved, self._at = self._most, clock.monotonic()

    def wait(self) -> float:
        """Seconds until the next may go on; 0 is now."""
        if self._rate is None:
            return 0.0
        self._look()
        return max(0.0, (1.0 - self._saved) / self._rate) if self._rate else DAY

    def part(self, count: int, most: float) -> int:
        """How many of `count` things may be read now, if reading all takes `most` calls at most.

        All, where that is overdrawn by no more than can be saved up; else those that what is saved is enough for.
        """
        if self._rate is None:
            return count
        self._look()
        return count if min(count, most) <= self._saved + self._most else min(count, max(1, int(self._saved)))

    def spend(self, calls: int) -> None:
        """So many calls were made."""
        if self._rate is not None:
            self._look()
            self._saved -= calls

    def _look(self) -> None:
        now = self._clock.monotonic()
        self._saved = min(self._most, self._saved + (now - self._at) * (self._rate or 0.0))
        self._at = now


def polls_of_day(tenant: Tenant) -> float | None:
    """How many lists of instances a day may have for polls; None: as many as one likes."""
    quota = tenant.quota
    plan = plan_for(tenant.edition, quota.qps, quota.daily)
    level = level_of(load_catalog().require("ListInstances"), quota.levels)
    if pool := plan.day_pool(level):
        limit, reserve = part_of_day(plan.days[pool], quota.share, quota.action_reserve)
        return float(limit - reserve)
    if rate := plan.rate_pool(level):
        return POLITE * plan.rates[rate] * quota.share * DAY
    return None


def rationed(tenant: Tenant, part: float, clock: Clock) -> Ration:
    """The ration of a tenant that is `part` of its polls."""
    polls = polls_of_day(tenant)
    return Ration(None if polls is None else part * polls, clock)
