"""What guards ask of the past costs what is recent or open, not what there ever was."""

from __future__ import annotations

from datetime import timedelta

import pytest

from phinops.record import history
from phinops.record.queries import QUERIES
from phinops.record.sqlite import Store
from phinops.record.tx import Snapshot

INDEXES = {
    "busy_firings": ["firing_open"],
    "queued_firings": ["firing_open"],
    "holders_of": ["firing_open"],
    "waiting_for_absence": ["firing_open"],
    "open_counted": ["counted_open"],
    "claim_counted": ["counted_open", "counted_by_event"],
    "pass_counted": ["counted_open"],
    "lapse_counted": ["counted_open"],
    "counted_of_firing": ["counted_by_firing"],
    "counted_on": ["counted_by_event"],
    "last_started": ["firing_by_key"],
    "started_since": ["firing_by_rule"],
    "causes_of_firings": ["firing_by_key"],
    "unsettled_on": ["step_by_target"],
    "writes_on": ["step_by_target"],
    "writes_since": ["step_by_time"],
    "targets_since": ["step_by_time"],
    "recoveries": ["event_received"],
}


def _plan(tx: Snapshot, name: str) -> list[str]:
    query = QUERIES[name]
    rows = tx._connection.execute(f"EXPLAIN QUERY PLAN {query.sql}", dict.fromkeys(query.parameters, 1))
    return [row["detail"] for row in rows]


@pytest.mark.parametrize("name", INDEXES)
async def test_each_question_of_a_guard_goes_by_an_index(name: str) -> None:
    async with Store.open(":memory:") as store:
        plan = await store.read(lambda tx: _plan(tx, name))
        assert not [line for line in plan if line.startswith("SCAN") and "VIRTUAL TABLE" not in line], plan
        assert any(index in line for index in INDEXES[name] for line in plan), plan


async def test_an_empty_past_objects_to_nothing() -> None:
    async with Store.open(":memory:") as store:
        past = await store.read(lambda tx: history.past(tx, "t", "r", "k", window=timedelta(hours=1)))
        assert past == history.Past(None, 0, 0)
        assert await store.read(lambda tx: history.rules_behind(tx, "")) == frozenset()
        assert await store.read(lambda tx: history.writes_on(tx, "t", "t_1", tx.now)) == []
