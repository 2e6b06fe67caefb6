from __future__ import annotations

import asyncio
import os
import tempfile
from collections import Counter
from datetime import date, timedelta
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phinops.record.ledger import StoreLedger
from phinops.record.sqlite import Store
from records import LONG

DAY = date(2026, 1, 5)

Move = tuple[Literal["lease", "give_back", "restart"], str, date, int, int]

moves = st.tuples(
    st.sampled_from(["lease", "lease", "give_back", "restart"]),
    st.sampled_from(["main", "other"]),
    st.sampled_from([DAY, DAY + timedelta(days=1)]),
    st.sampled_from([1, 2, 3]),
    st.integers(1, 60),
)


@pytest.mark.long
@settings(max_examples=300 if LONG else 25, deadline=None)
@given(st.lists(moves, max_size=30))
def test_the_ledger_counts_what_was_leased_less_what_came_back_over_restarts(history: list[Move]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        counted = asyncio.run(_lived_through(history, os.path.join(folder, "p.db")))
    expected: Counter[tuple[str, date, int]] = Counter()
    for move, account, day, level, count in history:
        if move == "lease":
            expected[account, day, level] += count
        elif move == "give_back":
            expected[account, day, level] = max(0, expected[account, day, level] - count)
    assert counted == {place: used for place, used in expected.items() if used}


async def test_a_new_day_begins_at_nothing() -> None:
    async with Store.open(":memory:") as store:
        ledger = StoreLedger(store)
        await ledger.lease("main", DAY, 1, 10, {})
        assert await ledger.used("main", DAY) == {1: 10}
        assert await ledger.used("main", DAY + timedelta(days=1)) == {}


async def test_leases_at_the_same_time_all_count() -> None:
    async with Store.open(":memory:") as store:
        ledger = StoreLedger(store)
        await asyncio.gather(*(ledger.lease("main", DAY, 2, 3, {}) for _ in range(50)))
        assert await ledger.used("main", DAY) == {2: 150}


@pytest.mark.parametrize("count", [0, -1])
async def test_only_whole_calls_are_counted(count: int) -> None:
    async with Store.open(":memory:") as store:
        ledger = StoreLedger(store)
        with pytest.raises(ValueError, match=f"not {count}"):
            await ledger.lease("main", DAY, 1, count, {})
        with pytest.raises(ValueError, match=f"not {count}"):
            await ledger.give_back("main", DAY, 1, count)


async def _lived_through(history: list[Move], path: str) -> dict[tuple[str, date, int], int]:
    """What the ledger says in the end; each stretch between restarts is a store opened anew."""
    ahead = list(history)
    while ahead:
        async with Store.open(path) as store:
            ledger = StoreLedger(store)
            while ahead and (move := ahead.pop(0))[0] != "restart":
                if move[0] == "lease":
                    await ledger.lease(*move[1:], {})
                else:
                    await ledger.give_back(*move[1:])
    async with Store.open(path) as store:
        ledger = StoreLedger(store)
        places = [(account, day) for account in ("main", "other") for day in (DAY, DAY + timedelta(days=1))]
        return {
            (account, day, level): used
            for account, day in places
            for level, used in (await ledger.used(account, day)).items()
            if used
        }
