"""Those who wait for a turn, and which of them is next.

The more urgent class goes first, and inside a class whoever came first. So that none starves behind a storm of the
more urgent, every class that waits is owed its share of each turn that is given, and one that is owed a whole turn is
next. Whoever gets a turn, for whichever reason, is owed a turn less; what a class does not use goes to the others.

Why nobody falls behind: the shares of all classes are one turn together, so what is owed grows by no more than the
one turn that somebody owed is given, and while nobody is owed a whole turn it is less than a turn for each. What is
owed to all is thus bounded, and each class gets its share of any number of turns but for a constant.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

from phinops.execute.priority import SHARES, Priority

TURN = 100
"""What the shares add up to."""

MOST_OWED = 3 * TURN
"""A class is owed no more. Only turns that were given and not used could make it more."""


class HasPriority(Protocol):
    """One who waits."""

    @property
    def priority(self) -> Priority: ...


W = TypeVar("W", bound=HasPriority)


class Line(Generic[W]):
    """The line of one pool. It is false when nobody waits; iterating gives all, the most urgent first."""

    def __init__(self) -> None:
        self._queues: dict[Priority, deque[W]] = {priority: deque() for priority in Priority}
        self._owed = dict.fromkeys(Priority, 0)

    def __bool__(self) -> bool:
        return any(self._queues.values())

    def __iter__(self) -> Iterator[W]:
        for queue in self._queues.values():
            yield from queue

    def classes(self) -> list[Priority]:
        """The classes that wait, the most urgent first."""
        return [priority for priority, queue in self._queues.items() if queue]

    def join(self, waiter: W) -> None:
        """Wait, behind those of the same class. A class that did not wait before is owed nothing yet."""
        self._queues[waiter.priority].append(waiter)

    def leave(self, waiter: W) -> None:
        """Give up waiting. What its class is owed stays with those of it who wait."""
        self._queues[waiter.priority].remove(waiter)
        self._forget_idle(waiter.priority)

    def next(self, may: Callable[[Priority], bool]) -> tuple[W, int]:
        """Take out whoever is next among the classes that `may` have this turn, of which one must wait.

        With it comes what its class is owed less because of it: `refund` takes that when the turn is not used. A class
        that may not have the turn is owed nothing of it.
        """
        classes = [each for each in self.classes() if may(each)]
        for each in classes:
            self._owed[each] = min(MOST_OWED, self._owed[each] + SHARES[each])
        most = max(classes, key=lambda each: (self._owed[each], -each))
        chosen = most if self._owed[most] >= TURN else classes[0]
        paid = min(TURN, self._owed[chosen])
        self._owed[chosen] -= paid
        waiter = self._queues[chosen].popleft()
        self._forget_idle(chosen)
        return waiter, paid

    def refund(self, priority: Priority, paid: int) -> None:
        """The turn that one of this class was given is not used: its class is owed again what it paid."""
        if self._queues[priority]:
            self._owed[priority] = min(MOST_OWED, self._owed[priority] + paid)

    def _forget_idle(self, priority: Priority) -> None:
        if not self._queues[priority]:
            self._owed[priority] = 0
