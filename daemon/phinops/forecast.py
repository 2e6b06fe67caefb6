"""How long the quota of a day will last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is left of a pool and until when. `left` is None without a limit, `pace` in calls an hour.

    `runs_out` is when nothing is left at this pace: now where nothing is left already, None where it lasts.
    """

    used: int
    limit: int | None
    reserve: int
    left: int | None
    pace: float
    runs_out: datetime | None
    resets: datetime


def forecast(
    *, used: int, limit: int | None, reserve: int, this_hour: int, last_hour: int, now: datetime, zone: tzinfo
) -> Forecast:
    """The forecast for a pool at `now`, in `zone`, whose midnight ends the quota day.

    `this_hour` and `last_hour` are the calls of the present hour of the zone's clock and of the one before.
    """
    here = now.astimezone(zone)
    resets = next_midnight(here)
    pace = pace_of(this_hour, last_hour, here)
    left = None if limit is None else max(0, limit - used)
    return Forecast(used, limit, reserve, left, pace, _runs_out(left, pace, here, resets), resets)


def pace_of(this_hour: int, last_hour: int, now: datetime) -> float:
    """Calls within the last sixty minutes, as far as whole hours tell: of the hour before, its share."""
    return this_hour + last_hour * (1 - (now.minute * 60 + now.second) / 3600)


def next_midnight(now: datetime) -> datetime:
    """When the day of `now` ends in its own zone."""
    return (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)


def seconds_left(now: datetime) -> float:
    """How long the day of `now` lasts yet in its own zone, also over a change of daylight saving time."""
    return (next_midnight(now).astimezone(UTC) - now.astimezone(UTC)).total_seconds()


def _runs_out(left: int | None, pace: float, now: datetime, resets: datetime) -> datetime | None:
    if left is None or (left and not pace):
        return None
    if not left:
        return now
    hours = left / pace
    if hours * 3600 >= seconds_left(now):
        return None
    moment = (now.astimezone(UTC) + timedelta(hours=hours)).astimezone(now.tzinfo)
    return moment.replace(microsecond=0) if moment < resets else None
