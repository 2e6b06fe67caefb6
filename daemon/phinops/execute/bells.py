"""What wakes those who wait before their time: news of what they wait for."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import anyio

from phinops.clock import LOOK_AGAIN, Clock
from phinops.event import Event
from phinops.execute.fresh import object_of


@dataclass(slots=True, eq=False)
class Bell:
    """Rings for one who waits."""

    news: list[Event] = field(default_factory=list)
    rung: anyio.Event = field(default_factory=anyio.Event)

    def ring(self, event: Event) -> None:
        """Wake the one who waits."""
        self.news.append(event)
        self.rung.set()

    def wake(self) -> None:
        """Wake the one who waits, who knows where the news is."""
        self.rung.set()

    def take(self) -> list[Event]:
        """The news since the last time, oldest first."""
        news, self.news = self.news, []
        return news


class Bells:
    """The bells of all who wait for news. One for the whole daemon."""

    def __init__(self) -> None:
        self._by_object: dict[tuple[str, ...], set[Bell]] = {}

    def saw(self, events: Sequence[Event]) -> None:
        """Tell those who wait of new events of their objects."""
        for event in events if self._by_object else ():
            about = object_of(event)
            for bell in self._by_object.get(about, ()) if about else ():
                bell.ring(event)

    def ring(self, about: tuple[str, ...]) -> None:
        """Tell those who wait for what goes by this name that it is otherwise now."""
        for bell in self._by_object.get(about, ()):
            bell.wake()

    @contextmanager
    def hung(self, about: tuple[str, ...] | None) -> Generator[Bell]:
        """A bell that rings for news of that object while the context lasts; for none, without an object."""
        bell = Bell()
        if about is None:
            yield bell
            return
        self._by_object.setdefault(about, set()).add(bell)
        try:
            yield bell
        finally:
            self._by_object[about].discard(bell)
            if not self._by_object[about]:
                del self._by_object[about]


async def rest(clock: Clock, seconds: float, bell: Bell) -> None:
    """Let so much time pass at most: until the bell rings, or it is time to look at the wall clock again."""
    with anyio.move_on_after(clock.real(max(0.0, min(seconds, LOOK_AGAIN)))):
        await bell.rung.wait()
    if bell.rung.is_set():
        bell.rung = anyio.Event()
