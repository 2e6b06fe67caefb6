"""Whether a rule whose condition holds may fire now: what may speak against it is looked at in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from phinops.decide.calendar import objection
from phinops.decide.rule import Rule
from phinops.durations import about, format_duration
from phinops.event import Event

OWN_FIRINGS = 5
"""How often in 24 hours a rule may be fired, on one key, by what it caused itself."""


@dataclass(frozen=True, slots=True)
class History:
    """What is known of earlier firings.

    Of the rule and key: `last_started` is when the last firing began, `busy` that one is under way or waits for its
    `for`, `own_firings` how many firings of the last 24 hours were on events that the rule's own actions caused, and
    `caused_by_own` that this event is one. Of the whole rule: `firings_in_window`, those begun within
    `limits.firings.per`. `silenced`: that a person silenced the rule on this event, and why.
    """

    last_started: datetime | None = None
    busy: bool = False
    own_firings: int = 0
    caused_by_own: bool = False
    firings_in_window: int = 0
    silenced: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the rule may fire; if not, why, and whether it waits for its turn on the key (`queue`)."""

    allowed: bool
    reason: str = ""
    queue: bool = False


ALLOWED = Verdict(True)


@dataclass(frozen=True, slots=True)
class Case:
    """What a guard judges: the rule would fire on the event, at this time and with this past."""

    rule: Rule
    event: Event
    history: History
    now: datetime


Guard = Callable[[Case], str]
"""Gives its objection, in words for the user, or ""."""


def switched_off(case: Case) -> str:
    """A rule that is off decides, and does nothing."""
    return "mode is off" if case.rule.mode == "off" else ""


def outside_hours(case: Case) -> str:
    """It is none of the rule's hours."""
    return objection(case.rule.active, case.now)


def too_old(case: Case) -> str:
    """The event happened longer ago than `max_age`."""
    age, most = case.now - case.event.time, case.rule.max_age
    if most is None or age <= most:
        return ""
    return f"max_age: the event is {about(age)} old, {format_duration(most)} is allowed"


def silenced(case: Case) -> str:
    """A person said that it should be quiet for some time."""
    return case.history.silenced


def own_doing(case: Case) -> str:
    """The rule wakes itself up again and again."""
    times = case.history.own_firings
    if not case.history.caused_by_own or times < OWN_FIRINGS:
        return ""
    return f"the rule's own actions fired it {times} times in 24h, {OWN_FIRINGS} are allowed"


def cooling_down(case: Case) -> str:
    """The key fired not long ago."""
    cooldown, last = case.rule.cooldown, case.history.last_started
    if cooldown is None or last is None or (left := last + cooldown - case.now) <= timedelta():
        return ""
    return f"cooldown: {about(left)} of {format_duration(cooldown)} left"


def too_many(case: Case) -> str:
    """The rule fired as often as it may."""
    limit, fired = case.rule.limits.firings, case.history.firings_in_window
    if limit is None or fired < limit.max:
        return ""
    return f"limits.firings: {fired} firings in {format_duration(limit.per)}, {limit.max} are allowed"


EARLY: Mapping[str, Guard] = {"mode": switched_off, "active": outside_hours, "max_age": too_old}
"""The guards that each event of a rule over several must pass before it counts; the others are asked of them all."""

GUARDS: Mapping[str, Guard] = {
    **EARLY,
    "silence": silenced,
    "own doing": own_doing,
    "cooldown": cooling_down,
    "limits.firings": too_many,
}
"""Every guard in the order in which they are asked, by what rule files call it."""


def may_count(rule: Rule, event: Event, now: datetime) -> str:
    """Why the event does not count for a rule over several, or ""."""
    case = Case(rule, event, History(), now)
    return next((objection for guard in EARLY.values() if (objection := guard(case))), "")


def permit(rule: Rule, event: Event, history: History, now: datetime) -> Verdict:
    """Whether the rule may fire now: with the reason of the foremost of GUARDS that objects.

    Whether the key is busy is asked last, so that only what may fire at all waits for its turn.
    """
    case = Case(rule, event, history, now)
    for guard in GUARDS.values():
        if objection := guard(case):
            return Verdict(False, objection)
    if not history.busy or rule.concurrency == "parallel":
        return ALLOWED
    if rule.concurrency == "queued":
        return Verdict(False, "the key is busy: it waits for its turn", queue=True)
    if rule.concurrency == "restart":
        return Verdict(False, "the key is busy: it begins when what runs there has stopped for it", queue=True)
    return Verdict(False, "the key is busy (concurrency: single)")
