"""What has happened since the start, in numbers and as it happens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from phinops.clock import Clock
from phinops.event import Event


class Report:
    """Counts events by type; `since` is when it began."""

    def __init__(self, clock: Clock) -> None:
        self.since = clock.now()
        self._events: Counter[str] = Counter()

    def saw(self, events: Sequence[Event]) -> None:
        """These were new."""
        self._events.update(event.type for event in events)

    def by_type(self) -> list[tuple[dict[str, str], float]]:
        """Events by type, as samples of a metric."""
        return [({"type": kind}, float(count)) for kind, count in sorted(self._events.items())]
