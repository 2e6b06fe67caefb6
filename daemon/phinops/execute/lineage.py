"""How many nodes hang below a target: asked of Dataphin once for a node, however many of its instances fail."""

from __future__ import annotations

from typing import Protocol

from phinops.clock import Clock
from phinops.event import Event
from phinops.execute.cached import Cached
from phinops.execute.steps.kind import Target

KEPT = 600.0
"""Seconds for which the answer is taken to hold: lineage changes when somebody publishes a node."""


class Downstream(Protocol):
    """Counts what a write would reach."""

    async def downstream(self, target: Target) -> int:
        """How many nodes hang below the target, by one call that is not cached."""
        ...


class Lineage:
    """The lineage of one tenant, as `look` reads it."""

    def __init__(self, look: Downstream, clock: Clock) -> None:
        self._look = look
        self._below: Cached[int] = Cached(clock, KEPT)

    async def below(self, target: Target, event: Event | None = None) -> int:
        """How many nodes hang below the target; instances of the event's node are asked for as one.

        Raises:
            BadStep: the target is neither an instance nor a node, or is not known.
            ApiError, QuotaSpent: it could not be read.
        """
        return await self._below.get(_known_as(target, event), lambda: self._look.downstream(target))


def _known_as(target: Target, event: Event | None) -> tuple[str, str]:
    instance, node = (event.instance, event.node) if event else (None, None)
    if target.kind == "instance" and instance and instance.id == target.id and node and node.id:
        return "instances of", node.id
    return target.kind, target.id
