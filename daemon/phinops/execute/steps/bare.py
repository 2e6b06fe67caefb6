"""What steps have in common that nothing in Dataphin shows the end of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from phinops.errors import Refused
from phinops.event import Event, JsonObject
from phinops.execute.steps.kind import (
    REFUSED,
    WANTED,
    ItemAnswer,
    Look,
    Path,
    Probe,
    Progress,
    Reverse,
    Setting,
    Standing,
    Target,
    Write,
)

NOWHERE = Target("", "")
INSIDE = Reverse(why="it changes nothing in Dataphin")


@dataclass(frozen=True, slots=True)
class BareStep:
    """A step with parameters, and with nothing in Dataphin that could be read back or verified; nor called, unless it
    says otherwise.
    """

    name: str
    params: type[BaseModel]
    scalar: str = ""
    target: Literal["instance", "node"] | None = None
    beside: frozenset[str] = frozenset()
    conditions: frozenset[str] = frozenset()
    probe_key: str = ""
    verifiable: bool = False
    idempotent: bool = False
    reverse: Reverse = INSIDE
    repeatable: frozenset[str] = REFUSED
    countable: bool = False

    def writes(self, params: Any) -> bool:
        return False

    def apis(self, params: Any) -> tuple[str, ...]:
        return ()

    def problems(self, params: Any, setting: Setting) -> list[tuple[Path, str]]:
        return []

    async def write(self, params: Any, event: Event, look: Look) -> Write:
        raise ValueError(f"{self.name} is no call")

    def marked(self, write: Write, mark: str) -> Write:
        return write

    def merge(self, writes: Sequence[Write]) -> JsonObject:
        raise ValueError(f"{self.name} is no call")

    def items(self, body: Mapping[str, Any], ids: Sequence[str]) -> Mapping[str, ItemAnswer]:
        return {}

    def result(self, body: Mapping[str, Any]) -> JsonObject:
        return {}

    def met(self, error: Refused) -> bool:
        return False

    async def baseline(self, look: Look, write: Write, event: Event | None) -> JsonObject:
        return {}

    def standing(self, write: Write, decided: Mapping[str, Any], now: Mapping[str, Any]) -> Standing:
        return WANTED

    async def probe(self, look: Look, write: Write, baseline: Mapping[str, Any]) -> Probe:
        return "unclear"

    async def progress(self, look: Look, write: Write, baseline: Mapping[str, Any]) -> Progress:
        return "pending"

    async def effects(self, look: Look, write: Write, baseline: Mapping[str, Any]) -> int | None:
        return None


def bare_write(name: str, params: BaseModel, target: Target = NOWHERE) -> Write:
    """What the journal keeps of such a step: its parameters as they were given."""
    return Write(name, "", target, params.model_dump(mode="json", by_alias=True, exclude_none=True))
