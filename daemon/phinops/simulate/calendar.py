"""Days, business dates and moments in the tenant's zone."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

DAY = 86_400.0

RUNS_A_DAY = {"HOURLY": 3600.0, "MINUTELY": 300.0}


class Calendar:
    """The tenant's zone; every answer is in seconds since the epoch or a date there."""

    def __init__(self, zone: ZoneInfo) -> None:
        self.zone = zone
        # Every row that is shown asks for the same few.
        self.midnight = lru_cache(maxsize=512)(self._midnight)
        self.text = lru_cache(maxsize=8192)(self._text)

    def date_of(self, at: float) -> date:
        """The date at that moment."""
        return datetime.fromtimestamp(at, self.zone).date()

    def biz_date(self, at: float) -> date:
        """The business date of what runs at that moment: the day before."""
        return self.date_of(at) - timedelta(days=1)

    def _text(self, at: float) -> str:
        """`yyyy-MM-dd HH:mm:ss`."""
        return datetime.fromtimestamp(at, self.zone).strftime("%Y-%m-%d %H:%M:%S")

    def _midnight(self, day: date) -> float:
        return datetime(day.year, day.month, day.day, tzinfo=self.zone).timestamp()


def runs_on(period: str, day: date) -> bool:
    """Whether a node of that period has instances on that day: weekly on Mondays, monthly on the first."""
    if period == "WEEKLY":
        return day.weekday() == 0
    if period == "MONTHLY":
        return day.day == 1
    return (day.month, day.day) == (1, 1) if period == "YEARLY" else True
