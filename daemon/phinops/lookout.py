"""What others than the polls see of instances: those that were in one state for too long, and those that recovered."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from phinops.arrive.arrival import Arrival
from phinops.arrive.poll.instancelist import Row
from phinops.arrive.ration import Ration
from phinops.execute.steps.kind import InstanceView

SIGHTINGS = 1000
"""So many recoveries wait to be told, at most; what is left out the next poll sees."""


class Eyes(Protocol):
    """Reads the instances of one tenant anew."""

    async def instances(self, project_id: str, ids: Collection[str]) -> Mapping[str, InstanceView]:
        """Those that there are. Raises ApiError, QuotaSpent: one of them could not be read."""
        ...


@dataclass(frozen=True, slots=True)
class Watched:
    """How a tenant's instances are looked after that may have been in one state for too long.

    Of those that wait there may be thousands: `ration` is what looking after them may cost, `made` how many calls were
    made so far, and `spare` whether the day has calls left for that, those kept for actions aside.
    """

    eyes: Eyes
    ration: Ration
    made: Callable[[], int]
    spare: Callable[[], bool]


@dataclass(slots=True)
class CountedReads:
    """Reads by `inner`; `made` counts the calls."""

    inner: Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
    made: int = 0

    async def read(self, api: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        self.made += 1
        return await self.inner(api, params)


@dataclass(slots=True)
class Sightings:
    """What verification has read of instances that have succeeded, until somebody takes it."""

    _views: deque[InstanceView] = field(default_factory=lambda: deque(maxlen=SIGHTINGS))
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def saw(self, view: InstanceView) -> None:
        """An instance was just read."""
        if view.instance.status == "SUCCESS":
            self._views.append(view)
            self._news.set()

    async def take(self) -> Mapping[str, Mapping[str, Row]]:
        """What was seen, the latest of each instance, by project; waited for where there is nothing."""
        await self._news.wait()
        found: defaultdict[str, dict[str, Row]] = defaultdict(dict)
        for view in self._views:
            found[view.project_id][view.instance.id] = Row(view.instance, view.node, view.raw)
        self._views.clear()
        self._news.clear()
        return found


@dataclass(frozen=True, slots=True)
class Recoveries:
    """Recoveries that verification saw, and what they mean to the source that follows failed instances.

    `arrival` makes an arrival of instances of a project; it raises PhinopsError.
    """

    sightings: Sightings
    arrival: Callable[[datetime, str, Mapping[str, Row]], Awaitable[Arrival]]
