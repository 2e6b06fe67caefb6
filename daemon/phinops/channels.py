"""The notifiers of the config as channels, the outbox that feeds them, and what the daemon itself has to tell."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime

import anyio
import structlog

from phinops.clock import Clock
from phinops.config import Notifier
from phinops.errors import StoreError
from phinops.event import JsonObject
from phinops.execute.desk import Alarm
from phinops.execute.notify.deliver import Deliveries, Letter
from phinops.execute.notify.note import Channel
from phinops.execute.notify.post import Post
from phinops.execute.notify.table import open_channel
from phinops.record import approvals, journal
from phinops.record.sqlite import Store
from phinops.record.tx import Snapshot, Tx

log = structlog.get_logger(__name__)

TELL_AGAIN = 3600.0
"""Seconds before the same is told again."""


def channels_of(notifiers: Mapping[str, Notifier], post: Post, clock: Clock) -> Mapping[str, Channel]:
    """One channel for each notifier of the config, by its name.

    Raises:
        ConfigError: a secret is missing or unreadable.
    """
    return {name: _channel(notifier, post, clock) for name, notifier in notifiers.items()}


def _channel(notifier: Notifier, post: Post, clock: Clock) -> Channel:
    secret = notifier.secret.reveal() if notifier.secret else None
    return open_channel(notifier.type, notifier.url.reveal(), secret, post, clock)


class StoredOutbox:
    """The outbox of the store, as deliveries ask for it. Links that answer lead to `public_url`, if there is one."""

    def __init__(self, store: Store, public_url: str = "") -> None:
        self._store = store
        self._public_url = public_url

    async def due(self, notifier: str, now: datetime, limit: int) -> Sequence[Letter]:
        def op(tx: Snapshot) -> Sequence[Letter]:
            return [
                Letter(row.id, row.notifier, self._linked(tx, row.payload), row.attempts, row.created_at)
                for row in journal.due_notices(tx, notifier, now, limit)
            ]

        return await self._store.read(op)

    def _linked(self, tx: Snapshot, payload: JsonObject) -> JsonObject:
        """The notice, with the link that answers where it asks for an approval. A link is a key: it is not kept."""
        asked = payload.get("approval")
        found = approvals.approval_of(tx, asked["id"]) if asked and self._public_url else None
        if found is None:
            return payload
        link = f"{self._public_url}/approvals/{found.id}/{approvals.link_code(tx, found)}"
        return {**payload, "links": {**payload["links"], "answer": link}}

    async def sent(self, id: str) -> None:
        await self._store.write(lambda tx: tx.run("notice_sent", id=id, now=tx.now))

    async def retry(self, id: str, at: datetime, error: str) -> None:
        await self._store.write(lambda tx: tx.run("notice_retry", id=id, at=at, error=error))

    async def dead(self, id: str, error: str) -> None:
        await self._store.write(lambda tx: tx.run("notice_dead", id=id, error=error))


class Notices:
    """Delivers notices by the notifiers of the config, which a reload may replace.

    Raises:
        ConfigError: a secret is missing or unreadable.
    """

    def __init__(
        self, notifiers: Mapping[str, Notifier], store: Store, post: Post, clock: Clock, public_url: str = ""
    ) -> None:
        self._outbox = StoredOutbox(store, public_url)
        self._store = store
        self._post = post
        self._clock = clock
        self._told: dict[tuple[str, str], float] = {}
        self._replaced = anyio.Event()
        self.replace(notifiers)

    def replace(self, notifiers: Mapping[str, Notifier]) -> None:
        """Deliver by these from now on.

        Raises:
            ConfigError: a secret is missing or unreadable; nothing has changed.
        """
        channels = channels_of(notifiers, self._post, self._clock)
        self._names = tuple(notifiers)
        self._deliveries = Deliveries(self._outbox, channels, self._clock)
        self._replaced.set()

    @property
    def names(self) -> Sequence[str]:
        """All notifiers."""
        return self._names

    def wake(self) -> None:
        """Say that the outbox has something new."""
        self._deliveries.wake()

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            self._replaced = anyio.Event()
            async with anyio.create_task_group() as group:
                group.start_soon(self._deliveries.run)
                await self._replaced.wait()
                group.cancel_scope.cancel()

    async def tell(self, tenant: str, alarm: Alarm) -> None:
        """Tell every notifier, about the same thing of a tenant once an hour."""
        now, about = self._clock.monotonic(), (tenant, alarm.about)
        self._told = {each: at for each, at in self._told.items() if now - at < TELL_AGAIN}
        if about in self._told:
            return
        self._told[about] = now
        payload: JsonObject = {
            "title": f"{alarm.title} ({tenant})",
            "message": alarm.message,
            "severity": "critical",
            "rule": "",
            "firing_id": "",
            "event": {},
            "links": {},
        }
        names = self._names

        def op(tx: Tx) -> None:
            for name in names:
                journal.put_notice(tx, f"msg_{uuid.uuid4().hex}", None, 0, name, payload)

        try:
            await self._store.write(op)
        except StoreError as error:
            log.error("notice.unrecorded", reason=str(error))
            self._told.pop(about, None)  # the next one tells it
        self.wake()
