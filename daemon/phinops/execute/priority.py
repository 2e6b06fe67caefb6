"""What a call is for: who goes first when calls wait for their turn, and what share each class is sure of."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum


class Priority(IntEnum):
    """What a call is for; a lower value goes first.

    ALERTS and POLL never touch the part of a day's quota that is kept for actions.
    """

    VERIFY = 0
    WRITE = 1
    DECIDE = 2
    ALERTS = 3
    POLL = 4
    OPERATOR = 5

    @property
    def urgent(self) -> bool:
        """Whether connections and a slot are kept for it, so that hung reads cannot hold it up."""
        return self <= Priority.WRITE

    @property
    def polls(self) -> bool:
        """Whether it leaves the part of a day that is kept for actions alone."""
        return self in (Priority.ALERTS, Priority.POLL)


SHARES: Mapping[Priority, int] = {
    Priority.VERIFY: 40,
    Priority.WRITE: 25,
    Priority.DECIDE: 15,
    Priority.ALERTS: 10,
    Priority.POLL: 6,
    Priority.OPERATOR: 4,
}
"""The turns of a hundred that a class is sure of while it waits. They are a hundred in all."""
