"""Rules over several events: windows, absences, and what becomes of events in whatever order they arrive."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from phinops.decide.decision import Facts, decide
from phinops.decide.language import TRUE, Language
from phinops.decide.match import Match
from phinops.decide.rule import Rule
from phinops.event import Event, Instance, Node, Project, event_id
from phinops.firing import Firing
from phinops.record import windows
from phinops.virtual import run
from phinops.why import gather, why
from settings import SETTING, SHANGHAI, only_rule
from test_pipeline import Belt, belt
from worlds import START

MINUTE = timedelta(minutes=1)
ZERO = START + timedelta(seconds=1000)
"""When a test begins: loops in virtual time count from a thousand."""


def rule(folder: Path, on: str, more: str = "") -> Rule:
    return only_rule(
        folder,
        f"""
rules:
  - id: r
    on: {on}
{more}
    do: [ {{ notify: {{ to: oncall, message: "{{{{ events | length }}}}" }} }} ]
""",
    )


def event(kind: str, at: float, *, of: int = 1, **changes: Any) -> Event:
    """An event of an instance, `at` minutes after the beginning."""
    found = Event(
        id=event_id("test", kind, str(at), str(of)),
        type=kind,
        time=ZERO + at * MINUTE,
        tenant="t",
        source="instances",
        project=Project(id="7"),
        instance=Instance(id=f"t_{of}", status="FAILED", attempts=1),
        node=Node(id="n_1", name="dws"),
    )
    return replace(found, **changes)


def failed(at: float, **more: Any) -> Event:
    return event("instance.failed", at, **more)


def well(at: float, **more: Any) -> Event:
    return event("instance.succeeded", at, **more)


async def minutes_of(here: Belt, firing: Firing) -> list[float]:
    """When the events of a firing happened, in minutes after the beginning."""
    found = await here.store.read(lambda tx: windows.events_of(tx, firing.id))
    return [(each.time - ZERO) / MINUTE for each in found]


async def said(here: Belt, of: Event) -> list[str]:
    """What is told of an event that counted, by the function that decided on it."""
    (only,) = here.rules.rules
    places = await here.store.read(lambda tx: windows.places_of(tx, of.id))
    return [decide(Match(only, each.key, TRUE), of, Facts.from_json(each.facts)).reason for each in places]


THREE = "{ event: instance.failed, count: 3, within: 10m }"


def test_so_many_within_the_span_fire_once_and_the_window_begins_anew(tmp_path: Path) -> None:
    async def main() -> None:
        async with belt(rule(tmp_path, THREE, "    concurrency: parallel")) as here:
            taken = await here.take(failed(0), failed(1))
            assert (len(taken.new), taken.begun, taken.skipped) == (2, 0, 0)
            await here.take(failed(2, of=2))
            await here.take(failed(3), failed(4))
            (firing,) = await here.firings()
            assert (firing.state, firing.key) == ("ready", "r")
            assert await minutes_of(here, firing) == [0, 1, 2]
            await here.take(failed(5))
            _, second = await here.firings()
            assert await minutes_of(here, second) == [3, 4, 5]

    run(main())


def test_what_is_too_far_apart_does_not_fire(tmp_path: Path) -> None:
    async def main() -> None:
        async with belt(rule(tmp_path, THREE)) as here:
            await here.take(failed(0), failed(6), failed(10.1), failed(17))
            assert await here.firings() == []
            await here.take(failed(20))
            (firing,) = await here.firings()
            assert await minutes_of(here, firing) == [10.1, 17, 20]

    run(main())


@pytest.mark.parametrize("order", [(0, 4, 8, 30, 31), (8, 31, 30, 0, 4), (31, 8, 4, 30, 0), (30, 0, 31, 8, 4)])
def test_the_order_of_arrival_does_not_matter(tmp_path: Path, order: tuple[int, ...]) -> None:
    async def main() -> None:
        async with belt(rule(tmp_path, THREE)) as here:
            for at in order:
                await here.take(failed(at))
            (firing,) = await here.firings()
            assert await minutes_of(here, firing) == [0, 4, 8]
            assert firing.event_id == failed(8).id
            await here.end(firing)
            await here.take(failed(32))
            _, second = await here.firings()
            assert await minutes_of(here, second) == [30, 31, 32]

    run(main())


def test_keys_have_windows_of_their_own_and_so_have_tenants(tmp_path: Path) -> None:
    async def main() -> None:
        async with belt(rule(tmp_path, THREE, "    key: event.instance.id")) as here:
            await here.take(failed(0), failed(1), failed(2, of=2), failed(3, of=2))
            await here.take(failed(4, tenant="other"))
            assert await here.firings() == []
            await here.take(failed(5, of=2))
            (firing,) = await here.firings()
            assert (firing.key, await minutes_of(here, firing)) == ("t_2", [2, 3, 5])

    run(main())


def test_a_condition_may_ask_for_those_that_counted_before(tmp_path: Path) -> None:
    async def main() -> None:
        asks = "    if: events.all(e, e.node.id == event.node.id)"
        async with belt(rule(tmp_path, THREE, asks)) as here:
            other = failed(1, node=Node(id="n_2"))
            await here.take(failed(0), other, failed(2))
            assert await here.firings() == []
            record = await here.store.read(lambda tx: gather(tx, other.id, SHANGHAI))
            assert record
            (told,) = why(Language(SHANGHAI), record, zone=SHANGHAI)
            assert (told["outcome"], told["reason"], told["firing"]) == ("no_match", "if is false", "")
            assert record.company("r") == (failed(0), other)
            await here.take(failed(3))
            (firing,) = await here.firings()
            assert await minutes_of(here, firing) == [0, 2, 3]

    run(main())


def test_an_event_that_a_guard_stops_is_recorded_and_does_not_count(tmp_path: Path) -> None:
    async def main() -> None:
        async with belt(rule(tmp_path, THREE, "    max_age: 1h")) as here:
            await here.take(failed(-70), failed(-1), failed(0))
            (skipped,) = await here.firings()
            assert (skipped.state, skipped.reason.partition(":")[0]) == ("skipped", "max_age")
            here.rules = replace(here.rules, rules=type(here.rules.rules)([replace(rule(tmp_path, THREE), mode="off")]))
            await here.take(failed(1))
            assert [firing.reason for firing in await here.firings()][1:] == ["mode is off"]

    run(main())


@pytest.mark.parametrize("on", [THREE, "{ event: instance.failed, absent: instance.succeeded, within: 5m }"])
def test_outside_of_the_rule_s_hours_nothing_counts_or_is_waited_for(tmp_path: Path, on: str) -> None:
    begin = START.astimezone(SETTING.zone)
    span = f"{begin + 60 * MINUTE:%H:%M}-{begin + 90 * MINUTE:%H:%M}"
    hours = f'    key: event.instance.id\n    active: {{ hours: "{span}" }}'

    async def main() -> None:
        async with belt(rule(tmp_path, on, hours)) as here:
            await here.take(failed(0), failed(1), failed(2))
            early = await here.firings()
            assert [each.state for each in early] == ["skipped"] * 3
            assert all(each.reason.startswith("active: ") for each in early)
            assert await here.store.read(windows.open_windows) == {}
            await here.clock.sleep(3600)
            await here.take(failed(60))
            assert len(await here.firings()) == (3 if on == THREE else 4)
            assert (await said(here, failed(60)))[0].startswith(("1 of 3 seen", "begins unless"))

    run(main())


def test_a_complete_window_that_may_not_fire_is_spent_and_says_why(tmp_path: Path) -> None:
    async def main() -> None:
        async with belt(rule(tmp_path, THREE, "    concurrency: single")) as here:
            await here.take(*(failed(at) for at in range(7)))
            first, second = await here.firings()
            assert (first.state, second.state, second.reason) == (
                "ready", "skipped", "the key is busy (concurrency: single)",
            )  # fmt: skip
            assert await minutes_of(here, second) == [3, 4, 5]
            assert await said(here, failed(6)) == ["1 of 3 seen, 16m left"]

    run(main())


def test_how_a_window_stands_is_recorded_with_each_event(tmp_path: Path) -> None:
    async def main() -> None:
        both = "{ all: [instance.failed, instance.blocked, instance.waiting], within: 10m }"
        async with belt(rule(tmp_path, both)) as here:
            await here.take(failed(0), failed(1))
            blocked = event("instance.blocked", 4)
            await here.take(blocked)
            assert await said(here, blocked) == ["2 of 3 seen, instance.waiting missing, 10m left"]
            await here.take(event("instance.waiting", 11))
            (firing,) = await here.firings()
            assert await minutes_of(here, firing) == [1, 4, 11]
            assert firing.event_id == event("instance.waiting", 11).id

    run(main())


ABSENT = "{ event: instance.failed, absent: instance.succeeded, within: 10m }"
KEYED = "    key: event.instance.id"


def test_an_absence_is_waited_for_from_the_first_on_and_others_join(tmp_path: Path) -> None:
    async def main() -> None:
        async with belt(rule(tmp_path, ABSENT, KEYED)) as here:
            await here.take(failed(0))
            await anyio.sleep(300)
            await here.take(failed(5), failed(5, of=2))
            first, second = await here.firings()
            assert (first.state, first.key, first.event_id) == ("waiting", "t_1", failed(5).id)
            assert first.reason == "begins unless instance.succeeded comes within 10m"
            assert first.wake_at
            assert abs(first.wake_at - ZERO - 10 * MINUTE) < timedelta(seconds=1)
            assert await minutes_of(here, first) == [0, 5]
            assert (second.key, await minutes_of(here, second)) == ("t_2", [5])
            assert await said(here, failed(5)) == [f"it joins {first.id}, which waits for instance.succeeded"]

    run(main())


def test_what_comes_ends_the_wait_of_its_key_only(tmp_path: Path) -> None:
    async def main() -> None:
        async with belt(rule(tmp_path, ABSENT, KEYED)) as here:
            await here.take(failed(0), failed(1), failed(0, of=2))
            await here.take(well(2))
            first, second = await here.firings()
            assert (first.state, first.reason) == ("skipped", f"instance.succeeded came ({well(2).id})")
            assert second.state == "waiting"
            assert here.begun.disturbed == [first.id]
            assert await said(here, well(2)) == [f"it ends {first.id}"]
            await here.take(failed(3))
            assert [firing.state for firing in await here.firings()] == ["skipped", "waiting", "waiting"]

    run(main())


def test_what_came_before_answers_nothing_and_what_was_seen_before_its_time_does(tmp_path: Path) -> None:
    async def main() -> None:
        async with belt(rule(tmp_path, ABSENT, KEYED)) as here:
            await here.take(failed(5))
            await here.take(well(4))
            (first,) = await here.firings()
            assert first.state == "waiting"
            await here.take(well(9, of=2))
            await here.take(failed(8, of=2))
            second = (await here.firings())[1]
            assert (second.state, second.key) == ("skipped", "t_2")
            assert second.reason == f"instance.succeeded had come already ({well(9, of=2).id})"

    run(main())


def test_one_that_came_late_answers_only_what_happened_before_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with belt(rule(tmp_path, ABSENT, KEYED)) as here:
            await here.take(failed(0))
            await anyio.sleep(240)
            await here.take(failed(4))
            await here.take(well(2))
            first, second = await here.firings()
            assert (first.state, await minutes_of(here, first)) == ("skipped", [0])
            assert (second.state, await minutes_of(here, second)) == ("waiting", [4])
            assert second.wake_at
            assert abs(second.wake_at - here.clock.now() - 10 * MINUTE) < timedelta(seconds=1)
            assert [firing.id for firing, _ in here.begun.firings] == [first.id, second.id]

    run(main())


def test_an_absence_may_ask_for_the_events_that_wait_with_it(tmp_path: Path) -> None:
    async def main() -> None:
        asks = KEYED + "\n    if: events.size() < 3"
        async with belt(rule(tmp_path, ABSENT, asks)) as here:
            await here.take(failed(0), failed(1), failed(2), failed(3))
            (firing,) = await here.firings()
            assert await minutes_of(here, firing) == [0, 1]

    run(main())
