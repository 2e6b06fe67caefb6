"""The sources of a tenant, each polled at its pace, and what can be said of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from phinops.arrive.arrival import Arrival
from phinops.arrive.pace import Budget, Pacer, SourceState, budget_of
from phinops.clock import Clock
from phinops.config import Tenant
from phinops.event import Event
from phinops.execute.limit import Limiter
from phinops.pulse import Pulse
from phinops.spending import Spender, spending
from phinops.tenant import Serving, Source

Take = Callable[[Arrival], Awaitable[object]]

_LEVELS: Mapping[str, tuple[int, ...]] = {"alerts": (1,), "instances": (1,), "impacts": (1, 2)}
"""The levels of the calls that each source makes (throttling tiers page)."""

_FAMILIES: Mapping[str, str] = {"alerts": "alert.", "instances": "instance.", "impacts": "impact."}

LONGEST_CALL = 600.0
"""Seconds that a poll may be silent within: one call that waits for its turn, is repeated and answered."""


@dataclass(slots=True)
class Watch:
    """One source being watched."""

    tenant: str
    source: Source
    pacer: Pacer
    pulse: Pulse
    take: Take

    async def run(self) -> None:
        """Poll until cancelled."""
        try:
            await self.pacer.run(self._once, self._tell)
        finally:
            self.pulse.gone(loop_of(self.tenant, self.source.name))

    async def _once(self, now: datetime) -> Arrival:
        self.pulse.beat(loop_of(self.tenant, self.source.name), LONGEST_CALL)
        # All that the poll calls for is its own, the lists of projects that it shares with other sources too.
        with spending(Spender(self.source.name)):
            arrival = await self.source.poll(now)
        await self.take(arrival)
        return arrival

    async def _tell(self, event: Event) -> None:
        await self.take(Arrival(self.source.name, self.tenant, (event,)))

    def state(self) -> SourceState:
        """How the source is now."""
        return self.pacer.state()

    def obstacle(self) -> str:
        """Why the daemon is not ready because of this source, or "". One that rests for want of calls is no obstacle,
        also before it took stock: a start on a spent day must be ready for what hooks and schedules ask."""
        state = self.state()
        name = f"source {self.source.name} of {self.tenant}"
        if state.state == "stale":
            return f"{name} is stale: {state.reason or 'no good poll for too long'}"
        if state.state in ("starting", "failing") and state.last_good is None:
            return f"{name} has not taken stock yet{': ' + state.reason if state.reason else ''}"
        return ""


def loop_of(tenant: str, source: str) -> str:
    """What the pulse calls a source's loop."""
    return f"{tenant}/{source}"


def watches_of(
    servings: Iterable[Serving],
    clock: Clock,
    zone: ZoneInfo,
    pulse: Pulse,
    wanted: Callable[[], frozenset[str]],
    take: Take,
) -> list[Watch]:
    """A watch for each source of each tenant; those of one account divide its quota."""
    found: list[Watch] = []
    by_account: dict[int, list[Watch]] = {}
    for serving in servings:
        sharing = by_account.setdefault(id(serving.limiter), [])
        for source in serving.sources:
            watch = _watch(serving, source, clock, zone, pulse, wanted, take, sharing)
            found.append(watch)
            sharing.append(watch)
    return found


def _watch(
    serving: Serving,
    source: Source,
    clock: Clock,
    zone: ZoneInfo,
    pulse: Pulse,
    wanted: Callable[[], frozenset[str]],
    take: Take,
    sharing: Sequence[Watch],
) -> Watch:
    def sharers() -> int:
        return max(1, sum(watch.state().state != "idle" for watch in sharing))

    loop = loop_of(serving.config.name, source.name)
    pacer = Pacer(
        source.name,
        serving.config.name,
        clock,
        every=_every(serving.config, source.name),
        budget=_budget(serving.limiter, _LEVELS[source.name], clock, zone, sharers),
        used=_listened(_FAMILIES[source.name], wanted),
        beat=lambda silent: pulse.beat(loop, silent),
    )
    return Watch(serving.config.name, source, pacer, pulse, take)


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
