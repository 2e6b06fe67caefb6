"""What holds for every write, whoever asks for it, and who hears when it holds something back."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import tzinfo
from typing import Any

import structlog

from phinops.config import Config
from phinops.event import JsonObject
from phinops.execute.brake import Brake
from phinops.execute.desk import Alarm, Starter
from phinops.execute.guard import Breakers, Protected, Rails, breaker_reason, breaker_subject, open_until
from phinops.record import pausing
from phinops.record.breakers import Failed
from phinops.record.sqlite import Store

log = structlog.get_logger(__name__)


def rails_of(config: Config) -> Rails:
    """The guard-rails of `[safety]`."""
    safety = config.safety
    own = safety.breakers
    return Rails(
        max_writes_per_hour=safety.max_writes_per_hour,
        protected=Protected(safety.protected.nodes, safety.protected.projects),
        breakers=Breakers(own.rule, own.target, own.open_for),
        zone=config.timezone,
    )


def tell_if_open(
    failed: Failed, rails: Rails, group: Starter, tell: Callable[[str, Alarm], Coroutine[Any, Any, None]]
) -> None:
    """Tell people, in a task of its own, of a breaker that this failure has opened."""
    failures = rails.breakers.rule if failed.scope == "rule" else rails.breakers.target
    until = open_until(failed.tally, failures, rails.breakers)
    if until is None:
        return
    reason = breaker_reason(failed.scope, failed.name, failed.tally, until, rails.zone)
    subject = breaker_subject(failed.scope, failed.name)
    group.start_soon(tell, failed.tenant, Alarm(subject, "phinops holds writes back", reason))


class KillSwitch:
    """Lets no write leave, from when the store says so until it says otherwise; over restarts too.

    Raises, whatever is asked of it:
        StoreError: it could not be recorded, and nothing has changed.
    """

    def __init__(self, store: Store, brake: Brake, zone: tzinfo) -> None:
        self._store = store
        self._brake = brake
        self._zone = zone

    async def pause(self, by: str, reason: str) -> JsonObject:
        """Pull it; who did, as `told` has it: whoever pulled it first stays the one."""
        self._brake.pull(await self._store.write(lambda tx: pausing.pause(tx, by, reason)))
        log.warning("writes.paused", by=by, reason=reason)
        return self.told() or {}

    async def resume(self, by: str) -> JsonObject | None:
        """Let writes leave again; the pause that is over, as `told` has it, or None when there was none."""
        before = self.told()
        await self._store.write(lambda tx: pausing.resume(tx, by))
        self._brake.release()
        log.warning("writes.resumed", by=by)
        return before

    def told(self) -> JsonObject | None:
        """`{at, by, reason}` while no write leaves, else None."""
        pause = self._brake.pause
        if pause is None:
            return None
        return {"at": pause.at.astimezone(self._zone).isoformat(), "by": pause.by, "reason": pause.reason}
