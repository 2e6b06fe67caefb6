from __future__ import annotations

from dataclasses import dataclass, field

import anyio
import pytest

from phinops.event import JsonObject
from phinops.surface.watch import Sight, Watch
from phinops.surface.words import what_of


@dataclass
class Lists:
    """A daemon of which only the lists are there, newest first."""

    events_: list[JsonObject] = field(default_factory=list)
    firings_: list[JsonObject] = field(default_factory=list)
    actions_: list[JsonObject] = field(default_factory=list)

    async def events(self, limit: int) -> list[JsonObject]:
        return self.events_[:limit]

    async def firings(self, limit: int) -> list[JsonObject]:
        return self.firings_[:limit]

    async def actions(self, limit: int) -> list[JsonObject]:
        return self.actions_[:limit]


EVENT: JsonObject = {
    "id": "ev_1",
    "time": "t1",
    "type": "instance.failed",
    "node": {"name": "dws"},
    "instance": {"id": "t_1"},
}
FIRING: JsonObject = {"id": "fi_1", "time": "t2", "rule": "rerun", "state": "waiting", "reason": "", "event_id": "ev_1"}
ACTION: JsonObject = {
    "id": "act_1", "time": "t3", "step": "rerun_instance", "outcome": "", "target": "t_1", "api": "OperateInstance",
}  # fmt: skip


async def test_each_thing_is_seen_once_in_each_of_its_states() -> None:
    lists = Lists([EVENT], [FIRING], [ACTION])
    watch = Watch(lists)
    assert await watch.look() == [
        Sight("t1", "event", "instance.failed", "", "dws t_1"),
        Sight("t2", "rule", "rerun", "waiting", "dws t_1"),
        Sight("t3", "action", "rerun_instance", "under way", "dws t_1"),
    ]
    assert await watch.look() == []
    lists.firings_ = [{**FIRING, "state": "done"}]
    lists.actions_ = [{**ACTION, "outcome": "verified"}]
    assert [(sight.name, sight.state) for sight in await watch.look()] == [
        ("rerun", "done"),
        ("rerun_instance", "verified"),
    ]


async def test_the_oldest_comes_first() -> None:
    lists = Lists([{**EVENT, "id": "ev_2", "time": "t9"}, EVENT])
    assert [sight.time for sight in await Watch(lists).look()] == ["t1", "t9"]


async def test_looking_on_goes_on_until_it_is_cancelled() -> None:
    lists = Lists([EVENT])
    seen: list[str] = []
    with anyio.fail_after(5):
        async for sight in Watch(lists).sights():
            seen.append(sight.time)
            if len(seen) == 2:
                break
            lists.events_ = [{**EVENT, "id": "ev_2", "time": "t9"}, EVENT]
    assert seen == ["t1", "t9"]


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({"instance": {"id": "t_1", "biz_date": "2026-01-04"}, "node": {"id": "n_1"}}, "n_1 t_1 2026-01-04"),
        ({"alert": {"id": "a", "reason": "VDM_BATCH_ERROR", "object": {"name": "dws"}}}, "dws VDM_BATCH_ERROR"),
        ({"alert": {"id": "a"}}, "a"),
        ({"api": {"id": "1", "name": "orders"}, "impact": {}}, "orders"),
        ({"schedule": {"cron": "*/5 * * * *"}}, "*/5 * * * *"),
        ({"action": {"step": "rerun_instance", "target": "t_1", "outcome": "verified"}}, "rerun_instance t_1 verified"),
        ({"health": {"name": "alerts", "reason": "timeout"}}, "alerts timeout"),
        ({"quota": {"pool": "1+2", "used": 1, "limit": 2}}, "pool 1+2: 1 of 2"),
        ({"rule": {"id": "a"}}, "a"),
        ({"body": {}}, ""),
    ],
)
def test_an_event_is_told_in_a_few_words(event: JsonObject, words: str) -> None:
    assert what_of(event) == words
