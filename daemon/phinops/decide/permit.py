"""Whether a rule whose condition holds may fire now: guards that are plain functions of what is known of the past."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from phinops.decide.rule import Rule
from phinops.durations import about, format_duration
from phinops.event import Event

OWN_FIRINGS = 5
"""How often in 24 hours a rule may be fired, on one key, by what it caused itself."""


@dataclass(frozen=True, slots=True)
class History:
    """What the guards read of the past.

    Of the rule and key: `last_started` is when the last firing began, `busy` that one is under way or waits for its
    `for`, `own_firings` how many firings of the last 24 hours were on events that the rule's own actions caused, and
    `caused_by_own` that this event is one. Of the whole rule: `firings_in_window`, those begun within
    `limits.firings.per`.
    """

    last_started: datetime | None = None
    busy: bool = False
    own_firings: int = 0
    caused_by_own: bool = False
    firings_in_window: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the rule may fire; if not, why, and whether it waits for its turn on the key (`queue`)."""

    allowed: bool
    reason: str = ""
    queue: bool = False


ALLOWED = Verdict(True)

Guard = Callable[[Rule, Event, History, datetime], Verdict]


def mode(rule: Rule, event: Event, past: History, now: datetime) -> Verdict:
    """A rule that is off decides, and does nothing."""
    return Verdict(False, "mode is off") if rule.mode == "off" else ALLOWED


def max_age(rule: Rule, event: Event, past: History, now: datetime) -> Verdict:
    """The event happened long ago."""
    age = now - event.time
    if rule.max_age is None or age <= rule.max_age:
        return ALLOWED
    return Verdict(False, f"max_age: the event is {about(age)} old, {format_duration(rule.max_age)} is allowed")


def own_doing(rule: Rule, event: Event, past: History, now: datetime) -> Verdict:
    """The rule wakes itself up again and again."""
    if not past.caused_by_own or past.own_firings < OWN_FIRINGS:
        return ALLOWED
    return Verdict(False, f"the rule's own actions fired it {past.own_firings} times in 24h, {OWN_FIRINGS} are allowed")


def cooldown(rule: Rule, event: Event, past: History, now: datetime) -> Verdict:
    """The key fired not long ago."""
    if rule.cooldown is None or past.last_started is None or now - past.last_started >= rule.cooldown:
        return ALLOWED
    left = rule.cooldown - (now - past.last_started)
    return Verdict(False, f"cooldown: {about(left)} of {format_duration(rule.cooldown)} left")


def firings(rule: Rule, event: Event, past: History, now: datetime) -> Verdict:
    """The rule fired as often as it may."""
    limit = rule.limits.firings
    if limit is None or past.firings_in_window < limit.max:
        return ALLOWED
    per = format_duration(limit.per)
    return Verdict(False, f"limits.firings: {past.firings_in_window} firings in {per}, {limit.max} are allowed")


def turn(rule: Rule, event: Event, past: History, now: datetime) -> Verdict:
    """A firing is under way on the key."""
    if not past.busy:
        return ALLOWED
    queue = rule.concurrency == "queued"
    return Verdict(False, "the key is busy" + (": it waits for its turn" if queue else " (concurrency: single)"), queue)


GUARDS: Sequence[Guard] = (mode, max_age, own_doing, cooldown, firings, turn)
"""In this order; the turn comes last, so that only what may fire at all waits for it."""


def permit(rule: Rule, event: Event, past: History, now: datetime) -> Verdict:
    """The first guard that objects, or ALLOWED."""
    verdicts = (guard(rule, event, past, now) for guard in GUARDS)
    return next((verdict for verdict in verdicts if not verdict.allowed), ALLOWED)
