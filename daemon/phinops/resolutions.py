"""Deciding by hand what became of a write: what was known of its target, how that looks now, and what a person says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import structlog

from phinops.errors import ApiError, PhinopsError, QuotaSpent
from phinops.event import Event, JsonObject
from phinops.execute.carry import Hands
from phinops.execute.steps.kind import Step
from phinops.execute.walk import write_of
from phinops.firing import Firing
from phinops.record import resolving
from phinops.record.resolving import Answer
from phinops.record.sqlite import Store
from phinops.spending import Spender, spending

log = structlog.get_logger(__name__)


class NotUnknown(PhinopsError):
    """What became of the write is known, or somebody has said so already."""


class Resolutions:
    """Tells of writes, and takes what persons say of them. `begin` lets a firing go on that is open again."""

    def __init__(
        self,
        store: Store,
        hands: Mapping[str, Hands],
        steps: Mapping[str, Step],
        begin: Callable[[Firing, Event], None],
    ) -> None:
        self._store = store
        self._hands = hands
        self._steps = steps
        self._begin = begin

    async def look(self, action_id: str) -> JsonObject | None:
        """What `resolving.told` says of an attempt, with `request`, `before` and, if it is of unknown fate, how its
        target looks `now` and whether reading it finds the write `applied`, `absent` or `unclear`; None: there is none.

        Raises:
            StoreError: the store cannot be read.
        """
        found = await self._store.read(lambda tx: resolving.known(tx, action_id))
        if found is None:
            return None
        intent = found.intent
        about = {**resolving.told(found), "request": intent.request["params"], "before": intent.probe}
        if intent.state != "unknown":
            return about
        with spending(Spender("operator")):
            return {**about, **await self._now(found)}

    async def _now(self, found: resolving.Known) -> dict[str, Any]:
        """How the target looks, as far as it can be read."""
        intent = found.intent
        hands, step = self._hands.get(intent.tenant), self._steps.get(intent.kind)
        if hands is None or step is None:
            return {"now": {}, "found": "unclear"}
        try:
            now = await step.baseline(hands.look, write_of(intent), None)
            return {"now": now, "found": await step.probe(hands.look, write_of(intent), intent.probe)}
        except (ApiError, QuotaSpent) as error:
            return {"now": {}, "found": "unclear", "unread": str(error)}

    async def resolve(
        self, action_id: str, answer: Answer, by: str, reason: str, *, begin: bool = True
    ) -> JsonObject | None:
        """Record what `by` says of a write, and let what waited for it go on; None: there is no such attempt.

        Without `begin` what is open again waits for the next start of the daemon.

        Raises:
            NotUnknown: it does not have to be decided.
            StoreError: it could not be recorded.
        """
        found = await self._store.write(lambda tx: resolving.resolve(tx, action_id, answer, by, reason))
        if found is None:
            there = await self._store.read(lambda tx: resolving.known(tx, action_id))
            if there is None:
                return None
            what = there.intent.outcome or there.intent.state
            raise NotUnknown(f"{action_id} is «{what}»: only what is unknown has to be decided")
        log.info("action.resolved", action=action_id, answer=answer, by=by, reason=reason)
        if begin and found.event is not None and found.firing.ended_at is None and found.firing.tenant in self._hands:
            self._begin(found.firing, found.event)
        return resolving.told(found)
