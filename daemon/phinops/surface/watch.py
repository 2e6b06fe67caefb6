"""What happens in a daemon, line by line, for a person who looks on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import anyio

from phinops.event import JsonObject
from phinops.surface.words import what_of

_LOOK_EVERY_S = 0.2
_AT_ONCE = 500


class Watched(Protocol):
    """The lists of the daemon that are looked at."""

    async def events(self, limit: int) -> list[JsonObject]:
        """The newest events, newest first."""
        ...

    async def firings(self, limit: int) -> list[JsonObject]:
        """The newest firings, newest first."""
        ...

    async def actions(self, limit: int) -> list[JsonObject]:
        """The newest actions, newest first."""
        ...


@dataclass(frozen=True, slots=True)
class Sight:
    """One thing that happened: when, what kind, in which state, and what it is about."""

    time: str
    kind: Literal["event", "rule", "action"]
    name: str
    state: str
    about: str


class Watch:
    """Looks at the lists again and again, and gives what is new or has changed, oldest first."""

    def __init__(self, service: Watched) -> None:
        self._service = service
        self._seen: dict[str, str] = {}
        self._words: dict[str, str] = {}  # what each event, and each instance or node, is called

    async def sights(self) -> AsyncGenerator[Sight]:
        """What happens from now on. Ends by cancellation."""
        while True:
            for sight in await self.look():
                yield sight
            await anyio.sleep(_LOOK_EVERY_S)

    async def look(self) -> list[Sight]:
        """What is new or has changed since the last look."""
        events = [(row, self._event(row)) for row in reversed(await self._service.events(_AT_ONCE))]
        firings = [(row, self._firing(row)) for row in reversed(await self._service.firings(_AT_ONCE))]
        actions = [(row, self._action(row)) for row in reversed(await self._service.actions(_AT_ONCE))]
        return [sight for row, sight in (*events, *firings, *actions) if self._is_news(row["id"], sight)]

    def _is_news(self, id: str, sight: Sight) -> bool:
        known = self._seen.get(id)
        self._seen[id] = sight.state
        return known != sight.state

    def _event(self, row: Mapping[str, Any]) -> Sight:
        words = self._words[row["id"]] = what_of(row)
        node = row.get("node") or {}
        for part in (node, row.get("instance") or {}):
            self._words[part.get("id") or ""] = node.get("name") or ""
        return Sight(row["time"], "event", row["type"], "", words)

    def _firing(self, row: Mapping[str, Any]) -> Sight:
        about = self._words.get(row["event_id"]) or ""
        return Sight(row["time"], "rule", row["rule"], row["state"], f"{about} {row['reason'] or ''}".strip())

    def _action(self, row: Mapping[str, Any]) -> Sight:
        target = row["target"] or row["api"]
        about = f"{self._words.get(target) or ''} {target}".strip()
        return Sight(row["time"], "action", row["step"], row["outcome"] or "under way", about)
