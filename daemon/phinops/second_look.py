"""Once more, some minutes later: whether what was settled by reading was done more often than meant.

A write that was lost on its way may arrive after all, later than anything that was waited for. That cannot be kept from
happening; it is found here, told to people, and never repaired: what was done twice is theirs to judge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Protocol

import structlog

from phinops.clock import Clock
from phinops.errors import ApiError, QuotaSpent, StoreError, StoreLost, Throttled, Transient
from phinops.execute.desk import Alarm
from phinops.execute.settle import Settler
from phinops.execute.steps.kind import Step
from phinops.execute.walk import write_of
from phinops.firing import Intent, Notice
from phinops.pulse import Pulse
from phinops.record import looks
from phinops.record.looks import Due, Likes
from phinops.record.sqlite import Store
from phinops.spending import Spender, spending

log = structlog.get_logger(__name__)

EVERY = 30.0
"""Seconds between two askings of what is due."""

AGAIN = timedelta(minutes=5)
"""When a target that could not be read, or is being written to, is read instead."""

GIVE_UP_AFTER = timedelta(hours=24)
AT_A_TIME = 50


class Notices(Protocol):
    """Tells people of a tenant."""

    def of(self, tenant: str, alarm: Alarm) -> Sequence[Notice]:
        """The notices of an alarm, to be recorded together with the reason for it."""
        ...

    def wake(self) -> None:
        """Some were recorded."""
        ...


class SecondLooks:
    """Looks again at what is due. `settlers` are by tenant."""

    def __init__(
        self,
        store: Store,
        settlers: Mapping[str, Settler],
        steps: Mapping[str, Step],
        clock: Clock,
        pulse: Pulse,
        notices: Notices,
    ) -> None:
        self._store = store
        self._settlers = settlers
        self._steps = steps
        self._clock = clock
        self._pulse = pulse
        self._notices = notices

    async def run(self) -> None:
        """Look after what is due, until cancelled.

        Raises:
            StoreLost: another process has taken the store over.
        """
        while True:
            self._pulse.beat("second looks", EVERY)
            try:
                for due in await self._store.read(lambda tx: looks.due_looks(tx, AT_A_TIME)):
                    self._pulse.beat("second looks", EVERY)
                    with spending(Spender("rules", due.rule, due.intent.firing_id)):
                        await self._look(due)
            except StoreLost:
                raise
            except StoreError as error:
                log.warning("action.unlooked", reason=str(error))
            await self._clock.sleep(EVERY)

    async def _look(self, due: Due) -> None:
        intent = due.intent
        likes = await self._store.read(lambda tx: looks.likes_since(tx, intent.action_id))
        settler, step = self._settlers.get(intent.tenant), self._steps.get(intent.kind)
        if settler is None or step is None:
            await self._close(due, "nobody here can read its target any more")
            return
        if likes.open:
            await self._postpone(intent)
            return
        try:
            effects = await settler.effects(step, write_of(intent), intent)
        except (Throttled, Transient, QuotaSpent) as error:
            await self._unread(due, str(error))
        except ApiError as error:
            await self._close(due, f"its target could not be read: {error}")
        else:
            await self._judge(due, effects, likes)

    async def _judge(self, due: Due, effects: int | None, likes: Likes) -> None:
        if effects is None:
            await self._close(due, "its target does not tell how often it was done")
            return
        found = f"done {_times(effects)}, and meant {_times(likes.done)}"
        excess = effects > likes.done + likes.unknown
        await self._close(due, found, found if excess else "")

    async def _unread(self, due: Due, reason: str) -> None:
        ended = due.intent.t_done or due.intent.t_intent
        if ended and self._clock.now() - ended > GIVE_UP_AFTER:
            await self._close(due, f"its target could not be read: {reason}")
        else:
            await self._postpone(due.intent)

    async def _postpone(self, intent: Intent) -> None:
        at = self._clock.now() + AGAIN
        await self._store.write(lambda tx: looks.postpone(tx, intent.action_id, at))

    async def _close(self, due: Due, found: str, doubled: str = "") -> None:
        intent = due.intent
        notices = self._notices.of(intent.tenant, _alarm(due, doubled)) if doubled else ()
        closed = await self._store.write(lambda tx: looks.close(tx, intent, found, doubled, notices))
        if closed and doubled:
            log.error("action.doubled", action=intent.action_id, target=intent.target_id, found=found)
            self._notices.wake()
        else:
            log.info("action.looked_at", action=intent.action_id, found=found)


def _alarm(due: Due, doubled: str) -> Alarm:
    intent = due.intent
    return Alarm(
        intent.action_id,
        f"{intent.kind} was done too often",
        f"{intent.kind} of {intent.target_id} was {doubled}: a lost write of ours that arrived late, or somebody else. "
        f"Nothing was repaired; look at it in Dataphin. Action {intent.action_id} of rule {due.rule}.",
    )


def _times(number: int) -> str:
    return {0: "not at all", 1: "once", 2: "twice"}.get(number, f"{number} times")
