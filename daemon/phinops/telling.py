"""What the store alone can tell people: what was seen, decided and done, and why."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from phinops.decide.language import Language
from phinops.event import JsonObject
from phinops.record import journal, leases, lists
from phinops.record.audit import Wanted, audit_page
from phinops.record.recorded import page
from phinops.record.sqlite import Store
from phinops.why import gather, why


class Telling:
    """Tells what a store has, times in `zone`. Every method raises StoreError when the store cannot be read."""

    def __init__(self, store: Store, language: Language, zone: ZoneInfo) -> None:
        self._store = store
        self._language = language
        self._zone = zone

    @property
    def zone(self) -> ZoneInfo:
        """In which times are told."""
        return self._zone

    async def counts(self) -> JsonObject:
        """Totals of the store: events, firings, actions by outcome, notices by state."""
        return await self._store.read(journal.counts)

    async def events(self, limit: int, tenant: str = "") -> list[JsonObject]:
        """The newest events, newest first."""
        return await self._store.read(lambda tx: lists.list_events(tx, limit, tenant))

    async def firings(self, limit: int, tenant: str = "") -> list[JsonObject]:
        """The newest decisions, newest first."""
        return await self._store.read(lambda tx: lists.list_firings(tx, limit, tenant, self._zone))

    async def actions(self, limit: int, tenant: str = "") -> list[JsonObject]:
        """The newest actions, newest first."""
        return await self._store.read(lambda tx: lists.list_actions(tx, limit, tenant, self._zone))

    async def leases(self, limit: int, tenant: str = "") -> list[JsonObject]:
        """The newest leases of pauses, newest first."""
        return await self._store.read(lambda tx: leases.list_leases(tx, limit, tenant, self._zone))

    async def recorded(self, tenant: str, since: datetime, after: int, limit: int) -> JsonObject:
        """A page of the events of a tenant with what was decided on them, as `record.recorded.page` tells it."""
        return await self._store.read(lambda tx: page(tx, tenant, since, after, limit))

    async def audit(self, wanted: Wanted, after: int, limit: int) -> JsonObject:
        """A page of the audit, oldest first, as `record.audit.audit_page` tells it."""
        return await self._store.read(lambda tx: audit_page(tx, wanted, after, limit, self._zone))

    async def backup(self) -> str:
        """Make a copy of the store as it is now; the path of its file, which whoever asked deletes.

        Raises:
            StoreError: there is no room for it, or the store is damaged.
        """
        return await self._store.copy()

    async def explain(self, name: str, rule: str = "") -> list[JsonObject] | None:
        """Why each rule did what it did about an event, named by its id or a firing's; None: it is not on record."""
        record = await self._store.read(lambda tx: gather(tx, name, self._zone))
        return why(self._language, record, rule, zone=self._zone) if record else None
