"""How much of a rate is used: all of it, or less for a while since a throttle showed that others use the account too.

A throttle halves what was used when it came. While calls are answered the rest comes back evenly, a twentieth of the
rate for every ten seconds: from nothing to all in a little over three minutes. Halving finds room at once however
many others there are; growing slowly leaves them what they use and asks for more about as seldom as can be.
"""

from __future__ import annotations

GROWS_EVERY = 10.0
"""Seconds without a throttle after which a step of the rate comes back."""

STEPS = 20
"""Steps from nothing to the whole rate."""


class Allowance:
    """The calls of one pool that are allowed in a period, of `full`. Times are the clock's monotonic seconds."""

    def __init__(self, full: int, period: float) -> None:
        self.full = full
        self._period = period
        self._calls = float(full)
        self._since = 0.0
        self._shrunk_at = float("-inf")

    @property
    def calls(self) -> int:
        """How many calls a period may have now; one at least."""
        return int(self._calls)

    @property
    def withheld(self) -> int:
        """How many calls of the full rate are not made."""
        return self.full - self.calls

    def shrink(self, used: int, now: float, until: float) -> bool:
        """Allow half of the `used` calls of the last period; the pool rests `until` then. True if all was allowed.

        A throttle within a period of the last one answers a call that was sent before, and tells nothing new.
        """
        if now < self._shrunk_at + self._period:
            return False
        before = self.calls
        self._calls = max(1.0, min(self._calls, used) / 2)
        self._shrunk_at, self._since = now, max(now, until)
        return self.calls < before == self.full

    def grow(self, now: float) -> bool:
        """A call was answered: give back what the time without a throttle is worth. True once all is allowed again."""
        steps = int((now - self._since) / GROWS_EVERY)
        if self._calls >= self.full or steps < 1:
            return False
        self._calls = min(float(self.full), self._calls + steps * self.full / STEPS)
        self._since += steps * GROWS_EVERY
        return self._calls >= self.full
