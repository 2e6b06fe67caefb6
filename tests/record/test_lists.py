from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from phinops import event as events
from phinops.clock import LoopClock
from phinops.event import Event
from phinops.record import journal
from phinops.record.lists import list_actions, list_events, list_firings
from phinops.record.sqlite import Store
from phinops.record.tx import Tx
from records import FIRING, START, STEP

EVENT = Event(id="ev_1", type="hook.deploy", time=START, tenant="prod", source="hooks", body={"名": 1})


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    async with Store.open(":memory:", LoopClock(START)) as store:
        yield store


async def test_events_are_listed_as_recorded_newest_first(store: Store) -> None:
    written = [replace(EVENT, id=f"ev_{n}") for n in range(5)]
    for event in written:
        await store.write(lambda tx, event=event: journal.put_event(tx, event))  # type: ignore[misc]
    listed = await store.read(lambda tx: list_events(tx, 3))
    assert listed == [events.to_json(event) for event in written[:1:-1]]


async def test_firings_are_listed_with_their_event_and_reason(store: Store) -> None:
    def life(tx: Tx) -> None:
        journal.put_event(tx, EVENT)
        journal.put_firing(tx, FIRING)
        journal.put_firing(tx, replace(FIRING, id="fi_2", state="skipped", reason="cooldown"))

    await store.write(life)
    listed = await store.read(lambda tx: list_firings(tx, 100))
    assert [(one["id"], one["state"], one["reason"]) for one in listed] == [
        ("fi_2", "skipped", "cooldown"),
        ("fi_1", "ready", ""),
    ]
    assert listed[1] == {
        "id": "fi_1",
        "time": "2026-01-05T00:00:00+00:00",
        "rule": "r",
        "event_id": "ev_1",
        "mode": "armed",
        "state": "ready",
        "reason": "",
    }


async def test_actions_are_listed_with_their_outcome(store: Store) -> None:
    def life(tx: Tx) -> str:
        journal.put_event(tx, EVENT)
        journal.put_firing(tx, FIRING)
        journal.intend(tx, STEP)
        return tx.now.isoformat()

    now = await store.write(life)
    expected = {
        "id": "act_1",
        "firing_id": "fi_1",
        "step": "rerun_instance",
        "api": "OperateInstance",
        "target": "t_1",
        "outcome": "",
        "request_id": "",
        "time": now,
    }
    assert await store.read(lambda tx: list_actions(tx, 100)) == [expected]
    await store.write(lambda tx: journal.settle(tx, "act_1", "done", "accepted", result={}, request_id="R-1"))
    assert await store.read(lambda tx: list_actions(tx, 100)) == [
        expected | {"outcome": "accepted", "request_id": "R-1"}
    ]


async def test_each_tenant_can_be_listed_alone(store: Store) -> None:
    def life(tx: Tx) -> None:
        for tenant in ("prod", "test"):
            journal.put_event(tx, replace(EVENT, id=f"ev_{tenant}", tenant=tenant))
            journal.put_firing(tx, replace(FIRING, id=f"fi_{tenant}", event_id=f"ev_{tenant}", tenant=tenant))
            journal.intend(tx, replace(STEP, action_id=f"act_{tenant}", firing_id=f"fi_{tenant}", tenant=tenant))

    await store.write(life)
    for listing in (list_events, list_firings, list_actions):
        for tenant, endings in (("prod", ["prod"]), ("other", []), ("", ["test", "prod"])):
            listed = await store.read(lambda tx, listing=listing, tenant=tenant: listing(tx, 9, tenant))  # type: ignore[misc]
            assert [one["id"].partition("_")[2] for one in listed] == endings
