"""What the sources of a tenant remember, from the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from phinops.event import JsonObject
from phinops.record import seen
from phinops.record.changes import changes
from phinops.record.documents import from_text, to_text
from phinops.record.sqlite import Store
from phinops.record.switches import set_switch, switch


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the sources of one tenant have seen, from the store."""

    store: Store
    tenant: str

    async def seen(self, source: str, ids: Sequence[str]) -> Mapping[str, JsonObject]:
        return await self.store.read(lambda tx: seen.seen(tx, self.tenant, source, ids))

    async def tracked(self, source: str, project: str = "") -> Mapping[str, JsonObject]:
        return await self.store.read(lambda tx: seen.tracked(tx, self.tenant, source, project))

    async def cursor(self, place: str) -> JsonObject | None:
        return await self.store.read(lambda tx: seen.cursor(tx, self.tenant, place))

    async def last_good(self, source: str) -> Mapping[str, datetime]:
        """When each part of the source was last polled."""
        found = await self.store.read(lambda tx: seen.last_good(tx, self.tenant))
        places = (place.partition("/") for place in found)
        return {part: found[name + slash + part] for name, slash, part in places if name == source}

    async def changes(self, source: str) -> Mapping[tuple[str, datetime], int]:
        """How many changes polls of the source found first, by part and hour."""
        return await self.store.read(lambda tx: changes(tx, self.tenant, source))


@dataclass(frozen=True, slots=True)
class KeptProjects:
    """The list of a tenant's projects, kept over restarts: reading it anew takes calls."""

    store: Store
    name: str

    async def load(self) -> JsonObject | None:
        text = await self.store.read(lambda tx: switch(tx, self.name))
        return from_text(text) if text else None

    async def save(self, document: JsonObject) -> None:
        text = to_text(document)
        await self.store.write(lambda tx: set_switch(tx, self.name, text))
