"""How instances are looked after that may have been in one state for too long."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from phinops.arrive.ration import Ration
from phinops.execute.steps.kind import InstanceView


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
