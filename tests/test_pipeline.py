"""From an arrival to firings: matched, permitted, recorded together, begun."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import anyio
import pytest

from phinops.arrive.arrival import Arrival
from phinops.clock import LoopClock
from phinops.course import Courses
from phinops.decide.decision import Facts
from phinops.decide.language import Language
from phinops.decide.permit import History
from phinops.decide.rule import Rule, RuleSet
from phinops.errors import StoreError
from phinops.event import Action, Event, Instance, Node, Project, Schedule, event_id
from phinops.firing import Firing, Intent
from phinops.pipeline import Pipeline, Taken
from phinops.record import journal, rulesets, seen
from phinops.record.sqlite import Store
from phinops.record.tx import Snapshot, Tx
from phinops.recording import InForce, permit_again
from phinops.virtual import run
from settings import SHANGHAI, only_rule
from worlds import START

MINUTE = timedelta(minutes=1)


@dataclass(slots=True)
class Begun:
    """Takes firings over instead of courses."""

    firings: list[tuple[Firing, Event]] = field(default_factory=list)

    disturbed: list[str] = field(default_factory=list)

    def begin(self, firing: Firing, event: Event) -> None:
        self.firings.append((firing, event))

    def disturb(self, firing_id: str) -> None:
        self.disturbed.append(firing_id)


@dataclass(slots=True)
class Belt:
    """A pipeline whose rules are `rules`."""

    store: Store
    clock: LoopClock
    begun: Begun
    told: list[Event]
    rules: InForce = field(default_factory=lambda: InForce(RuleSet()))
    pipeline: Any = None

    async def take(self, *events: Event, **more: Any) -> Taken:
        arrival = Arrival("instances", "t", events, cursor=more.pop("cursor", {}))
        found: Taken = await self.pipeline.take(arrival, **more)
        return found

    async def firings(self) -> list[Firing]:
        def op(tx: Snapshot) -> list[Firing]:
            rows = reversed(tx.all("list_firings", limit=99, tenant=""))
            return [found for row in rows if (found := journal.firing_of(tx, row["id"]))]

        return await self.store.read(op)

    async def end(self, firing: Firing) -> None:
        await self.store.write(lambda tx: journal.end(tx, firing.id, "done"))


@asynccontextmanager
async def belt(*rules: Rule, shadow: bool = False) -> AsyncGenerator[Belt]:
    clock = LoopClock(START)
    async with Store.open(":memory:", clock) as store:
        found = Belt(store, clock, Begun(), [], InForce(RuleSet(rules), shadow))
        courses = cast(Courses, found.begun)
        found.pipeline = Pipeline(store, Language(SHANGHAI), lambda: found.rules, courses, clock, found.told.extend)
        yield found


def rule(folder: Path, more: str = "", *, on: str = "instance.failed", id: str = "r") -> Rule:
    return only_rule(
        folder,
        f"""
rules:
  - id: {id}
    on: {on}
    mode: armed
{more}
    do: [ {{ rerun_instance: {{ instance_id: t_9, project_id: 7 }} }} ]
""",
    )


def failed(number: int = 1, run: int = 0, **changes: Any) -> Event:
    started = START + run * MINUTE
    instance = Instance(id=f"t_{number}", status="FAILED", started_at=started, attempts=1)
    event = Event(
        id=event_id("test", str(number), str(run)),
        type="instance.failed",
        time=START,
        tenant="t",
        source="instances",
        project=Project(id="7"),
        instance=instance,
        node=Node(id="n_1", name="dws"),
    )
    return replace(event, **changes)


def test_an_event_and_its_firings_are_recorded_once_and_begun(tmp_path: Path) -> None:
    async def main() -> None:
        async with belt(rule(tmp_path)) as here:
            taken = await here.take(failed(), cursor={"at": 1})
            assert (len(taken.new), taken.begun, taken.skipped) == (1, 1, 0)
            assert [event.id for event in here.told] == [failed().id]
            ((firing, event),) = here.begun.firings
            assert (firing.state, firing.key, firing.mode, event.id) == ("ready", "t_1", "armed", failed().id)
            assert firing.started_at is not None
            assert await here.store.read(lambda tx: seen.cursor(tx, "t", "instances")) == {"at": 1}
            again = await here.take(failed())
            assert (again.new, again.begun, again.skipped) == ((), 0, 0)
            assert len(await here.firings()) == 1

    run(main())


def test_what_must_not_be_recorded_without_the_events_is_in_their_transaction(tmp_path: Path) -> None:
    async def main() -> None:
        async with belt(rule(tmp_path)) as here:

            def fail(tx: Tx) -> None:
                raise StoreError("no")

            with pytest.raises(StoreError):
                await here.take(failed(), also=fail)
            assert await here.firings() == []
            assert here.begun.firings == []
            await here.take(failed(), also=lambda tx: seen.put_cursor(tx, "t", "x", {"a": 1}))
            assert await here.store.read(lambda tx: seen.cursor(tx, "t", "x")) == {"a": 1}

    run(main())


def test_a_false_condition_leaves_no_trace_and_one_that_cannot_be_evaluated_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        async with belt(rule(tmp_path, "    if: event.instance.attempts > 2")) as here:
            await here.take(failed())
            assert await here.firings() == []
            unclear = failed(2)
            assert unclear.instance
            await here.take(replace(unclear, instance=replace(unclear.instance, attempts=None)))
            (firing,) = await here.firings()
            assert (firing.state, here.begun.firings) == ("skipped", [])
            assert "cannot be evaluated" in firing.reason
            assert firing.ended_at is not None

    run(main())


def test_a_rule_that_is_off_decides_and_does_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with belt(replace(rule(tmp_path), mode="off")) as here:
            taken = await here.take(failed())
            assert taken.skipped == 1
            (firing,) = await here.firings()
            assert (firing.state, firing.reason, firing.started_at) == ("skipped", "mode is off", None)

    run(main())


@pytest.mark.parametrize(("mode", "at_most"), [("shadow", False), ("armed", True)])
def test_shadow_comes_from_the_rule_or_from_the_one_who_started_it(tmp_path: Path, mode: Any, at_most: bool) -> None:
    async def main() -> None:
        async with belt(replace(rule(tmp_path), mode=mode), shadow=at_most) as here:
            await here.take(failed())
            ((firing, _),) = here.begun.firings
            assert firing.mode == "shadow"

    run(main())


def test_a_rule_with_for_waits_from_when_the_event_was_seen(tmp_path: Path) -> None:
    async def main() -> None:
        async with belt(rule(tmp_path, "    for: 6m")) as here:
            await here.take(failed())
            ((firing, _),) = here.begun.firings
            assert (firing.state, firing.started_at) == ("waiting", None)
            assert firing.wake_at
            assert abs(firing.wake_at - here.clock.now() - 6 * MINUTE) < timedelta(seconds=1)

    run(main())


def test_of_those_that_wait_for_a_busy_key_the_newest_stays(tmp_path: Path) -> None:
    async def main() -> None:
        async with belt(rule(tmp_path)) as here:
            for number in range(3):
                await here.take(failed(run=number))
            states = [(firing.state, firing.reason) for firing in await here.firings()]
            assert [state for state, _ in states] == ["ready", "skipped", "queued"]
            assert "a newer event took its place" in states[1][1]

    run(main())


def test_a_busy_key_skips_under_single(tmp_path: Path) -> None:
    async def main() -> None:
        async with belt(rule(tmp_path, "    concurrency: single")) as here:
            await here.take(failed(), failed(run=1), failed(2))
            assert [firing.state for firing in await here.firings()] == ["ready", "skipped", "ready"]

    run(main())


def test_the_cooldown_counts_from_the_start_of_the_last_firing(tmp_path: Path) -> None:
    async def main() -> None:
        async with belt(rule(tmp_path, "    cooldown: 10m")) as here:
            await here.take(failed())
            await anyio.sleep(9 * 60)
            await here.end(here.begun.firings[0][0])
            await here.take(failed(run=1))
            await anyio.sleep(2 * 60)
            await here.take(failed(run=2))
            assert [firing.state for firing in await here.firings()] == ["done", "skipped", "ready"]

    run(main())


def test_the_limit_of_firings_is_of_all_keys_together(tmp_path: Path) -> None:
    async def main() -> None:
        async with belt(rule(tmp_path, "    limits: { firings: { max: 2, per: 1h } }")) as here:
            await here.take(*(failed(number) for number in range(3)))
            await anyio.sleep(3700)
            await here.take(failed(4))
            states = [(firing.state, firing.reason) for firing in await here.firings()]
            assert [state for state, _ in states] == ["ready", "ready", "skipped", "ready"]
            assert "2 firings in 1h" in states[2][1]

    run(main())


def test_an_event_of_long_ago_is_skipped_with_its_age(tmp_path: Path) -> None:
    async def main() -> None:
        async with belt(rule(tmp_path, "    max_age: 6h")) as here:
            await here.take(failed(time=START - timedelta(hours=7)))
            (firing,) = await here.firings()
            assert (firing.state, firing.reason.partition(":")[0]) == ("skipped", "max_age")

    run(main())


def test_tenants_do_not_share_keys(tmp_path: Path) -> None:
    async def main() -> None:
        cron = only_rule(
            tmp_path,
            """
rules:
  - id: c
    on: { schedule: "0 * * * *" }
    cooldown: 1h
    do: [ { notify: { to: oncall, message: m } } ]
""",
        )
        async with belt(cron) as here:
            for tenant in ("a", "b", "c"):
                due = Schedule("0 * * * *", START)
                event = Event(f"ev_{tenant}", "schedule.fired", START, tenant, "schedule", schedule=due)
                await here.pipeline.take(Arrival("schedule", tenant, (event,)))
            assert [firing.state for firing in await here.firings()] == ["ready"] * 3

    run(main())


async def _act(here: Belt, firing: Firing, target: str, *, baseline_run: int) -> str:
    """An action of the firing on the target, recorded as done."""
    action = f"act_{firing.id}"
    probe = {"status": "FAILED", "started_at": (START + baseline_run * MINUTE).isoformat()}
    intent = Intent(
        action_id=action,
        firing_id=firing.id,
        n=0,
        step_id="s0",
        attempt=1,
        kind="rerun_instance",
        api="OperateInstance",
        tenant="t",
        target_kind="instance",
        target_id=target,
        project_id="7",
        request={},
        probe=probe,
    )
    await here.store.write(lambda tx: journal.intend(tx, intent))
    await here.store.write(lambda tx: journal.settle(tx, action, "done", "accepted", result={}))
    await here.end(firing)
    return action


def test_conditions_see_what_caused_the_event_and_the_record_keeps_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with belt(rule(tmp_path, '    if: event.caused_by == ""')) as here:
            await here.take(failed())
            action = await _act(here, here.begun.firings[0][0], "t_1", baseline_run=0)
            taken = await here.take(failed(run=1), failed(run=0, id="ev_late"))
            assert [event.caused_by for event in taken.new] == [action, ""]
            known = await here.store.read(lambda tx: journal.event_of(tx, failed(run=1).id))
            assert known
            assert known.caused_by == action
            assert [event.id for _, event in here.begun.firings] == [failed().id, "ev_late"]

    run(main())


def test_a_rule_is_fired_five_times_a_day_by_what_it_caused_itself(tmp_path: Path) -> None:
    async def main() -> None:
        async with belt(rule(tmp_path)) as here:
            for number in range(8):
                await here.take(failed(run=number))
                firing = here.begun.firings[-1][0]
                if len(here.begun.firings) == number + 1:
                    await _act(here, firing, "t_1", baseline_run=number)
                await anyio.sleep(60)
            states = [firing.state for firing in await here.firings()]
            assert states == ["done"] * 6 + ["skipped"] * 2
            await here.take(failed(2, run=99))
            assert (await here.firings())[-1].state == "ready"
            await anyio.sleep(25 * 3600)
            await here.take(failed(run=100))
            assert (await here.firings())[-1].state == "ready"

    run(main())


def test_two_rules_that_fire_each_other_are_stopped_as_well(tmp_path: Path) -> None:
    """Each is fired by what it caused itself, with the other in between."""

    async def main() -> None:
        steps = [rule(tmp_path, f"    if: event.action.rule == '{other}'", on="action.settled", id=name)
                 for name, other in (("ping", "pong"), ("pong", "ping"))]  # fmt: skip
        first = rule(tmp_path, "    key: '\"x\"'", id="ping")
        async with belt(*steps) as here:
            here.rules = InForce(RuleSet([first]))
            await here.take(failed())
            here.rules = InForce(RuleSet(steps))
            for _ in range(30):
                if not here.begun.firings:
                    break
                firing, _event = here.begun.firings.pop()
                action = await _act(here, firing, "t_9", baseline_run=0)
                await here.take(_settled(action, firing.rule))
            ended = await here.firings()
            assert ended[-1].state == "skipped"
            assert len(ended) <= 14

    run(main())


def _settled(action: str, rule_id: str) -> Event:
    return Event(
        id=f"ev_{action}",
        type="action.settled",
        time=START,
        tenant="t",
        source="actions",
        caused_by=action,
        action=Action(id=action, rule=rule_id, outcome="accepted"),
    )


def test_a_firing_whose_turn_has_come_is_judged_by_its_own_plan_leaving_itself_out(tmp_path: Path) -> None:
    async def main() -> None:
        async with belt(rule(tmp_path, "    for: 1m\n    cooldown: 10m")) as here:
            await here.take(failed())
            ((firing, event),) = here.begun.firings
            here.rules = InForce(RuleSet())
            assert (await here.store.write(lambda tx: permit_again(tx, firing, event))).allowed
            await here.store.write(lambda tx: journal.start(tx, firing.id))
            assert (await here.store.write(lambda tx: permit_again(tx, firing, event))).allowed
            other = replace(firing, id="fi_other")
            assert "cooldown" in (await here.store.write(lambda tx: permit_again(tx, other, event))).reason

    run(main())


def test_many_events_leave_others_their_turn(tmp_path: Path) -> None:
    async def main() -> None:
        async with belt(rule(tmp_path)) as here:
            turns = 0

            async def others() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await anyio.lowlevel.checkpoint()

            async with anyio.create_task_group() as group:
                group.start_soon(others)
                await here.take(*(failed(number) for number in range(200)))
                group.cancel_scope.cancel()
            assert turns >= 4
            assert len(here.begun.firings) == 200

    run(main())


def test_an_event_keeps_the_rules_that_decided_and_a_firing_what_it_was_judged_by(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with belt(rule(tmp_path, "    cooldown: 10m"), shadow=True) as here:
            (first,) = (await here.take(failed(1))).new
            (begun,) = await here.firings()
            await here.end(begun)
            await here.clock.sleep(60)
            await here.take(failed(1, run=1))
            began, skipped = await here.firings()
            assert Facts.from_json(skipped.facts).history.last_started == began.started_at
            assert Facts.from_json(began.facts).history == History()
            row = await here.store.read(lambda tx: tx.one("get_event", id=first.id))
            kept = await here.store.read(lambda tx: rulesets.set_of(tx, row["rule_set"] if row else ""))
            assert kept == rulesets.KeptSet(here.rules.hash, True, (began.plan,))

    run(scenario())


def test_what_happens_outside_of_a_rule_s_hours_is_skipped_and_recorded(tmp_path: Path) -> None:
    hour = START.astimezone(SHANGHAI).hour
    hours = f"    active: {{ hours: {(hour + 1) % 24:02}:00-{(hour + 2) % 24:02}:00 }}"

    async def main() -> None:
        async with belt(rule(tmp_path, hours)) as here:
            taken = await here.take(failed())
            assert (taken.begun, taken.skipped) == (0, 1)
            (firing,) = await here.firings()
            assert firing.state == "skipped"
            assert firing.reason.startswith("active: ")
            assert "next at" in firing.reason

    run(main())


def test_the_hours_are_asked_again_of_what_waited(tmp_path: Path) -> None:
    begin = START.astimezone(SHANGHAI)
    over = begin + 20 * MINUTE
    hours = f'    for: 10m\n    active: {{ hours: "{begin:%H:%M}-{over:%H:%M}" }}'

    async def main() -> None:
        async with belt(rule(tmp_path, hours)) as here:
            await here.take(failed())
            assert [each.reason for each in await here.firings()] == ["begins after 10m if it still holds then"]
            ((firing, event),) = here.begun.firings
            assert firing.state == "waiting"
            await here.clock.sleep(600)
            verdict = await here.store.read(lambda tx: permit_again(cast(Tx, tx), firing, event))
            assert verdict.reason.startswith("active: ")

    run(main())
