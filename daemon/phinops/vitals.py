"""How the daemon is: ready or not and why, every source, every pool of the quota."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta, tzinfo

from phinops.arrive.polling import PartState
from phinops.event import JsonObject
from phinops.pulse import Pulse
from phinops.record.sqlite import Store
from phinops.tenant import Serving
from phinops.watch import Watch

Health = tuple[bool, list[str]]
"""Whether it is so, and if not the reasons."""


class Vitals:
    """What health checks, `status` and metrics are told, times in `zone`. Nothing here waits.

    `paused` tells who lets no write leave; that makes nothing less ready.
    """

    def __init__(
        self,
        store: Store,
        servings: Sequence[Serving],
        watches: Sequence[Watch],
        pulse: Pulse,
        zone: tzinfo,
        paused: Callable[[], JsonObject | None],
    ) -> None:
        self._store = store
        self._servings = servings
        self._watches = watches
        self._pulse = pulse
        self._zone = zone
        self._paused = paused
        self.stopping = False

    def ready(self) -> Health:
        """The store can be written, stock was taken, no source is stale, and nobody has asked the daemon to stop."""
        reasons = ["the daemon is stopping"] if self.stopping else []
        trouble = self._store.trouble
        reasons += [f"the store cannot be written: {trouble}"] if trouble else []
        reasons += [obstacle for watch in self._watches if (obstacle := watch.obstacle())]
        return not reasons, reasons

    def healthy(self) -> Health:
        """Every loop moves."""
        stuck = self._pulse.stuck()
        return not stuck, stuck

    def status(self) -> JsonObject:
        """What `phinops status --json` prints."""
        ready, reasons = self.ready()
        tenants = [self._tenant(each) for each in self._servings]
        return {"ready": ready, "reasons": reasons, "paused": self._paused(), "tenants": tenants}

    def _tenant(self, each: Serving) -> JsonObject:
        sources = [watch.state() for watch in self._watches if watch.tenant == each.config.name]
        return {
            "name": each.config.name,
            "sources": [
                {
                    "name": state.name,
                    "state": state.state,
                    "last_good": state.last_good.astimezone(self._zone).isoformat() if state.last_good else None,
                    "interval_s": None if state.interval_s is None else round(state.interval_s, 1),
                    "reason": state.reason,
                    "projects": [self._project(part) for part in state.parts],
                }
                for state in sources
            ],
            "quota": [
                {"pool": use.pool, "used": use.used, "limit": use.limit, "reserve": use.reserve}
                for use in each.limiter.usage()
            ],
            "clock_offset_s": _seconds(each.client.clock_offset),
        }

    def _project(self, state: PartState) -> JsonObject:
        return {
            "id": state.part.id,
            "name": state.part.name,
            "last_good": state.last_good.astimezone(self._zone).isoformat() if state.last_good else None,
            "interval_s": round(state.interval_s, 1),
            "reason": state.reason,
        }

    def calls_today(self) -> Mapping[int, int]:
        """Today's calls by level, over all accounts."""
        total: Counter[int] = Counter()
        for limiter in {id(each.limiter): each.limiter for each in self._servings}.values():
            total.update(limiter.calls_today())
        return total

    def loop_ages(self) -> list[tuple[dict[str, str], float]]:
        """Seconds since the last sign of each loop, as samples of a metric."""
        return [({"loop": loop}, age) for loop, age in self._pulse.ages().items()]


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else round(span.total_seconds(), 1)
