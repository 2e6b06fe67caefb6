"""Carries notices from the outbox to their channels, at least once.

One task a notifier: a slow one delays nobody else. A notice is tried again with growing pauses until it is taken,
until its channel says that it never will be, or for 24 hours; then it is dead, and said to be.
"""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import anyio
import structlog

from phinops.clock import Clock
from phinops.errors import StoreError
from phinops.event import JsonObject
from phinops.execute.notify.note import Channel, Undelivered, note_from

log = structlog.get_logger(__name__)

LIFE = timedelta(hours=24)
FIRST_PAUSE = 5.0
LONGEST_PAUSE = 3600.0
LOOK_EVERY = 30.0
"""Seconds after which the outbox is looked at even if nobody said that something is in it."""

AT_A_TIME = 50


@dataclass(frozen=True, slots=True)
class Letter:
    """A notice in the outbox. `attempts` counts the tries so far; `payload` is what `note_payload` made."""

    id: str
    notifier: str
    payload: JsonObject
    attempts: int
    created_at: datetime


class Outbox(Protocol):
    """The durable queue of notices. Every method raises `StoreError` when the store does not answer."""

    async def due(self, notifier: str, now: datetime, limit: int) -> Sequence[Letter]:
        """Those that may be tried now, oldest first."""
        ...

    async def sent(self, id: str) -> None:
        """The channel took it: it is over."""
        ...

    async def retry(self, id: str, at: datetime, error: str) -> None:
        """The channel did not take it for the reason `error`; it is due again at `at`."""
        ...

    async def dead(self, id: str, error: str) -> None:
        """It will not be tried again, for the reason `error`."""
        ...


class Deliveries:
    """Delivers for as long as `run` runs. `chance` gives numbers from 0 to 1 for the jitter."""

    def __init__(
        self,
        outbox: Outbox,
        channels: Mapping[str, Channel],
        clock: Clock,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._rounds = {
            name: _Round(name, channel, outbox, clock, chance) for name, channel in sorted(channels.items())
        }

    async def run(self) -> None:
        """Deliver until cancelled. A store that does not answer is asked again; nothing is lost meanwhile."""
        async with anyio.create_task_group() as group:
            for each in self._rounds.values():
                group.start_soon(each.run)

    def wake(self) -> None:
        """Say that the outbox has something new: it is looked at without waiting."""
        for each in self._rounds.values():
            each.wake()


class _Round:
    """The deliveries of one notifier, one after the other."""

    def __init__(self, name: str, channel: Channel, outbox: Outbox, clock: Clock, chance: Callable[[], float]) -> None:
        self._name = name
        self._channel = channel
        self._outbox = outbox
        self._clock = clock
        self._chance = chance
        self._woken = anyio.Event()
        self._again: dict[str, datetime] = {}  # when those that were put back are due
        self._taken: set[str] = set()  # delivered, but the store could not be told yet

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        while True:
            self._woken = anyio.Event()
            try:
                full = await self._deliver_due()
            except StoreError as error:
                log.warning("notice.store", notifier=self._name, reason=str(error))
                full = False
            if not full:
                with anyio.move_on_after(self._clock.real(self._rest())):
                    await self._woken.wait()

    async def _deliver_due(self) -> bool:
        """Try what is due; whether there may be more of it."""
        now = self._clock.now()
        self._again = {id: at for id, at in self._again.items() if at > now}
        letters = await self._outbox.due(self._name, now, AT_A_TIME)
        for letter in letters:
            refusal = await self._try(letter)
            if refusal is None:
                await self._mark_sent(letter)
                continue
            await self._put_back(letter, refusal)
            if refusal.after:
                # The channel asked for rest: the others in line would only be refused as well.
                await self._clock.sleep(min(refusal.after, LONGEST_PAUSE))
        return len(letters) == AT_A_TIME

    async def _try(self, letter: Letter) -> Undelivered | None:
        """Hand the notice to its channel; why it was not taken, or None."""
        if letter.id in self._taken:
            return None
        try:
            await self._channel.send(note_from(letter.payload, id=letter.id, time=letter.created_at))
        except Undelivered as error:
            return error
        except Exception as error:  # noqa: BLE001 - supervisor: a notice that trips its channel must stop nothing else
            place = traceback.extract_tb(error.__traceback__)[-1]
            log.error("notice.bug", notifier=self._name, notice=letter.id, error=type(error).__name__, at=str(place))
            return Undelivered(f"phinops failed to send it ({type(error).__name__})", retry=True)
        self._taken.add(letter.id)
        return None

    async def _mark_sent(self, letter: Letter) -> None:
        await self._outbox.sent(letter.id)
        self._taken.discard(letter.id)
        log.info("notice.sent", notifier=self._name, notice=letter.id, attempts=letter.attempts + 1)

    async def _put_back(self, letter: Letter, refusal: Undelivered) -> None:
        now, end = self._clock.now(), letter.created_at + LIFE
        if not refusal.retry or now >= end:
            reason = refusal.reason if not refusal.retry else f"given up after {LIFE}: {refusal.reason}"
            log.warning("notice.dead", notifier=self._name, notice=letter.id, reason=reason)
            await self._outbox.dead(letter.id, reason)
            return
        at = min(end, now + timedelta(seconds=max(refusal.after or 0.0, self._pause(letter.attempts))))
        log.info("notice.retry", notifier=self._name, notice=letter.id, reason=refusal.reason, at=at.isoformat())
        await self._outbox.retry(letter.id, at, refusal.reason)
        self._again[letter.id] = at

    def _pause(self, attempts: int) -> float:
        """Seconds before the next try: doubling up to a limit, less up to half of it at random."""
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempts, 30))
        return longest * (1.0 - 0.5 * self._chance())

    def _rest(self) -> float:
        now = self._clock.now()
        return max(0.0, min([LOOK_EVERY, *((at - now).total_seconds() for at in self._again.values())]))
