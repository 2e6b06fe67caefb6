"""Carries notices from the outbox to their channels, at least once.

One task a notifier: a slow one delays nobody else. A notice is tried again with growing pauses until it is taken,
until its channel says that it never will be, or for 24 hours; then it is dead, and said to be.

A store that cannot be written stops none of them: what was sent and could not be marked is not sent again by this
process, and what could not even be recorded is handed over straight and kept in memory until it is taken.

Where a channel takes few messages and many notices wait, they are told together: which ones is recorded before the
message leaves, so that it is the same message when it must be sent again.
"""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

import anyio
import structlog

from phinops.clock import Clock
from phinops.errors import StoreError
from phinops.event import JsonObject
from phinops.execute.notify.digest import digest, fitting
from phinops.execute.notify.note import Channel, Note, Undelivered, note_from
from phinops.execute.notify.pace import Places
from phinops.execute.notify.wording import WORDINGS, Wording

log = structlog.get_logger(__name__)

LIFE = timedelta(hours=24)
FIRST_PAUSE = 5.0
LONGEST_PAUSE = 3600.0
LOOK_EVERY = 30.0
"""Seconds after which the outbox is looked at even if nobody said that something is in it."""

AT_A_TIME = 200

PRESSURE = 10.0
"""Seconds that the last of those that wait may have to wait for; beyond them they are told together."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A notice in the outbox. `attempts` counts the tries so far; `payload` is what `note_payload` made.

    `carries`: it was once sent together with others, and is again.
    """

    id: str
    notifier: str
    payload: JsonObject
    attempts: int
    created_at: datetime
    carries: bool = False

    @property
    def asks(self) -> bool:
        """Whether it asks people something: then it is a message of its own."""
        return "approval" in self.payload

    @property
    def note(self) -> Note:
        """What it says."""
        return note_from(self.payload, id=self.id, time=self.created_at)


class Outbox(Protocol):
    """The durable queue of notices. Every method raises `StoreError` when the store does not answer."""

    async def due(self, notifier: str, now: datetime, limit: int) -> Sequence[Letter]:
        """Those that may be tried now, oldest first."""
        ...

    async def merge(self, id: str, others: Sequence[str]) -> None:
        """From now on `id` carries the others: what becomes of it becomes of them."""
        ...

    async def carried(self, id: str) -> Sequence[Letter]:
        """Those that `id` carries, oldest first."""
        ...

    async def sent_since(self, notifier: str, since: datetime) -> Sequence[datetime]:
        """When the messages left that the channel took since then."""
        ...

    async def sent(self, id: str) -> None:
        """The channel took it: it is over."""
        ...

    async def retry(self, id: str, at: datetime, error: str) -> None:
        """The channel did not take it for the reason `error`; it is due again at `at`."""
        ...

    async def dead(self, id: str, error: str) -> None:
        """It will not be tried again, nor what it carries, for the reason `error`."""
        ...


@dataclass(frozen=True, slots=True)
class Line:
    """The way to one notifier: its channel, the places of its address, and the words of its digests."""

    channel: Channel
    places: Places | None = None
    words: Wording = WORDINGS["en"]


class Deliveries:
    """Delivers for as long as `run` runs. `chance` gives numbers from 0 to 1 for the jitter."""

    def __init__(
        self,
        outbox: Outbox,
        ways: Mapping[str, Line],
        clock: Clock,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._rounds = {
            name: _Round(name, line, outbox, clock, chance, self.wake) for name, line in sorted(ways.items())
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

    def straight(self, letter: Letter) -> None:
        """Deliver a notice that the outbox could not take. If it gets there later by its id, it is not sent again."""
        if letter.notifier in self._rounds:
            self._rounds[letter.notifier].straight(letter)

    @property
    def unrecorded(self) -> Sequence[Letter]:
        """Those of `straight` that no channel has taken yet."""
        return [letter for each in self._rounds.values() for letter in each.unrecorded.values()]


class _Round:
    """The deliveries of one notifier, one after the other."""

    def __init__(
        self,
        name: str,
        line: Line,
        outbox: Outbox,
        clock: Clock,
        chance: Callable[[], float],
        tell: Callable[[], None],
    ) -> None:
        self._tell = tell
        self._name = name
        self._line = line
        self._outbox = outbox
        self._clock = clock
        self._chance = chance
        self._woken = anyio.Event()
        self._primed = line.places is None
        self._again: dict[str, datetime] = {}  # when those that were put back are due
        self._taken: set[str] = set()  # delivered, but the store could not be told yet
        self.unrecorded: dict[str, Letter] = {}
        self._hindered = False  # the store could not be told something in this round

    def wake(self) -> None:
        self._woken.set()

    def straight(self, letter: Letter) -> None:
        if letter.id not in self._taken:
            self.unrecorded.setdefault(letter.id, letter)
        self.wake()

    async def run(self) -> None:
        while True:
            self._woken = anyio.Event()
            try:
                more = await self._deliver_due()
            except StoreError as error:
                log.warning("notice.store", notifier=self._name, reason=str(error))
                more = False
            if not more:
                with anyio.move_on_after(self._clock.real(self._rest())):
                    await self._woken.wait()

    async def _deliver_due(self) -> bool:
        """Try what is due; whether there may be more of it."""
        now = self._clock.now()
        self._again = {id: at for id, at in self._again.items() if at > now}
        self._hindered = False
        await self._deliver_unrecorded()
        await self._prime()
        letters = await self._due()
        if self._is_much(len(letters)):
            await self._turn()
            # Others may have come while it waited for its turn.
            letters = await self._due()
            if letters:
                await self._deliver(*await self._together(letters))
            return True
        for letter in letters:
            await self._turn()
            await self._deliver(letter, await self._note(letter))
        return len(letters) >= AT_A_TIME

    async def _due(self) -> Sequence[Letter]:
        """What may be tried now. The store may not know yet of what was sent or put back: it is told of the former."""
        unmarked = len(self._taken) + len(self._again)
        letters = await self._outbox.due(self._name, self._clock.now(), AT_A_TIME + unmarked)
        over = {letter.id for letter in letters if letter.id in self._taken}
        for letter in letters:
            if letter.id in over:
                await self._mark_sent(letter)
        return [letter for letter in letters if letter.id not in over and letter.id not in self._again]

    async def _deliver_unrecorded(self) -> None:
        for letter in list(self.unrecorded.values()):
            if letter.id in self._again:
                continue
            await self._turn()
            refusal = await self._try(letter, letter.note)
            now = self._clock.now()
            if refusal is None or not refusal.retry or now >= letter.created_at + LIFE:
                del self.unrecorded[letter.id]
                reason = refusal.reason if refusal else ""
                log.info("notice.unrecorded_over", notifier=self._name, notice=letter.id, refused=reason)
            else:
                self.unrecorded[letter.id] = replace(letter, attempts=letter.attempts + 1)
                self._again[letter.id] = now + timedelta(
                    seconds=max(refusal.after or 0.0, self._pause(letter.attempts))
                )

    async def _prime(self) -> None:
        """What an earlier process sent counts as well."""
        pace, places = self._line.channel.form.pace, self._line.places
        if self._primed or pace is None or places is None:
            return
        now = self._clock.now()
        times = await self._outbox.sent_since(self._name, now - timedelta(seconds=pace.per))
        places.used_before((now - at).total_seconds() for at in times)
        self._primed = True

    def _is_much(self, count: int) -> bool:
        return self._line.places is not None and count > 1 and self._line.places.backlog(count) > PRESSURE

    async def _turn(self) -> None:
        places = self._line.places
        while places is not None and (wait := places.wait()) > 0:
            await self._clock.sleep(wait)

    async def _together(self, letters: Sequence[Letter]) -> tuple[Letter, Note]:
        """The first letter, and what it says of as many as one message holds."""
        first = letters[0]
        if first.carries or first.asks:
            return first, await self._note(first)
        alone = [letter for letter in letters if not (letter.carries or letter.asks)]
        notes = [letter.note for letter in alone]
        count = fitting(notes, self._line.channel.form.room, self._line.words)
        try:
            if count > 1:
                await self._outbox.merge(first.id, [letter.id for letter in alone[1:count]])
        except StoreError as error:
            # Which ones it tells could not be recorded: better one after the other than none of them.
            self._hinder(error)
            return first, first.note
        return first, digest(notes[:count], self._line.words)

    async def _note(self, letter: Letter) -> Note:
        if not letter.carries:
            return letter.note
        others = await self._outbox.carried(letter.id)
        return digest([letter.note, *(other.note for other in others)], self._line.words)

    async def _deliver(self, letter: Letter, note: Note) -> None:
        refusal = await self._try(letter, note)
        if refusal is None:
            await self._mark_sent(letter)
            return
        await self._put_back(letter, refusal)
        if refusal.after:
            # The channel asked for rest: the others in line would only be refused as well.
            await self._clock.sleep(min(refusal.after, LONGEST_PAUSE))

    async def _try(self, letter: Letter, note: Note) -> Undelivered | None:
        """Hand the notice to its channel; why it was not taken, or None."""
        if letter.id in self._taken:
            return None
        places = self._line.places
        if places:
            places.take()
        try:
            await self._line.channel.send(note)
        except Undelivered as error:
            return error
        except Exception as error:  # noqa: BLE001 - supervisor: a notice that trips its channel must stop nothing else
            place = traceback.extract_tb(error.__traceback__)[-1]
            log.error("notice.bug", notifier=self._name, notice=letter.id, error=type(error).__name__, at=str(place))
            return Undelivered(f"phinops failed to send it ({type(error).__name__})", retry=True)
        finally:
            if places:
                places.give_back()
        self._taken.add(letter.id)
        return None

    async def _mark_sent(self, letter: Letter) -> None:
        try:
            await self._outbox.sent(letter.id)
        except StoreError as error:
            self._hinder(error)
            return
        self._taken.discard(letter.id)
        log.info("notice.sent", notifier=self._name, notice=letter.id, attempts=letter.attempts + 1)

    async def _put_back(self, letter: Letter, refusal: Undelivered) -> None:
        now, end = self._clock.now(), letter.created_at + LIFE
        if not refusal.retry or now >= end:
            reason = refusal.reason if not refusal.retry else f"given up after {LIFE}: {refusal.reason}"
            log.warning("notice.dead", notifier=self._name, notice=letter.id, reason=reason)
            await self._outbox.dead(letter.id, reason)
            self._tell()  # another notifier may have it now
            return
        at = min(end, now + timedelta(seconds=max(refusal.after or 0.0, self._pause(letter.attempts))))
        log.info("notice.retry", notifier=self._name, notice=letter.id, reason=refusal.reason, at=at.isoformat())
        self._again[letter.id] = at
        try:
            await self._outbox.retry(letter.id, at, refusal.reason)
        except StoreError as error:
            self._hinder(error)

    def _hinder(self, error: StoreError) -> None:
        """The store does not know of it yet; the others need not wait for that."""
        if not self._hindered:
            log.warning("notice.store", notifier=self._name, reason=str(error))
        self._hindered = True

    def _pause(self, attempts: int) -> float:
        """Seconds before the next try: doubling up to a limit, less up to half of it at random."""
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempts, 30))
        return longest * (1.0 - 0.5 * self._chance())

    def _rest(self) -> float:
        now = self._clock.now()
        return max(0.0, min([LOOK_EVERY, *((at - now).total_seconds() for at in self._again.values())]))
