"""Asking one firing to stop where it does no harm: between steps, and while it waits for anything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import anyio


class Stopped(Exception):
    """The firing was asked to stop, and has come to a point where it may; what to do is in its row."""


class Stop:
    """What one firing and those who may stop it share.

    Whatever waits without having begun something does so within `safe`, and is cut off there. From the intent of a
    write until it is settled nothing is: who asks then is heard at the next safe point.
    """

    def __init__(self, *, asked: bool = False) -> None:
        self.asked = asked
        self._scopes: list[anyio.CancelScope] = []

    def ask(self) -> None:
        """Have it stop at the next safe point: at once, where it waits in one."""
        self.asked = True
        for scope in self._scopes:
            scope.cancel()

    def clear(self) -> None:
        """It was asked for nothing that concerns it: let it go on."""
        self.asked = False

    def check(self) -> None:
        """A safe point.

        Raises:
            Stopped: it was asked to stop.
        """
        if self.asked:
            raise Stopped

    @contextmanager
    def safe(self) -> Iterator[None]:
        """What is awaited inside may be cut off.

        Raises:
            Stopped: it was, or had been asked to stop before.
        """
        self.check()
        with anyio.CancelScope() as scope:
            self._scopes.append(scope)
            try:
                yield
            finally:
                self._scopes.remove(scope)
        if scope.cancelled_caught:
            raise Stopped
