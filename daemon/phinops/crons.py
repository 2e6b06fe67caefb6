"""The schedules of rules: each tenant's come due by the wall clock and go on as events."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from phinops.arrive.arrival import Arrival
from phinops.arrive.schedule import ScheduleSource
from phinops.clock import Clock
from phinops.decide.rule import RuleSet
from phinops.pulse import Pulse
from phinops.record.sqlite import Store
from phinops.remembered import Remembered
from phinops.watch import loop_of

_SILENT = 120.0
"""Seconds within which a schedule looks at its clock again."""


class Crons:
    """The schedules of the rules in force, for each tenant by name; what is due goes to `take`."""

    def __init__(
        self,
        tenants: Iterable[str],
        store: Store,
        rules: Callable[[], RuleSet],
        take: Callable[[Arrival], Awaitable[object]],
        clock: Clock,
        zone: ZoneInfo,
        pulse: Pulse,
    ) -> None:
        self._take = take
        self._pulse = pulse

        def crons() -> dict[str, str]:
            return {rule.id: rule.cron for rule in rules() if rule.cron}

        self._sources = {
            name: ScheduleSource(name, Remembered(store, name), crons, zone=zone, clock=clock) for name in tenants
        }

    def changed(self) -> None:
        """The rules are other ones than before."""
        for source in self._sources.values():
            source.changed()

    def loops(self) -> Iterator[Callable[[], Coroutine[Any, Any, None]]]:
        """What is to run until cancelled, one for each tenant."""
        for name, source in self._sources.items():
            yield self._loop(name, source)

    def _loop(self, tenant: str, source: ScheduleSource) -> Callable[[], Coroutine[Any, Any, None]]:
        async def once(now: datetime) -> None:
            self._pulse.beat(loop_of(tenant, source.name), _SILENT)
            await self._take(await source.poll(now))

        async def run() -> None:
            await source.run(once)

        return run
