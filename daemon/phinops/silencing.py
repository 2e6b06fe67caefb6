"""What persons ask of silences: to begin, to list, to end them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta, tzinfo

import structlog

from phinops.clock import Clock
from phinops.event import JsonObject
from phinops.record import silences
from phinops.record.sqlite import Store
from phinops.silence import PARTS, Silence

log = structlog.get_logger(__name__)

LONGEST = timedelta(days=366)
"""For how long something may be silenced at most: what nobody ends is forgotten."""

TEXT = 500
"""Characters of a reason, or of a part."""


class Silences:
    """The silences of one store; every method raises StoreError when the store does not work."""

    def __init__(self, store: Store, clock: Clock, zone: tzinfo) -> None:
        self._store = store
        self._clock = clock
        self._zone = zone

    async def add(self, parts: Mapping[str, str], ends: datetime, *, author: str, reason: str) -> JsonObject:
        """Silence from now on. `parts` are some of PARTS, and `tenant`.

        Raises:
            ValueError: nothing says what, the end is past or too far, or author or reason is missing.
        """
        now = self._clock.now()
        _check(parts, ends - now, author, reason)
        silence = Silence(f"si_{uuid.uuid4().hex[:20]}", now, ends, author, reason, **parts)
        await self._store.write(lambda tx: silences.put_silence(tx, silence))
        log.info("silence.added", silence=silence.id, by=author, ends=ends.isoformat())
        return silence.to_json(self._zone)

    async def end(self, silence_id: str, *, by: str) -> bool:
        """End it now; False when there is none of that id that is not over yet."""
        ended = await self._store.write(lambda tx: silences.end_silence(tx, silence_id, by))
        if ended:
            log.info("silence.ended", silence=silence_id, by=by)
        return ended

    async def listed(self, limit: int, *, ended: bool = False) -> list[JsonObject]:
        """The newest first; with `ended` also those that are over."""
        now = self._clock.now()
        found = await self._store.read(lambda tx: silences.list_silences(tx, limit, now, ended=ended))
        return [each.to_json(self._zone) for each in found]


def _check(parts: Mapping[str, str], left: timedelta, author: str, reason: str) -> None:
    unknown = sorted(parts.keys() - {*PARTS, "tenant"})
    if unknown:
        raise ValueError(f"a silence is narrowed by {', '.join(PARTS)} or tenant, and not by {', '.join(unknown)}")
    if not any(parts.get(part) for part in PARTS):
        raise ValueError(f"say what is to be silenced: one of {', '.join(PARTS)}; «*» as the rule is all of them")
    if not author.strip() or not reason.strip():
        raise ValueError("a silence needs an author and a reason")
    if any(len(text) > TEXT for text in (author, reason, *parts.values())):
        raise ValueError(f"no text of a silence may have more than {TEXT} characters")
    if left <= timedelta():
        raise ValueError("the end of a silence must lie ahead")
    if left > LONGEST:
        raise ValueError(f"a silence ends within {LONGEST.days} days")
