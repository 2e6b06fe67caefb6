"""`calendars` of a file and `active` of its rules: from nodes to calendars, or to every mistake in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo

from phinops.decide.calendar import HOLIDAYS, WEEKDAYS, WORKDAYS, Calendar
from phinops.decide.calendarmodel import CalendarModel
from phinops.decide.document import Node
from phinops.decide.findings import Findings, did_you_mean, listed
from phinops.decide.mistakes import InNode, validated
from phinops.decide.rule import Rule
from phinops.decide.workdays import last_known
from phinops.problem import Problem

SOON = timedelta(weeks=4)
"""How far ahead the announced working days should be known."""


@dataclass(frozen=True, slots=True)
class Calendars:
    """The calendars of a file. `zone` is the config's; `broken` has the first mistake of each that cannot be used."""

    zone: tzinfo
    usable: Mapping[str, Calendar] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)


def read_calendars(node: Node | None, zone: tzinfo, findings: Findings) -> Calendars:
    """The calendars below the key `calendars`, whose value is a mapping; mistakes are reported."""
    usable, broken = {}, {}
    for name, item in (node.value if node else {}).items():
        before = len(findings.problems)
        calendar = _calendar(item, name, zone, findings)
        if calendar:
            usable[name] = calendar
        else:
            broken[name] = str(min(findings.problems[before:]))
    return Calendars(zone, usable, broken)


@dataclass(slots=True)
class Active:
    """What `active` says. `blamed` are mistakes that stand elsewhere, of calendars that it names."""

    calendars: tuple[Calendar, ...] = ()
    blamed: list[str] = field(default_factory=list)


def read_active(node: Node | None, calendars: Calendars, findings: Findings) -> Active:
    """The calendars that `active` names or writes out; mistakes are reported."""
    found = Active()
    if node is None or node.value is None:  # the model has said that it has no value
        return found
    if node.value == []:
        findings.error("bad-value", node.place, "«active» must not be empty")
    for item in node.value if isinstance(node.value, list) else [node]:
        calendar = _named(item, calendars, found.blamed, findings)
        found.calendars += (calendar,) if calendar else ()
    return found


def _named(item: Node, calendars: Calendars, blamed: list[str], findings: Findings) -> Calendar | None:
    name = item.value
    if not isinstance(name, str):
        return _calendar(item, "", calendars.zone, findings)
    if name in calendars.broken:
        blamed.append(f"its calendar «{name}» has a mistake: {calendars.broken[name]}")
    elif name not in calendars.usable:
        known = {*calendars.usable, *calendars.broken}
        near = did_you_mean(name, known) or (f": it has {listed(known)}" if known else f": {_CURE}")
        findings.error("unknown-calendar", item.place, f"the file has no calendar «{name}»{near}")
    return calendars.usable.get(name)


_CURE = "write it below `calendars:`, or its hours and days in place of its name"


def _calendar(node: Node, name: str, zone: tzinfo, findings: Findings) -> Calendar | None:
    if not isinstance(node.value, dict):
        message = "a calendar is a mapping such as { hours: 22:00-08:00, days: workdays }"
        findings.error("bad-calendar", node.place, message)
        return None
    model = validated(CalendarModel, node.plain(), InNode(node), findings)
    if model is None:
        return None
    if not node.value.keys() & {"hours", "days"}:
        findings.error("bad-calendar", node.place, "a calendar needs «hours» or «days»")
        return None
    days = {day for each in model.days for day in each}
    return Calendar(model.zone or str(zone), tuple(model.hours), tuple(day for day in _DAYS if day in days), name)


_DAYS = (WORKDAYS, HOLIDAYS, *WEEKDAYS)


def unknown_days(rules: Iterable[Rule], now: datetime) -> list[Problem]:
    """A warning for each file whose rules ask for working days that are not announced, or not known here yet."""
    if (now + SOON).date() <= last_known():
        return []
    first: dict[str, Problem] = {}
    for rule in rules:
        official = next((calendar for calendar in rule.active if calendar.official), None)
        if official:
            message = (
                f"{rule.id}: China's working days are known here until {last_known()}, after that {official} takes "
                "them to be Monday to Friday: update the package chinesecalendar"
            )
            first.setdefault(rule.file, Problem(rule.file, rule.line, rule.column, "days-unknown", message, "warning"))
    return list(first.values())
