"""The sources of a tenant, each polled at its pace, and what can be said of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from phinops.arrive.arrival import Arrival
from phinops.arrive.pace import LONGEST, Budget, Pacer, SourceState, budget_of
from phinops.clock import Clock
from phinops.config import Tenant
from phinops.event import Event
from phinops.execute.limit import Limiter
from phinops.pulse import Pulse
from phinops.tenant import Serving, Source

Take = Callable[[Arrival], Awaitable[object]]

_LEVELS: Mapping[str, tuple[int, ...]] = {"alerts": (1,), "instances": (1,), "impacts": (1, 2)}
"""The levels of the calls that each source makes (throttling tiers page)."""

_FAMILIES: Mapping[str, str] = {"alerts": "alert.", "instances": "instance.", "impacts": "impact."}

_LONGEST_POLL = 600.0
"""Seconds that one poll may take before its loop counts as stuck: many pages at a small quota are slow."""


@dataclass(slots=True)
class Watch:
    """One source being watched."""

    tenant: str
    source: Source
    pacer: Pacer
    pulse: Pulse
    take: Take
    _polled: bool = field(default=False)

    async def run(self) -> None:
        """Poll until cancelled."""
        try:
            await self.pacer.run(self._once, self._tell)
        finally:
            self.pulse.gone(self._loop)

    @property
    def _loop(self) -> str:
        return f"{self.tenant}/{self.source.name}"

    async def _once(self, now: datetime) -> Arrival:
        self.pulse.beat(self._loop, _LONGEST_POLL)
        try:
            arrival = await self.source.poll(now)
            await self.take(arrival)
        finally:
            self.pulse.beat(self._loop, LONGEST + _LONGEST_POLL)
        return arrival

    async def _tell(self, event: Event) -> None:
        await self.take(Arrival(self.source.name, self.tenant, (event,)))

    def state(self) -> SourceState:
        return self.pacer.state()

    def obstacle(self) -> str:
        """Why the daemon is not ready because of this source, or ""."""
        state = self.state()
        name = f"source {self.source.name} of {self.tenant}"
        if state.state == "stale":
            return f"{name} is stale: {state.reason or 'no good poll for too long'}"
        if state.state in ("starting", "failing") and state.last_good is None:
            return f"{name} has not taken stock yet{': ' + state.reason if state.reason else ''}"
        return ""


def watches_of(
    serving: Serving,
    clock: Clock,
    zone: ZoneInfo,
    pulse: Pulse,
    wanted: Callable[[], frozenset[str]],
    take: Take,
) -> list[Watch]:
    """A watch for each of the tenant's sources."""
    found: list[Watch] = []

    def sharers() -> int:
        return max(1, sum(watch.state().state != "idle" for watch in found))

    for source in serving.sources:
        pacer = Pacer(
            source.name,
            serving.config.name,
            clock,
            every=_every(serving.config, source.name),
            budget=_budget(serving.limiter, _LEVELS[source.name], clock, zone, sharers),
            used=_listened(_FAMILIES[source.name], wanted),
        )
        found.append(Watch(serving.config.name, source, pacer, pulse, take))
    return found


def _every(tenant: Tenant, source: str) -> timedelta | None:
    settings = {
        "alerts": tenant.sources.alerts,
        "instances": tenant.sources.instances,
        "impacts": tenant.sources.impacts,
    }
    every = settings[source].every
    return None if every == "auto" else every


def _budget(
    limiter: Limiter, levels: tuple[int, ...], clock: Clock, zone: ZoneInfo, sharers: Callable[[], int]
) -> Callable[[], Budget]:
    return lambda: budget_of(limiter.usage(), levels, clock.now(), zone, sharers())


def _listened(family: str, wanted: Callable[[], frozenset[str]]) -> Callable[[], bool]:
    return lambda: any(kind.startswith(family) for kind in wanted())
