"""What of the config holds for every write, whoever asks for it, and who hears when it holds something back."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from phinops.config import Config
from phinops.execute.desk import Alarm, Starter
from phinops.execute.guard import Breakers, Rails, breaker_reason, breaker_subject, open_until
from phinops.record.breakers import Failed


def rails_of(config: Config) -> Rails:
    """The guard-rails of `[safety]`."""
    safety = config.safety
    own = safety.breakers
    return Rails(
        max_writes_per_hour=safety.max_writes_per_hour,
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
