from __future__ import annotations

from datetime import UTC, datetime

import pytest

from phinops.clock import LoopClock
from phinops.record.audit import Entry, entries_of, note
from phinops.record.sqlite import Store
from phinops.record.tx import Tx

START = datetime(2026, 1, 5, tzinfo=UTC)


async def test_the_trail_of_a_firing_is_read_in_order() -> None:
    def life(tx: Tx) -> datetime:
        note(tx, "firing.born", "fi_1", rule="r")
        note(tx, "started")
        note(tx, "firing.born", "fi_2")
        note(tx, "firing.ended", "fi_1", state="done", what="it was done")
        return tx.now

    async with Store.open(":memory:", LoopClock(START)) as store:
        now = await store.write(life)
        assert await store.read(lambda tx: entries_of(tx, "fi_1")) == [
            Entry(1, now, 1, "firing.born", {"rule": "r"}),
            Entry(4, now, 1, "firing.ended", {"state": "done", "what": "it was done"}),
        ]


async def test_a_note_is_gone_with_the_change_that_it_told_of() -> None:
    def half(tx: Tx) -> None:
        note(tx, "firing.born", "fi_1")
        raise LookupError("half")

    async with Store.open(":memory:") as store:
        with pytest.raises(LookupError):
            await store.write(half)
        assert await store.read(lambda tx: entries_of(tx, "fi_1")) == []
