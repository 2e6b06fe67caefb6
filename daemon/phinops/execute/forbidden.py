"""APIs that are closed to the writes of rules for a while, since Dataphin answered that one is forbidden.

A right that is missing now is still missing for the next write: an hour of them would only spend quota and fill
somebody's audit log. After it one write goes out as the probe. Kept in memory: a new process asks once more.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

import structlog

from phinops.clock import Clock
from phinops.errors import Forbidden, Refused, Transient

log = structlog.get_logger(__name__)

CLOSED_FOR = timedelta(hours=1)


@dataclass(slots=True)
class _Closure:
    """`until` is on the clock's monotonic seconds; `probe` is whoever asks Dataphin again now."""

    until: float
    reason: str
    probe: object | None = None


class ForbiddenApis:
    """The closed APIs of one tenant. Times in texts are in `zone`."""

    def __init__(self, clock: Clock, zone: tzinfo = UTC) -> None:
        self._clock = clock
        self._zone = zone
        self._closed: dict[str, _Closure] = {}

    def check(self, api: str) -> None:
        """Raises Refused while the API is closed; the reason names until when, and what Dataphin said."""
        closure = self._closed.get(api)
        if closure and self._clock.monotonic() < closure.until:
            raise Refused(api, "phinops.Closed", closure.reason)

    def claim(self, api: str, asker: object) -> None:
        """Let this write leave, as the probe where the hour is over. `release` must follow.

        Raises:
            Refused: as `check`.
            Transient: another write is the probe just now.
        """
        self.check(api)
        closure = self._closed.get(api)
        if closure is None:
            return
        if closure.probe is not None:
            raise Transient(api, "phinops.Probing", "a write finds out whether it is still forbidden")
        closure.probe = asker

    def release(self, api: str, asker: object) -> None:
        """The write is over, whatever became of it."""
        closure = self._closed.get(api)
        if closure and closure.probe is asker:
            closure.probe = None

    def forbid(self, error: Forbidden) -> str | None:
        """Dataphin forbade a write: its API is closed from now on. Why, or None when it was closed already."""
        now = self._clock.monotonic()
        closure = self._closed.get(error.api)
        if closure and now < closure.until:
            return None
        until = (self._clock.now() + CLOSED_FOR).astimezone(self._zone)
        reason = f"no rule's write until {_text(until)}, since Dataphin forbade one: {error}"
        self._closed[error.api] = _Closure(now + CLOSED_FOR.total_seconds(), reason)
        log.warning("api.closed", api=error.api, until=until.isoformat(timespec="seconds"), reason=str(error))
        return reason

    def succeeded(self, api: str, asker: object) -> None:
        """The write was answered well: if it was the probe, the API is open. One that left before tells nothing."""
        closure = self._closed.get(api)
        if closure and closure.probe is asker:
            self.open(api)

    def open(self, api: str) -> None:
        """Somebody knows that the right is there."""
        if self._closed.pop(api, None):
            log.info("api.opened", api=api)


def _text(when: datetime) -> str:
    return when.isoformat(sep=" ", timespec="seconds")
