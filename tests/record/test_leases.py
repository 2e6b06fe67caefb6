"""What the journal makes of pauses with a lease, pause by pause."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from phinops.firing import Intent
from phinops.record import journal, leases
from phinops.record.sqlite import Store
from phinops.record.tx import Tx
from records import FIRING, STEP

PAUSE = replace(
    STEP, kind="pause_node", api="PausePhysicalNode", target_kind="node", target_id="n_1",
    request={"params": {}, "batch": "", "lease_s": 3600.0}, probe={"paused": False, "log": {}},
)  # fmt: skip


def born(tx: Tx) -> None:
    journal.put_firing(tx, replace(FIRING, event_id=""))


def paused(tx: Tx, pause: Intent, state: str = "done") -> None:
    """The pause leaves, and comes to that."""
    journal.intend(tx, pause)
    leases.take(tx, pause)
    if state != "intent":
        journal.settle(tx, pause.action_id, state, None, result={})


def left_out(tx: Tx, pause: Intent) -> None:
    journal.put_step(tx, pause)
    leases.found_paused(tx, pause)


def again(number: int, **changes: object) -> Intent:
    return replace(PAUSE, action_id=f"act_{number + 10}", n=number, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "shown", "running"),
    [("intent", "waiting", 0), ("done", "running", 1), ("unknown", "waiting", 0), ("absent", "waiting", 0)],
)
async def test_a_lease_is_born_with_the_intent_and_runs_when_the_pause_was_done(
    state: str, shown: str, running: int
) -> None:
    async with Store.open(":memory:") as store:
        await store.write(born)
        await store.write(lambda tx: paused(tx, PAUSE, state))
        (lease,) = await store.read(leases.open_leases)
        (told,) = await store.read(lambda tx: leases.list_leases(tx, 9))
        assert lease.due - lease.since == timedelta(hours=1)
        assert (told["state"], told["node_id"], told["rule"]) == (shown, "n_1", FIRING.rule)
        assert (await store.read(journal.counts))["leases"] == running
        assert await store.read(lambda tx: leases.list_leases(tx, 9, "nobody")) == []


async def test_a_later_pause_makes_it_longer_and_never_shorter_and_one_without_end_ends_it() -> None:
    async with Store.open(":memory:") as store:
        await store.write(born)
        await store.write(lambda tx: paused(tx, PAUSE))
        (first,) = await store.read(leases.open_leases)
        for number, lease_s in ((1, 60.0), (2, 7200.0)):
            shorter = again(number, state="skipped", request={**PAUSE.request, "lease_s": lease_s})
            await store.write(lambda tx, step=shorter: left_out(tx, step))  # type: ignore[misc]
            (now,) = await store.read(leases.open_leases)
            assert (now.due - first.due > timedelta(minutes=50)) is (lease_s == 7200.0)
        await store.write(lambda tx: left_out(tx, again(3, state="skipped", request={"params": {}, "batch": ""})))
        assert await store.read(leases.open_leases) == []
        (told,) = await store.read(lambda tx: leases.list_leases(tx, 9))
        assert (told["state"], told["reason"]) == ("left", "act_13 wants it paused without end")


async def test_of_a_node_that_was_paused_already_no_lease_is_taken() -> None:
    async with Store.open(":memory:") as store:
        await store.write(born)
        await store.write(lambda tx: left_out(tx, replace(PAUSE, state="skipped")))
        await store.write(lambda tx: paused(tx, again(1, probe={"paused": True, "log": {}})))
        assert await store.read(leases.open_leases) == []


async def test_an_attempt_that_came_to_something_after_all_has_its_lease() -> None:
    async with Store.open(":memory:") as store:
        await store.write(born)
        await store.write(lambda tx: paused(tx, PAUSE, "absent"))
        second = replace(PAUSE, action_id="act_2", attempt=2, state="skipped", outcome="skipped")
        await store.write(lambda tx: left_out(tx, second))
        assert [(each.action_id, each.pause) for each in await store.read(leases.open_leases)] == [
            ("act_1", "absent"),
            ("act_2", "skipped"),
        ]
        assert (await store.read(journal.counts))["leases"] == 1


async def test_of_several_who_would_end_a_lease_one_does() -> None:
    async with Store.open(":memory:") as store:
        await store.write(born)
        await store.write(lambda tx: paused(tx, PAUSE))
        (lease,) = await store.read(leases.open_leases)
        assert await store.write(lambda tx: leases.begin_end(tx, "act_1", "fi_2"))
        assert not await store.write(lambda tx: leases.begin_end(tx, "act_1", "fi_3"))
        assert await store.write(lambda tx: leases.end(tx, lease, "resumed", ""))
        assert not await store.write(lambda tx: leases.end(tx, lease, "left", "late"))
