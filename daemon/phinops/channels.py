"""The notifiers of the config as channels, and the outbox that feeds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from phinops.clock import Clock
from phinops.config import Notifier
from phinops.execute.notify.deliver import Letter
from phinops.execute.notify.dingtalk import DingTalkChannel
from phinops.execute.notify.note import Channel
from phinops.execute.notify.post import Post
from phinops.execute.notify.webhook import WebhookChannel
from phinops.record import journal
from phinops.record.sqlite import Store


def channels_of(notifiers: Mapping[str, Notifier], post: Post, clock: Clock) -> Mapping[str, Channel]:
    """One channel for each notifier of the config, by its name.

    Raises:
        ConfigError: a secret is missing or unreadable.
    """
    return {name: _channel(notifier, post, clock) for name, notifier in notifiers.items()}


def _channel(notifier: Notifier, post: Post, clock: Clock) -> Channel:
    url = notifier.url.reveal()
    secret = notifier.secret.reveal() if notifier.secret else None
    if notifier.type == "dingtalk":
        return DingTalkChannel(url, secret, post, clock)
    return WebhookChannel(url, secret or "", post, clock)


class StoredOutbox:
    """The outbox of the store, as deliveries ask for it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def due(self, notifier: str, now: datetime, limit: int) -> Sequence[Letter]:
        rows = await self._store.read(lambda tx: journal.due_notices(tx, notifier, now, limit))
        return [Letter(row.id, row.notifier, row.payload, row.attempts, row.created_at) for row in rows]

    async def sent(self, id: str) -> None:
        await self._store.write(lambda tx: tx.run("notice_sent", id=id, now=tx.now))

    async def retry(self, id: str, at: datetime, error: str) -> None:
        await self._store.write(lambda tx: tx.run("notice_retry", id=id, at=at, error=error))

    async def dead(self, id: str, error: str) -> None:
        await self._store.write(lambda tx: tx.run("notice_dead", id=id, error=error))
