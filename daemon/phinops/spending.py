"""Whose doing a call is: told where the call originates, known where it is counted.

The context is inherited by tasks. So a batch of writes is the doing of the firing whose write began its call, although
the writes of other firings travel in it.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Spender:
    """Who has calls made: a polled source, "rules" for a firing with its rule, "timers" for looking after what may have
    lasted too long, "operator" for a person's own call.
    """

    source: str
    rule: str = ""
    firing: str = ""


DAEMON = Spender("daemon")
"""Whoever spends when nobody has said who does."""

_SPENDER: ContextVar[Spender] = ContextVar("phinops_spender", default=DAEMON)


@dataclass(frozen=True, slots=True)
class Spend:
    """What a counted call is remembered by: quota day, hour of that day from 0, level, API and spender."""

    day: date
    hour: int
    level: int
    api: str
    spender: Spender


@contextmanager
def spending(who: Spender) -> Generator[None]:
    """Calls made inside, and by tasks that are started inside, are `who`'s."""
    token = _SPENDER.set(who)
    try:
        yield
    finally:
        _SPENDER.reset(token)


def spender() -> Spender:
    """Whose calls are made here."""
    return _SPENDER.get()
