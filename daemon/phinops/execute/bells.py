"""Who waits, and what wakes them before their time: news of what they wait for, or a word that they are to end."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import anyio

from phinops.clock import Clock
from phinops.event import Event
from phinops.execute.fresh import object_of
from phinops.execute.journal import Journal
from phinops.execute.walk import Stopped

LOOK_AT_THE_CLOCK = 60.0
"""Seconds after which a wait for a moment of the wall clock looks whether that has jumped."""


@dataclass(slots=True, eq=False)
class Bell:
    """Rings for one firing that waits."""

    news: list[Event] = field(default_factory=list)
    rung: anyio.Event = field(default_factory=anyio.Event)

    def ring(self, event: Event | None = None) -> None:
        """Wake the one who waits, with news or without."""
        if event is not None:
            self.news.append(event)
        self.rung.set()

    def take(self) -> list[Event]:
        """The news since the last time, oldest first."""
        news, self.news = self.news, []
        return news


class Bells:
    """The bells of all firings that wait now. One for the whole daemon."""

    def __init__(self) -> None:
        self._by_firing: dict[str, Bell] = {}
        self._by_object: dict[tuple[str, ...], set[Bell]] = {}

    def saw(self, events: Sequence[Event]) -> None:
        """Tell those who wait of new events of their objects."""
        for event in events if self._by_object else ():
            about = object_of(event)
            for bell in self._by_object.get(about, ()) if about else ():
                bell.ring(event)

    def wake(self, firing_id: str) -> None:
        """Let a firing that waits look at once whether it is to end."""
        bell = self._by_firing.get(firing_id)
        if bell is not None:
            bell.ring()

    @contextmanager
    def hung(self, firing_id: str, about: tuple[str, ...] | None = None) -> Generator[Bell]:
        """A bell for a firing while the context lasts; with `about` it rings for events of that object as well."""
        bell = self._by_firing[firing_id] = Bell()
        if about:
            self._by_object.setdefault(about, set()).add(bell)
        try:
            yield bell
        finally:
            if self._by_firing.get(firing_id) is bell:
                del self._by_firing[firing_id]
            if about:
                self._by_object[about].discard(bell)
                if not self._by_object[about]:
                    del self._by_object[about]


class Rests:
    """Lets firings rest, ready to be woken."""

    def __init__(self, journal: Journal, clock: Clock, bells: Bells) -> None:
        self._journal = journal
        self._clock = clock
        self.bells = bells

    async def until(self, firing_id: str, moment: datetime) -> None:
        """Rest until the wall clock has passed the moment.

        Raises:
            Stopped: the firing is to end.
        """
        with self.bells.hung(firing_id) as bell:
            await self.check(firing_id)
            while (left := (moment - self._clock.now()).total_seconds()) > 0:
                await self.rest(firing_id, bell, left)

    async def rest(self, firing_id: str, bell: Bell, seconds: float) -> None:
        """Rest so long at most: until the bell rings, or it is time to look at the clock.

        Raises:
            Stopped: the firing is to end.
        """
        with anyio.move_on_after(self._clock.real(max(0.0, min(seconds, LOOK_AT_THE_CLOCK)))):
            await bell.rung.wait()
        if bell.rung.is_set():
            bell.rung = anyio.Event()
        await self.check(firing_id)

    async def check(self, firing_id: str) -> None:
        """Raises Stopped when the firing is to end."""
        firing = await self._journal.firing(firing_id)
        if firing is not None and firing.stop:
            raise Stopped(firing.stop)
