"""When a rule is active: hours of the day on some days, in a time zone.

Hours are those of the wall. Where a clock is put forward or back, a border means what RFC 5545 (3.3.5) says: the
first time that the clock shows it, and if it never does, what it would have shown had it not been put forward.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from phinops.decide.workdays import is_workday
from phinops.event import JsonObject

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WORKDAYS, HOLIDAYS = "workdays", "holidays"
DAY = 24 * 60
"""Minutes of a day."""

_LOOK_AHEAD = 400
"""Days in which a calendar surely has one of its own: the longest holiday lasts nine, a weekday comes each week."""

Moments = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Hours:
    """From one minute of the day to another, which is past `DAY` where the hours pass midnight."""

    begin: int
    end: int

    def __str__(self) -> str:
        return f"{_clock(self.begin)}-{_clock(self.end if self.end <= DAY else self.end - DAY)}"


WHOLE_DAY = Hours(0, DAY)


@dataclass(frozen=True, slots=True)
class Calendar:
    """Hours on days. `days` are names of weekdays, "workdays" or "holidays", any of which makes the day one of its own;
    hours that pass midnight belong to the day on which they began. `name` is "" where it stands in the rule itself.
    """

    zone: str
    hours: tuple[Hours, ...] = (WHOLE_DAY,)
    days: tuple[str, ...] = WEEKDAYS
    name: str = ""

    def __str__(self) -> str:
        said = ", ".join([*(map(str, self.hours) if self.hours != (WHOLE_DAY,) else ()), *_days_text(self.days)])
        return f"{self.name} ({said or 'always'})" if self.name else said or "always"

    @property
    def official(self) -> bool:
        """Whether it asks for the working days that are announced, and not just for days of the week."""
        return WORKDAYS in self.days or HOLIDAYS in self.days

    def covers(self, now: datetime) -> bool:
        """Whether `now` lies within its hours."""
        today = now.astimezone(ZoneInfo(self.zone)).date()
        # Hours that began yesterday may last until today.
        return any(begin <= now < end for day in (today - _ONE, today) for begin, end in self._spans(day))

    def next_begin(self, now: datetime) -> datetime:
        """When its hours begin next, after `now`."""
        today = now.astimezone(ZoneInfo(self.zone)).date()
        days = (today + timedelta(days=ahead) for ahead in range(-1, _LOOK_AHEAD))
        found = (min((begin for begin, _ in self._spans(day) if begin > now), default=None) for day in days)
        return next(begin for begin in found if begin is not None)

    def _spans(self, day: date) -> Iterator[Moments]:
        if not self._is_on(day):
            return
        for hours in self.hours:
            begin, end = _moment(day, hours.begin, self.zone), _moment(day, hours.end, self.zone)
            if begin < end:  # not so where all of them fall into what the clock skips
                yield begin, end

    def _is_on(self, day: date) -> bool:
        if WEEKDAYS[day.weekday()] in self.days:
            return True
        return self.official and (WORKDAYS if is_workday(day) else HOLIDAYS) in self.days

    def to_json(self) -> JsonObject:
        """What `from_json` reads back; hours as pairs of minutes."""
        return {
            "name": self.name,
            "hours": [[each.begin, each.end] for each in self.hours],
            "days": list(self.days),
            "zone": self.zone,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Calendar:
        """The calendar that `to_json` wrote."""
        hours = tuple(Hours(begin, end) for begin, end in document["hours"])
        return cls(document["zone"], hours, tuple(document["days"]), document["name"])


_ONE = timedelta(days=1)


def objection(calendars: Sequence[Calendar], now: datetime) -> str:
    """Why `now` is in none of the calendars, and when the first begins; "" where one has it or there are none."""
    if not calendars or any(calendar.covers(now) for calendar in calendars):
        return ""
    here = now.astimezone(ZoneInfo(calendars[0].zone))
    coming, zone = min((calendar.next_begin(now), calendar.zone) for calendar in calendars)
    there = coming.astimezone(ZoneInfo(zone))
    outside = " and ".join(map(str, calendars))
    return f"active: {here:%H:%M on %Y-%m-%d} is outside {outside}; next at {there:%H:%M on %Y-%m-%d} ({zone})"


@lru_cache(maxsize=4096)
def _moment(day: date, minutes: int, zone: str) -> datetime:
    """When the clocks of the zone show so many minutes after the day's beginning, in UTC."""
    on, at = day + timedelta(days=minutes // DAY), minutes % DAY
    return datetime.combine(on, time(at // 60, at % 60), ZoneInfo(zone)).astimezone(UTC)


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _days_text(days: tuple[str, ...]) -> list[str]:
    """The days as people write them: those that follow each other as `mon-fri`, all seven as nothing."""
    if set(WEEKDAYS) <= set(days):
        return []
    numbers = [number for number, name in enumerate(WEEKDAYS) if name in days]
    runs = [[number for _, number in run] for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])]
    names = [WEEKDAYS[run[0]] + (f"-{WEEKDAYS[run[-1]]}" if len(run) > 1 else "") for run in runs]
    return [*(day for day in days if day not in WEEKDAYS), *names]
