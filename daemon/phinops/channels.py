"""The notifiers of the config as channels, the outbox that feeds them, and what the daemon itself has to tell."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, tzinfo

import anyio
import structlog

from phinops.clock import Clock
from phinops.config import Notifier
from phinops.errors import StoreError
from phinops.event import JsonObject
from phinops.execute.desk import Alarm
from phinops.execute.notify.deliver import Deliveries, Letter, Line
from phinops.execute.notify.mail import Envelope
from phinops.execute.notify.note import Channel
from phinops.execute.notify.pace import Places
from phinops.execute.notify.post import Post
from phinops.execute.notify.robot import Manner
from phinops.execute.notify.table import Wanted, open_channel
from phinops.firing import Notice
from phinops.record import approvals, journal, outbox
from phinops.record.sqlite import Store
from phinops.record.tx import Snapshot, Tx

log = structlog.get_logger(__name__)

TELL_AGAIN = 3600.0
"""Seconds before the same is told again."""


def channels_of(notifiers: Mapping[str, Notifier], post: Post, clock: Clock) -> Mapping[str, Channel]:
    """One channel for each notifier of the config, by its name.

    Raises:
        ConfigError: a secret is missing or unreadable, or not what its type takes.
    """
    return {name: open_channel(each.type, _wanted(each), post, clock) for name, each in notifiers.items()}


def _wanted(notifier: Notifier) -> Wanted:
    secret = notifier.secret.reveal() if notifier.secret else None
    envelope = Envelope(notifier.sender, notifier.to, notifier.username) if notifier.sender else None
    return Wanted(notifier.url.reveal(), secret, Manner(notifier.language, notifier.mentions), envelope)


class StoredOutbox:
    """The outbox of the store, as deliveries ask for it.

    What dies on a notifier that has a fallback goes to that one, as a notice of its own. `fallbacks` are by notifier.
    Links that answer questions lead to `public_url`, if there is one.
    """

    def __init__(self, store: Store, fallbacks: Mapping[str, str] | None = None, public_url: str = "") -> None:
        self._store = store
        self._fallbacks = fallbacks or {}
        self._public_url = public_url

    async def due(self, notifier: str, now: datetime, limit: int) -> Sequence[Letter]:
        def op(tx: Snapshot) -> Sequence[Letter]:
            letters = _letters(outbox.due_notices(tx, notifier, now, limit))
            return [replace(each, payload=self._linked(tx, each.payload)) for each in letters]

        return await self._store.read(op)

    def _linked(self, tx: Snapshot, payload: JsonObject) -> JsonObject:
        """The notice, with the link that answers where it asks for an approval. A link is a key: it is not kept."""
        asked = payload.get("approval")
        found = approvals.approval_of(tx, asked["id"]) if asked and self._public_url else None
        if found is None:
            return payload
        link = f"{self._public_url}/approvals/{found.id}/{approvals.link_code(tx, found)}"
        return {**payload, "links": {**payload["links"], "approval": link}}

    async def merge(self, id: str, others: Sequence[str]) -> None:
        await self._store.write(lambda tx: outbox.merge(tx, id, others))

    async def carried(self, id: str) -> Sequence[Letter]:
        return _letters(await self._store.read(lambda tx: outbox.carried_by(tx, id)))

    async def sent_since(self, notifier: str, since: datetime) -> Sequence[datetime]:
        return await self._store.read(lambda tx: outbox.sent_since(tx, notifier, since))

    async def sent(self, id: str) -> None:
        await self._store.write(lambda tx: tx.run("notice_sent", id=id, now=tx.now))

    async def retry(self, id: str, at: datetime, error: str) -> None:
        await self._store.write(lambda tx: tx.run("notice_retry", id=id, at=at, error=error))

    async def dead(self, id: str, error: str) -> None:
        await self._store.write(lambda tx: outbox.bury(tx, id, error, self._fallbacks))


def _letters(rows: Sequence[outbox.StoredNotice]) -> Sequence[Letter]:
    return [Letter(row.id, row.notifier, row.payload, row.attempts, row.created_at, row.carries) for row in rows]


class Notices:
    """Delivers notices by the notifiers of the config, which a reload may replace.

    Raises:
        ConfigError: a secret is missing or unreadable.
    """

    def __init__(
        self, notifiers: Mapping[str, Notifier], store: Store, post: Post, clock: Clock, public_url: str = ""
    ) -> None:
        self._public_url = public_url
        self._store = store
        self._post = post
        self._clock = clock
        self._told: dict[tuple[str, str], float] = {}
        self._places: dict[str, Places] = {}
        self._replaced = anyio.Event()
        self._deliveries = Deliveries(StoredOutbox(store), {}, clock)
        self.replace(notifiers)

    def replace(self, notifiers: Mapping[str, Notifier]) -> None:
        """Deliver by these from now on.

        Raises:
            ConfigError: a secret is missing or unreadable; nothing has changed.
        """
        channels = channels_of(notifiers, self._post, self._clock)
        ways = {name: self._line(notifiers[name], channel) for name, channel in channels.items()}
        fallbacks = {name: each.fallback for name, each in notifiers.items() if each.fallback}
        self._names = tuple(notifiers)
        unrecorded = self._deliveries.unrecorded
        self._deliveries = Deliveries(StoredOutbox(self._store, fallbacks, self._public_url), ways, self._clock)
        for letter in unrecorded:
            self._deliveries.straight(letter)
        self._replaced.set()

    @property
    def names(self) -> Sequence[str]:
        """All notifiers."""
        return self._names

    def _line(self, notifier: Notifier, channel: Channel) -> Line:
        """Notifiers of one address share its places, and a reload goes on with them."""
        words, pace = Manner(notifier.language).words, channel.form.pace
        if pace is None:
            return Line(channel, None, words)
        # The address is a secret: only its digest is kept as a key.
        key = hashlib.sha256(notifier.url.reveal().encode()).hexdigest()
        places = self._places.setdefault(key, Places(pace, self._clock))
        return Line(channel, places, words)

    def wake(self) -> None:
        """Say that the outbox has something new."""
        self._deliveries.wake()

    async def listed(self, limit: int, zone: tzinfo, *, state: str = "", notifier: str = "") -> list[JsonObject]:
        """The newest notices, newest first, as `phinops notices --json` prints them."""
        return await self._store.read(lambda tx: outbox.list_notices(tx, limit, zone, state=state, notifier=notifier))

    async def send_again(self, by: str, id: str = "") -> list[str]:
        """Try what is dead once more, the one or all; those that are on their way again."""
        found = await self._store.write(lambda tx: outbox.send_again(tx, by, id))
        self.wake()
        return found

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            self._replaced = anyio.Event()
            async with anyio.create_task_group() as group:
                group.start_soon(self._deliveries.run)
                await self._replaced.wait()
                group.cancel_scope.cancel()

    def of(self, tenant: str, alarm: Alarm) -> Sequence[Notice]:
        """The notices of an alarm, one for every notifier, for who records them with what they tell of."""
        payload: JsonObject = {
            "title": f"{alarm.title} ({tenant})",
            "message": alarm.message,
            "severity": "critical",
            "rule": "",
            "firing_id": "",
            "event": {},
            "links": {},
        }
        return [Notice(f"msg_{uuid.uuid4().hex}", name, payload) for name in self._names]

    async def tell(self, tenant: str, alarm: Alarm) -> None:
        """Tell every notifier, about the same thing of a tenant once an hour."""
        now, about = self._clock.monotonic(), (tenant, alarm.about)
        self._told = {each: at for each, at in self._told.items() if now - at < TELL_AGAIN}
        if about in self._told:
            return
        self._told[about] = now
        notices = self.of(tenant, alarm)

        def op(tx: Tx) -> None:
            for each in notices:
                journal.put_notice(tx, each.id, None, 0, each.notifier, each.payload)

        try:
            await self._store.write(op)
        except StoreError as error:
            log.error("notice.unrecorded", about=alarm.about, reason=str(error))
            self.tell_unrecorded(notices)
        self.wake()

    def tell_unrecorded(self, notices: Sequence[Notice]) -> None:
        """Deliver notices that the store could not take. Once it takes one under its id, it is not delivered again."""
        for each in notices:
            self._deliveries.straight(Letter(each.id, each.notifier, each.payload, 0, self._clock.now()))
