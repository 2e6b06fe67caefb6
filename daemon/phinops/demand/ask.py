"""What asks for calls: a source that is polled every so often, a rule that fires by a schedule."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Protocol, Self

from phinops.config import Tenant
from phinops.durations import format_duration

DAY = timedelta(days=1)

Spot = tuple[str, int, int]
"""File, line and column."""

_MINUTES = (0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 45)
_HOURS = (1, 1.25, 1.5, 2, 2.5, 3, 4, 6, 8, 12, 24)
INTERVALS = (*(timedelta(minutes=each) for each in _MINUTES), *(timedelta(hours=each) for each in _HOURS))
"""What people would write for a longer interval."""


class Ask(Protocol):
    """Calls that something makes every day. `polls`: it may not touch what is kept for actions."""

    @property
    def tenant(self) -> Tenant: ...
    @property
    def spot(self) -> Spot: ...
    @property
    def polls(self) -> bool: ...

    @property
    def name(self) -> str:
        """What others call it."""
        ...

    @property
    def head(self) -> str:
        """What its warnings begin with."""
        ...

    @property
    def calls(self) -> Mapping[str, int]:
        """How often a day each API is called."""
        ...

    def told(self, where: str) -> str:
        """What it asks for, for people; `where` is put behind what is asked, "" or " of tenant NAME"."""
        ...

    def easings(self) -> Iterator[Iterable[tuple[Ask, str]]]:
        """Each way of asking for less, nicest first: what is left of the ask, ever less of it, and its name."""
        ...


@dataclass(frozen=True, slots=True)
class Polls:
    """A source polled every `interval`, at one call of `api` for each of `projects`.

    The interval is the `within` of the rule `rule`, or that of the config where it is "". `projects` is None where
    only Dataphin knows how many there are, and counts as one; `noun` is "" for a source that needs one call for all.
    """

    tenant: Tenant
    spot: Spot
    rule: str
    source: str
    api: str
    interval: timedelta
    noun: str = ""
    projects: int | None = 1
    polls: bool = True

    @property
    def name(self) -> str:
        return f"rule {self.rule}" if self.rule else f"`{self.source}.every`"

    @property
    def head(self) -> str:
        return f"{self.rule}: {self.wish}" if self.rule else f"`{self.source}`: {self.wish}"

    @property
    def calls(self) -> Mapping[str, int]:
        return {self.api: math.ceil(DAY / self.interval) * (1 if self.projects is None else self.projects)}

    @property
    def wish(self) -> str:
        """The interval, as it would be written."""
        span = format_duration(self.interval)
        return f"«within: {span}»" if self.rule else f'every = "{span}"'

    def told(self, where: str) -> str:
        each = "" if self.projects is not None else " for each project"
        objects = f" of {counted(self.projects, self.noun)}" if self.noun and self.projects is not None else ""
        what = f"{self.source}{objects}{where} every {format_duration(self.interval)}"
        return f"asks for {self.calls[self.api]:,} calls a day{each} ({what})"

    def easings(self) -> Iterator[Iterable[tuple[Polls, str]]]:
        times = "" if self.projects is not None else " times the number of projects"
        rarer = (self._every(each) for each in INTERVALS if each > self.interval)
        yield ((ask, f"{ask.wish}{times}") for ask in rarer)
        if self.projects is not None:
            less = range(self.projects - 1, 0, -1)
            yield ((replace(self, projects=n), counted(n, self.noun)) for n in less)

    def _every(self, interval: timedelta) -> Self:
        return replace(self, interval=interval)


@dataclass(frozen=True, slots=True)
class Firings:
    """A rule that its schedule fires `times` a day, each firing calling at least `each`."""

    tenant: Tenant
    spot: Spot
    rule: str
    times: int
    each: Counter[str]
    polls: bool = False

    @property
    def name(self) -> str:
        return f"rule {self.rule}"

    @property
    def head(self) -> str:
        return f"{self.rule}: its schedule"

    @property
    def calls(self) -> Mapping[str, int]:
        return {api: self.times * calls for api, calls in self.each.items()}

    def told(self, where: str) -> str:
        total = sum(self.calls.values())
        return f"asks{where} for {total:,} calls a day ({self.times:,} firings of at least {self.each.total()})"

    def easings(self) -> Iterator[Iterable[tuple[Firings, str]]]:
        rarer = partial(replace, self)
        yield ((rarer(times=n), f"at most {counted(n, 'firing')} a day") for n in range(self.times - 1, 0, -1))


@dataclass(frozen=True, slots=True)
class Vigils:
    """The rule `rule` asks how long instances wait, of whom there may be thousands: `most` is what that may cost."""

    tenant: Tenant
    spot: Spot
    rule: str
    most: int
    polls: bool = True

    @property
    def name(self) -> str:
        return f"rule {self.rule}"

    @property
    def head(self) -> str:
        return f"{self.rule}: looking for what waits"

    @property
    def calls(self) -> Mapping[str, int]:
        return {"ListInstances": self.most}

    def told(self, where: str) -> str:
        return f"may take {self.most:,} calls a day{where}"

    def easings(self) -> Iterator[Iterable[tuple[Vigils, str]]]:
        return iter(())


def counted(number: int, noun: str) -> str:
    """The number with its noun."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
