"""What several events must make together before a rule fires: so many, one of each, or one that does not come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from phinops.event import JsonObject

Kind = Literal["count", "all", "absent"]


@dataclass(frozen=True, slots=True)
class Pattern:
    """The correlation of a rule.

    `count`: `count` events of the one type in `types`. `all`: one of each of `types`. Both within any span of
    `within`, by the events' own times. `absent`: the first of `types`, and none of the second for `within` from when
    the first was seen.
    """

    kind: Kind
    types: tuple[str, ...]
    within: timedelta
    count: int = 0

    @property
    def opening(self) -> tuple[str, ...]:
        """The types that `if` is asked of: all but the one whose absence is waited for."""
        return self.types[:1] if self.kind == "absent" else self.types

    @property
    def awaited(self) -> str:
        """The type that must not come, or ""."""
        return self.types[1] if self.kind == "absent" else ""

    def to_json(self) -> JsonObject:
        """The pattern as a rule keeps it."""
        return {
            "kind": self.kind,
            "types": list(self.types),
            "within_s": self.within.total_seconds(),
            "count": self.count,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any] | None) -> Pattern | None:
        """The pattern that `to_json` wrote; None for a rule that has none."""
        if not document:
            return None
        within = timedelta(seconds=document["within_s"])
        return cls(document["kind"], tuple(document["types"]), within, document["count"])
