"""Answers requests that come within a moment of each other together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import anyio

from phinops.errors import PhinopsError

MOMENT = 0.02
"""Real seconds that a request waits for company: little beside a call, enough for what is due at the same time."""

Found = TypeVar("Found")


@dataclass(slots=True, eq=False)
class _Batch(Generic[Found]):
    ids: set[str] = field(default_factory=set)
    done: anyio.Event = field(default_factory=anyio.Event)
    found: Mapping[str, Found | PhinopsError] | None = None


class Gather(Generic[Found]):
    """`fetch(group, ids)` is made once for all requests for a group that come within `moment`.

    A request never shares a fetch that began before it: what it gets was read after it asked. The first of a batch
    makes the fetch; when it is cancelled the others begin anew.
    """

    def __init__(
        self,
        fetch: Callable[[str, Collection[str]], Awaitable[Mapping[str, Found | PhinopsError]]],
        moment: float = MOMENT,
    ) -> None:
        self._fetch = fetch
        self._moment = moment
        self._open: dict[str, _Batch[Found]] = {}

    async def ask(self, group: str, ids: Collection[str]) -> Mapping[str, Found]:
        """What was found of `ids`; those that do not exist are left out.

        Raises:
            PhinopsError: why one of `ids` could not be read.
        """
        batch = await self._share(group, ids)
        while batch.found is None:
            batch = await self._share(group, ids)
        return dict(_found_or_raise(batch.found, ids))

    async def _share(self, group: str, ids: Collection[str]) -> _Batch[Found]:
        """A batch that is over; its `found` is None when the one who led it was cancelled."""
        batch = self._open.get(group)
        if batch is not None:
            batch.ids.update(ids)
            await batch.done.wait()
            return batch
        batch = self._open[group] = _Batch(set(ids))
        try:
            await anyio.sleep(self._moment)
            del self._open[group]
            batch.found = await self._fetch(group, tuple(batch.ids))
        finally:
            if self._open.get(group) is batch:
                del self._open[group]
            batch.done.set()
        return batch


def _found_or_raise(found: Mapping[str, Found | PhinopsError], ids: Collection[str]) -> list[tuple[str, Found]]:
    answers = [(each, found[each]) for each in ids if each in found]
    good: list[tuple[str, Found]] = []
    for each, answer in answers:
        if isinstance(answer, PhinopsError):
            raise answer
        good.append((each, answer))
    return good
