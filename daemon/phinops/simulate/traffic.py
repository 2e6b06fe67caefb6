"""The calls that applications make to the APIs of data service projects.

No call is stored. Each application calls each API it is authorised for at an even pace, and within a trouble the
share of errors is spread evenly, so that the number of calls and errors of any window is plain arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from phinops.simulate.model import AlertRule


@dataclass(frozen=True, slots=True)
class App:
    """An application that calls APIs, from one address."""

    id: int
    key: int
    name: str
    ip: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """From `start` until `end` the share `rate` of calls fails. `offline`: because the API is not there."""

    start: float
    end: float
    rate: float
    offline: bool = False


@dataclass(frozen=True, slots=True)
class Tally:
    """Calls and errors of some window; `last` is when the last call was, None if there was none."""

    calls: int = 0
    errors: int = 0
    offline: int = 0
    last: float | None = None

    def __add__(self, other: Tally) -> Tally:
        latest = [each for each in (self.last, other.last) if each is not None]
        return Tally(
            self.calls + other.calls,
            self.errors + other.errors,
            self.offline + other.offline,
            max(latest, default=None),
        )

    @property
    def error_rate(self) -> float:
        """Errors in a hundred calls."""
        return round(100.0 * self.errors / self.calls, 2) if self.calls else 0.0

    @property
    def offline_rate(self) -> float:
        """Calls in a hundred that found the API offline."""
        return round(100.0 * self.offline / self.calls, 2) if self.calls else 0.0


@dataclass(frozen=True, slots=True)
class Served:
    """One call of the log; `number` tells the calls of a stream apart."""

    at: float
    number: int
    failed: bool
    offline: bool


@dataclass(slots=True, eq=False, repr=False)
class Stream:
    """What one application calls of one API: call k is at `since + k * interval`. Windows are half open."""

    app: App
    since: float
    interval: float
    troubles: list[Trouble] = field(default_factory=list)

    def add(self, trouble: Trouble) -> None:
        """Trouble from `trouble.start` on; it replaces what was to come then."""
        kept = [each for each in self.troubles if each.start < trouble.start]
        cut = [Trouble(each.start, min(each.end, trouble.start), each.rate, each.offline) for each in kept]
        self.troubles = [*cut, trouble]

    def tally(self, start: float, end: float) -> Tally:
        """What happened from `start` until before `end`."""
        first, past = self._number(start), self._number(end)
        if past <= first:
            return Tally()
        errors = offline = 0
        for trouble in self.troubles:
            failed = self._errors(trouble, first, past)
            errors += failed
            offline += failed if trouble.offline else 0
        return Tally(past - first, errors, offline, self.since + (past - 1) * self.interval)

    def log(self, start: float, end: float) -> Iterator[Served]:
        """The calls from `start` until before `end`, newest first."""
        for number in range(self._number(end) - 1, self._number(start) - 1, -1):
            at = self.since + number * self.interval
            trouble = next((each for each in self.troubles if self._errors(each, number, number + 1)), None)
            yield Served(at, number, trouble is not None, trouble is not None and trouble.offline)

    def _number(self, at: float) -> int:
        """The first call at or after `at`."""
        return max(0, math.ceil((at - self.since) / self.interval))

    def _errors(self, trouble: Trouble, first: int, past: int) -> int:
        begin, end = self._number(trouble.start), self._number(trouble.end)
        first, past = max(first, begin), min(past, end)
        if past <= first:
            return 0
        return _failed(past - begin, trouble.rate) - _failed(first - begin, trouble.rate)


def _failed(calls: int, rate: float) -> int:
    """Errors among the first `calls` calls of a trouble: its very first call fails."""
    return math.ceil(calls * rate - 1e-9)


@dataclass(slots=True, eq=False, repr=False)
class ServedApi:
    """A published API of a data service project."""

    id: int
    name: str
    group: str
    sql: str
    response_ms: int
    alert: AlertRule | None = None
    streams: list[Stream] = field(default_factory=list)

    def tally(self, start: float, end: float, app: App | None = None) -> Tally:
        """Its calls from `start` until before `end`, of one application or of all."""
        streams = [each for each in self.streams if app is None or each.app is app]
        return sum((each.tally(start, end) for each in streams), Tally())


@dataclass(slots=True, eq=False, repr=False)
class DataService:
    """A data service project; `since` is when its APIs were published."""

    id: int
    name: str
    since: float
    owner: str
    permitted: bool
    mine: bool
    apis: list[ServedApi] = field(default_factory=list)
    apps: list[App] = field(default_factory=list)

    def api(self, api_id: int) -> ServedApi | None:
        """The API of that id, or None."""
        return next((each for each in self.apis if each.id == api_id), None)

    def tally(self, start: float, end: float) -> Tally:
        """All calls from `start` until before `end`."""
        return sum((each.tally(start, end) for each in self.apis), Tally())
