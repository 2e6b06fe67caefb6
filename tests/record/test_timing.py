from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime

import pytest

from phinops.clock import LoopClock
from phinops.event import Event
from phinops.record import journal, timing
from phinops.record.sqlite import Store
from phinops.record.tx import Tx
from records import FIRING, START, STEP

EVENT = Event(id="ev_1", type="hook.deploy", time=START, tenant="prod", source="hooks", body=1)


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    async with Store.open(":memory:", LoopClock(START)) as store:
        yield store


async def test_events_are_given_with_the_moment_of_their_record(store: Store) -> None:
    written = [replace(EVENT, id=f"ev_{n}") for n in range(3)]
    moments = []
    for event in [*written, replace(EVENT, id="ev_9", tenant="other")]:

        def put(tx: Tx, event: Event = event) -> datetime:
            journal.put_event(tx, event)
            return tx.now

        moments.append(await store.write(put))
    found = await store.read(lambda tx: timing.received(tx, "prod"))
    assert [each.event for each in found] == written
    assert [each.at for each in found] == moments[:3]


async def test_attempts_are_given_with_what_they_follow_from(store: Store) -> None:
    shadow = replace(FIRING, id="fi_2", mode="shadow")

    def put(tx: Tx) -> datetime:
        journal.put_event(tx, EVENT)
        journal.put_firing(tx, FIRING)
        journal.put_firing(tx, shadow)
        journal.intend(tx, STEP)
        journal.intend(tx, replace(STEP, action_id="act_2", firing_id="fi_2"))
        return tx.now

    now = await store.write(put)
    expected = timing.Attempt("ev_1", "rerun_instance", "t_1", START, now, "intent", "")
    assert await store.read(lambda tx: timing.attempts(tx, "prod")) == [expected]
    assert await store.read(lambda tx: timing.attempts(tx, "other")) == []


async def test_firings_are_open_until_they_end(store: Store) -> None:
    def put(tx: Tx) -> None:
        journal.put_event(tx, EVENT)
        journal.put_firing(tx, FIRING)

    assert await store.read(lambda tx: timing.open_firings(tx, "prod")) == 0
    await store.write(put)
    assert await store.read(lambda tx: timing.open_firings(tx, "prod")) == 1
    await store.write(lambda tx: journal.end(tx, "fi_1", "done"))
    assert await store.read(lambda tx: timing.open_firings(tx, "prod")) == 0
