"""All that is on record, oldest first."""

from __future__ import annotations

from datetime import UTC, datetime

from phinops.clock import LoopClock
from phinops.event import Event
from phinops.record import journal
from phinops.record.chronicle import Chronicle, chronicle
from phinops.record.sqlite import Store
from worlds import firing_of

START = datetime(2026, 1, 5, tzinfo=UTC)


async def test_everything_is_told_in_the_order_of_its_birth() -> None:
    clock = LoopClock(START)
    async with Store.open(":memory:", clock) as store:
        assert await store.read(chronicle) == Chronicle()
        one = Event(id="ev_1", type="hook.x", time=START, tenant="t", source="hooks", body={})
        two = Event(id="ev_0", type="hook.x", time=START, tenant="t", source="hooks", body={})
        firing = firing_of(one, [{"kind": "notify"}])
        await store.write(lambda tx: (journal.put_event(tx, one), journal.put_event(tx, two)))
        await store.write(lambda tx: journal.put_firing(tx, firing))
        found = await store.read(chronicle)
    assert [each.event for each in found.events] == [one, two]
    assert [each.id for each in found.firings] == [firing.id]
    assert found.steps == ()
