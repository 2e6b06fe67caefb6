"""Writes on their way to the desk and out: what is asked for, with whom it travels, and what is known of it then."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

import anyio

from phinops.clock import Clock
from phinops.event import Event, JsonObject
from phinops.execute.steps.kind import Step, Write
from phinops.firing import Ask


@dataclass(frozen=True, slots=True)
class Fate:
    """What is known of a write after it was submitted.

    `done`; `refused` for good, and recorded; `absent` (an intent was recorded, and it is known not to have happened);
    `unsent` (no intent was recorded: its turn did not come); `open` (it may have happened: read it back). `alone` asks
    that the next attempt travels in a call of its own.
    """

    kind: Literal["done", "refused", "absent", "unsent", "open"]
    reason: str = ""
    request_id: str = ""
    result: JsonObject = field(default_factory=dict)
    retry_after: float | None = None
    alone: bool = False


@dataclass(slots=True, eq=False)
class Order:
    """One write on its way; `within` is its verification's time, `about` an event that tells who its target is."""

    step: Step
    write: Write
    ask: Ask
    within: timedelta | None = None
    alone: bool = False
    about: Event | None = None
    fate: Fate | None = None
    _decided: anyio.Event = field(default_factory=anyio.Event)

    def decide(self, fate: Fate) -> None:
        """Say what became of it; whoever waits for `decision` goes on."""
        self.fate = fate
        self._decided.set()

    async def decision(self) -> Fate:
        """What became of it, once that is known."""
        await self._decided.wait()
        assert self.fate
        return self.fate

    def verify_until(self, clock: Clock) -> datetime | None:
        """When its verification gives up, counted from now."""
        return clock.now() + self.within if self.within else None


@dataclass(slots=True)
class Queue:
    """Orders that may travel together, and how many calls were begun that will fetch some of them."""

    orders: list[Order] = field(default_factory=list)
    callers: int = 0


@dataclass(slots=True)
class Trip:
    """One call on its way: the orders that were taken for it, and those whose intents were committed."""

    batch: str
    api: str
    fetched: bool = False
    taken: list[Order] = field(default_factory=list)
    leaving: list[Order] = field(default_factory=list)

    def undecided(self) -> list[Order]:
        return [order for order in self.taken if order.fate is None]
