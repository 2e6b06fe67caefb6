"""Writes in a row that came to nothing: what counts, and what ends the row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from phinops.clock import LoopClock
from phinops.event import Event
from phinops.firing import Ask, Intent, Tally
from phinops.record import breakers, journal
from phinops.record.book import Book, intend
from phinops.record.breakers import Failed
from phinops.record.sqlite import Store
from phinops.record.tx import Tx
from phinops.virtual import run
from records import FIRING, START, STEP

REFUSED = {"reason": "DPN.X: no"}
READ_BACK = {"settled": "not there, said twice"}


def _leave(tx: Tx, intent: Intent, *, event: str = "ev_1") -> None:
    """One write leaves, of a firing of its own."""
    journal.put_event(tx, Event(id="ev_1", type="instance.failed", time=START, tenant="prod", source="instances"))
    journal.put_firing(tx, replace(FIRING, id=intent.firing_id, event_id=event))
    assert intend(tx, [Ask(intent, FIRING.rule)], lambda asked: [None] * len(asked)) == [None]


async def _end(store: Store, number: int, state: str, result: dict[str, Any], **more: Any) -> Sequence[Failed]:
    """One write that leaves and ends so; the failures that were told of."""
    told: list[Failed] = []
    event = more.pop("event", "ev_1")
    intent = replace(STEP, action_id=f"act_{number}", firing_id=f"fi_{number}", **more)
    await store.write(lambda tx: _leave(tx, intent, event=event))
    outcome: Any = {"done": "accepted", "failed": "refused"}.get(state)
    assert await Book(store, failed=told.append).settle(intent.action_id, state, outcome, result=result)
    return told


async def _tallies(store: Store) -> tuple[Tally, Tally]:
    return await store.read(
        lambda tx: (breakers.tally_of_rule(tx, "prod", FIRING.rule), breakers.tally_of_target(tx, STEP))
    )


async def test_what_dataphin_refused_and_what_reading_back_found_not_done_counts_for_rule_and_target() -> None:
    async with Store.open(":memory:") as store:
        await _end(store, 1, "failed", REFUSED)
        told = await _end(store, 2, "absent", READ_BACK)
        rule, target = await _tallies(store)
        assert (rule.failures, target.failures) == (2, 2)
        assert rule.reason == READ_BACK["settled"]
        assert [(each.scope, each.name, each.tally.failures) for each in told] == [
            ("rule", "r", 2),
            ("target", "t_1", 2),
        ]
        await _end(store, 3, "failed", REFUSED, target_id="t_2")
        rule, target = await _tallies(store)
        assert (rule.failures, target.failures) == (3, 2)


async def test_what_is_lost_with_one_call_is_one_failure_of_its_rule_and_what_is_refused_in_one_is_many() -> None:
    async with Store.open(":memory:") as store:
        asks = [
            Ask(replace(STEP, action_id=f"act_{n}", firing_id=f"fi_{n}", target_id=f"t_{n}"), FIRING.rule)
            for n in range(8)
        ]

        def leave(tx: Tx, some: Sequence[Ask]) -> None:
            for ask in some:
                journal.put_firing(tx, replace(FIRING, id=ask.intent.firing_id, event_id="ev_1"))
            intend(tx, some, lambda asked: [None] * len(asked))

        book = Book(store, failed=lambda _: None)
        await store.write(lambda tx: _leave(tx, replace(STEP, action_id="act_x", firing_id="fi_x")))
        await store.write(lambda tx: leave(tx, asks[:5]))
        for n in range(5):
            assert await book.settle(f"act_{n}", "absent", None, result=READ_BACK)
        assert (await _tallies(store))[0].failures == 1
        await store.write(lambda tx: leave(tx, asks[5:]))
        for n in range(5, 8):
            assert await book.settle(f"act_{n}", "failed", "refused", result=REFUSED)
        assert (await _tallies(store))[0].failures == 4


async def test_what_an_earlier_process_did_not_come_to_send_counts_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "phinops.db"
    async with Store.open(path) as store:
        for number in (1, 2):
            intent = replace(STEP, action_id=f"act_{number}", firing_id=f"fi_{number}")
            await store.write(lambda tx, intent=intent: _leave(tx, intent))  # type: ignore[misc]
    async with Store.open(path) as store:
        told: list[Failed] = []
        book = Book(store, failed=told.append)
        assert await book.settle("act_1", "absent", None, result=READ_BACK)
        assert (told, await _tallies(store)) == ([], (Tally(), Tally()))
        assert await book.settle("act_2", "failed", "refused", result=REFUSED)
        assert [tally.failures for tally in await _tallies(store)] == [1, 1]


@pytest.mark.parametrize(
    ("state", "result", "more"),
    [
        ("absent", {"reason": "throttled"}, {}),
        ("unknown", {"settled": "three times unclear"}, {}),
        ("failed", REFUSED, {"kind": "http", "target_kind": "http"}),
        ("failed", REFUSED, {"event": ""}),
    ],
    ids=["throttled", "unknown", "http", "a person's"],
)
async def test_other_ends_do_not_count(state: str, result: dict[str, Any], more: dict[str, Any]) -> None:
    async with Store.open(":memory:") as store:
        assert await _end(store, 1, state, result, **more) == []
        assert await _tallies(store) == (Tally(), Tally())


async def test_what_our_own_guards_refuse_and_a_failed_verification_do_not_count() -> None:
    async with Store.open(":memory:") as store:
        await _end(store, 1, "done", {})
        await Book(store).judge("act_1", "failed", "the target came to another end")
        await Book(store).put_step(replace(STEP, action_id="act_2", attempt=2, state="failed", outcome="refused"))
        assert await _tallies(store) == (Tally(), Tally())


@pytest.mark.parametrize("event", ["ev_1", ""], ids=["a rule's", "a person's"])
async def test_a_write_that_was_done_ends_the_row(event: str) -> None:
    async with Store.open(":memory:") as store:
        await _end(store, 1, "failed", REFUSED)
        await _end(store, 2, "done", {}, event=event)
        rule, target = await _tallies(store)
        assert target == Tally()
        assert rule.failures == (0 if event else 1)


async def test_a_write_that_leaves_after_a_failure_is_under_way_until_its_outcome_is_known() -> None:
    async with Store.open(":memory:") as store:
        await _end(store, 1, "failed", REFUSED)
        await store.write(lambda tx: _leave(tx, replace(STEP, action_id="act_2", firing_id="fi_2")))
        assert [each.under_way for each in await _tallies(store)] == ["act_2", "act_2"]
        await Book(store).settle("act_2", "absent", None, result={"reason": "throttled"})
        assert [(each.failures, each.under_way) for each in await _tallies(store)] == [(1, ""), (1, "")]


def test_what_failed_long_ago_is_forgotten() -> None:
    async def main() -> None:
        clock = LoopClock(START)
        async with Store.open(":memory:", clock) as store:
            await _end(store, 1, "failed", REFUSED)
            await clock.sleep(breakers.FORGOTTEN.total_seconds() + 60)
            await _end(store, 2, "failed", REFUSED, target_id="t_2")
            rule, target = await _tallies(store)
            assert (rule.failures, target.failures) == (1, 0)
            assert rule.failed_at
            assert rule.failed_at - START > timedelta(days=7)

    run(main())
