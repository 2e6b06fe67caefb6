from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import anyio
import pytest

from phinops import virtual
from phinops.errors import PhinopsError, QuotaSpent
from phinops.execute.gather import Gather


@dataclass(slots=True)
class Shelf:
    """Gives each id in capitals, after `lasts` seconds; not "gone"; "bad" cannot be read. `calls` are the fetches."""

    lasts: float = 1.0
    calls: list[tuple[str, list[str]]] = field(default_factory=list)

    async def fetch(self, group: str, ids: Collection[str]) -> Mapping[str, str | PhinopsError]:
        self.calls.append((group, sorted(ids)))
        await anyio.sleep(self.lasts)
        found: dict[str, str | PhinopsError] = {each: each.upper() for each in ids if each != "gone"}
        return found | {"bad": QuotaSpent("no more")} if "bad" in ids else found


@dataclass(slots=True)
class Answers:
    found: list[Mapping[str, str]] = field(default_factory=list)

    async def ask(self, gather: Gather[str], group: str, *ids: str, after: float = 0.0) -> None:
        await anyio.sleep(after)
        self.found.append(await gather.ask(group, ids))


def test_requests_within_a_moment_share_one_fetch() -> None:
    async def main() -> None:
        shelf, answers = Shelf(), Answers()
        gather = Gather(shelf.fetch, moment=0.1)
        async with anyio.create_task_group() as group:
            group.start_soon(answers.ask, gather, "p", "a", "b")
            group.start_soon(answers.ask, gather, "p", "b", "gone")
            group.start_soon(answers.ask, gather, "q", "a")
        assert shelf.calls == [("p", ["a", "b", "gone"]), ("q", ["a"])]
        assert sorted(map(dict, answers.found), key=str) == [{"a": "A", "b": "B"}, {"a": "A"}, {"b": "B"}]

    virtual.run(main())


def test_a_request_never_shares_a_fetch_that_began_before_it() -> None:
    async def main() -> None:
        shelf, answers = Shelf(), Answers()
        gather = Gather(shelf.fetch, moment=0.1)
        async with anyio.create_task_group() as group:
            group.start_soon(answers.ask, gather, "p", "a")
            group.start_soon(lambda: answers.ask(gather, "p", "a", after=0.5))
        assert shelf.calls == [("p", ["a"]), ("p", ["a"])]

    virtual.run(main())


@pytest.mark.parametrize("cancelled_after", [0.05, 0.5])
def test_the_others_begin_anew_when_the_first_is_cancelled(cancelled_after: float) -> None:
    async def main() -> None:
        shelf, answers = Shelf(), Answers()
        gather = Gather(shelf.fetch, moment=0.1)

        async def first() -> None:
            with anyio.move_on_after(cancelled_after):
                await gather.ask("p", ["a"])

        async with anyio.create_task_group() as group:
            group.start_soon(first)
            group.start_soon(lambda: answers.ask(gather, "p", "b", after=0.01))
            group.start_soon(lambda: answers.ask(gather, "p", "c", after=0.01))
        assert shelf.calls[-1] == ("p", ["b", "c"])
        assert sorted(map(dict, answers.found), key=str) == [{"b": "B"}, {"c": "C"}]

    virtual.run(main())


def test_what_cannot_be_read_is_only_its_own_askers_trouble() -> None:
    async def main() -> None:
        shelf, answers = Shelf(), Answers()
        gather = Gather(shelf.fetch, moment=0.1)

        async def unlucky() -> None:
            with pytest.raises(QuotaSpent):
                await gather.ask("p", ["a", "bad"])

        async with anyio.create_task_group() as group:
            group.start_soon(unlucky)
            group.start_soon(answers.ask, gather, "p", "a")
        assert len(shelf.calls) == 1
        assert answers.found == [{"a": "A"}]

    virtual.run(main())
