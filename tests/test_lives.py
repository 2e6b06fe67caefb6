"""Killed and reloaded at any moment while rules wait and count, a daemon comes to what an undisturbed one comes to."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from phinops.arrive.arrival import Arrival
from phinops.clock import LoopClock
from phinops.daemon import Daemon
from phinops.event import Event, Project, event_id
from phinops.record import journal
from phinops.record.documents import from_text
from phinops.record.sqlite import Store
from phinops.record.tx import Snapshot
from phinops.virtual import run
from records import LONG
from scripted import NODE, PROJECT, Change, ScriptedDataphin, make_config
from worlds import START

RULES = """
rules:
  - id: lasting
    on: instance.failed
    if: event.instance.id.startsWith("t_1")
    for: 6m10s
    mode: armed
    do: [ { rerun_instance: {}, verify: { within: 20m } } ]
  - id: absent
    on: { event: instance.failed, absent: instance.succeeded, within: 10m15s }
    if: event.instance.id.startsWith("t_2")
    key: event.instance.id
    do: [ { notify: { to: oncall, message: "{{ event.instance.id }} {{ events | length }}" } } ]
  - id: count
    on: { event: hook.deploy, count: 3, within: 10m }
    key: event.body.team
    concurrency: parallel
    do: [ { notify: { to: oncall, message: "{{ events | map(attribute='body') | map(attribute='n') | join(',') }}" } } ]
  - id: all
    on: { all: [hook.deploy, instance.failed], within: 8m }
    for: 2m10s
    do: [ { notify: { to: oncall, message: "{{ event.type }} {{ events | length }}" } } ]
  - id: restart
    on: hook.deploy
    key: event.body.team
    concurrency: restart
    for: 5m30s
    do: [ { notify: { to: oncall, message: "{{ event.body.n }}" } } ]
  - id: waiting
    on: hook.deploy
    key: event.body.team
    do:
      - wait: 4m45s
      - notify: { to: oncall, message: "{{ event.body.n }} after a wait" }
  - id: restarted
    on: hook.deploy
    key: event.body.team
    concurrency: restart
    do:
      - notify: { to: oncall, message: "{{ event.body.n }} begins" }
      - wait: 3m45s
      - notify: { to: oncall, message: "{{ event.body.n }} had its time" }
"""
OTHER = """
  - id: other-{}
    on: hook.deploy
    mode: "off"
    do: [ { notify: { to: oncall, message: m } } ]
"""
HOUR = 60
"""Minutes that a life lasts; what happens does so in its first forty."""


@dataclass(frozen=True, slots=True)
class Told:
    """An event, and when the daemon hears of it, in seconds after the beginning."""

    at: float
    event: Event


@dataclass(frozen=True, slots=True)
class Story:
    """What happens, and what is done to the daemon: kills and reloads at seconds after the beginning."""

    told: Sequence[Told]
    script: Mapping[str, Sequence[Change]]
    blows: Sequence[tuple[float, str]]


def story(seed: int, *, blows: bool = True) -> Story:
    """Failures are at second 20 of a minute, successes at 50, hooks at 35: nothing is due at these."""
    chance = random.Random(seed)
    told: list[Told] = []
    script: dict[str, list[Change]] = {}
    for number in range(chance.randint(1, 4)):
        _one_that_fails(chance, f"t_1{number}", told, script, most=5)
    for number in range(chance.randint(1, 4)):
        _one_that_fails(chance, f"t_2{number}", told, script, most=14)
    for number in range(chance.randint(2, 12)):
        at = chance.randrange(40) * 60 + 35.0
        late = chance.choice([0, 0, 0, 180, 600])
        body = {"team": chance.choice("ab"), "n": number}
        event = Event(event_id("hook", str(number)), "hook.deploy", _moment(at), "t", "hooks", body=body)
        told.append(Told(at + late + number / 100, event))
    chance = random.Random(-seed)
    kinds = chance.choices(["kill", "reload"], k=chance.randint(1, 6))
    moments = [(chance.uniform(0, 55 * 60), kind) for kind in kinds]
    if told and chance.random() < 0.5:  # right at something, too
        moments.append((chance.choice(told).at + chance.choice([0.0, 0.01, 370.05, 615.05]), "kill"))
    return Story(sorted(told, key=lambda each: each.at), script, sorted(moments) if blows else [])


def _one_that_fails(
    chance: random.Random, name: str, told: list[Told], script: dict[str, list[Change]], *, most: int
) -> None:
    at = chance.randrange(25) * 60 + 20.0
    script[name] = [Change(0.0, "RUNNING"), Change(at + 1000, "FAILED")]
    told.append(Told(at, _of(name, "FAILED", at)))
    if most > 5 and chance.random() < 0.5:
        again = at + chance.randint(1, 9) * 60
        script[name].append(Change(again + 1000, "FAILED"))
        told.append(Told(again, _of(name, "FAILED", again)))
        at = again
    if chance.random() < 0.5:
        well = at + chance.randint(1, most) * 60 + 30
        script[name].append(Change(well + 1000, "SUCCESS"))
        told.append(Told(well + chance.choice([0, 0, 60, 240]), _of(name, "SUCCESS", well)))


def _moment(at: float) -> datetime:
    return START + timedelta(seconds=1000 + at)


def _of(name: str, status: str, at: float) -> Event:
    kind = {"FAILED": "instance.failed", "SUCCESS": "instance.succeeded"}[status]
    clock = LoopClock(START)
    then = ScriptedDataphin(clock, START, {}).at(name, status, 1000 + at)
    return Event(
        event_id("test", name, kind, str(at)), kind, _moment(at), "t", "instances", Project(PROJECT), instance=then,
        node=NODE,
    )  # fmt: skip


@dataclass(slots=True)
class Life:
    """A story being lived."""

    story: Story
    folder: Path
    clock: LoopClock
    store: Store
    dataphin: ScriptedDataphin
    rules: str = RULES
    reloads: int = 0

    async def live(self) -> None:
        """From the beginning to the end, each daemon on what the one before left."""
        rules = self.folder / "all.rules.yaml"
        _write(rules, self.rules)
        config = make_config(self.folder, rules)
        kills = [at for at, kind in self.story.blows if kind == "kill"]
        told = list(self.story.told)
        for until in [*kills, HOUR * 60.0]:
            with anyio.CancelScope() as scope:
                async with (
                    Daemon.open(config, clock=self.clock, store=self.store, transport=self.dataphin) as daemon,
                    anyio.create_task_group() as tasks,
                ):
                    tasks.start_soon(daemon.run)
                    tasks.start_soon(self._tell, daemon, told)
                    tasks.start_soon(self._reload, daemon, rules)
                    await anyio.sleep(max(0.0, until + 1000 - self.clock.monotonic()))
                    scope.cancel()  # nothing is drained

    async def _tell(self, daemon: Daemon, told: list[Told]) -> None:
        while told:
            await anyio.sleep(max(0.0, told[0].at + 1000 - self.clock.monotonic()))
            event = told[0].event
            await daemon.take(Arrival(event.source, "t", (event,)))
            del told[0]

    async def _reload(self, daemon: Daemon, rules: Path) -> None:
        for at, kind in self.story.blows:
            if kind == "reload" and at + 1000 > self.clock.monotonic():
                await anyio.sleep(at + 1000 - self.clock.monotonic())
                self.reloads += 1
                _write(rules, self.rules + OTHER.replace("{}", str(self.reloads), 1))
                found = await daemon.reload()
                assert found.accepted, list(map(str, found.problems))

    async def outcome(self) -> dict[str, Any]:
        """What can be told of it afterwards, without the names that are made up anew each time."""
        return {**await self.store.read(_outcome), "reruns": dict(self.dataphin.reruns)}


def _write(file: Path, text: str) -> None:
    file.write_text(text)


def _outcome(tx: Snapshot) -> dict[str, Any]:
    rows = tx.all("list_firings", limit=999, tenant="")
    firings = [found for row in rows if (found := journal.firing_of(tx, row["id"])) and found.mode != "off"]
    told = Counter(
        (each.rule, each.key, each.event_id, each.state, each.reason.partition("fi_")[0],
         tuple(sorted((name, result.outcome) for name, result in each.results.items())))
        for each in firings
        if not each.rule.startswith("other")
    )  # fmt: skip
    notices = [
        from_text(row["payload"])
        for row in tx.all("due_notices", notifier="oncall", now=tx.now + timedelta(days=9), limit=999)
    ]
    return {"firings": told, "notices": Counter((each["rule"], each["message"]) for each in notices)}


async def _live(story: Story, folder: Path, rules: str = RULES) -> dict[str, Any]:
    clock = LoopClock(START)
    async with Store.open(":memory:", clock) as store:
        life = Life(story, folder, clock, store, ScriptedDataphin(clock, START, story.script), rules)
        await life.live()
        return await life.outcome()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(500 if LONG else 40))
def test_kills_and_reloads_change_nothing(tmp_path: Path, seed: int) -> None:
    undisturbed = run(_live(story(seed, blows=False), tmp_path))
    disturbed = run(_live(story(seed), tmp_path))
    assert disturbed == undisturbed
    assert undisturbed["firings"]


LONELY = """
rules:
  - id: lonely
    on: { event: instance.failed, absent: instance.succeeded, within: 10m15s }
    key: event.instance.id
    concurrency: {}
    do:
      - wait: 30m
      - notify: { to: oncall, message: "{{ event.instance.id }}" }
"""


@pytest.mark.parametrize("blows", [[], [(1900.0, "kill")], [(1000.0, "kill"), (1834.99, "kill"), (1900.0, "reload")]])
@pytest.mark.parametrize(
    ("concurrency", "states"),
    [
        ("single", [("done", ""), ("skipped", "the key is busy (concurrency: single)")]),
        ("queued", [("done", ""), ("running", "step wait-1 waits until")]),
        ("restart", [("skipped", "restarted by "), ("running", "step wait-1 waits until")]),
        ("parallel", [("done", ""), ("running", "step wait-1 waits until")]),
    ],
)
def test_an_absence_that_is_due_while_its_key_is_busy_does_as_its_rule_says(
    tmp_path: Path, concurrency: str, states: list[tuple[str, str]], blows: list[tuple[float, str]]
) -> None:
    told: list[Told] = []
    script: dict[str, list[Change]] = {"t_2": [Change(0.0, "RUNNING")]}
    for at in (20.0, 1220.0):
        script["t_2"].append(Change(at + 1000, "FAILED"))
        told.append(Told(at, _of("t_2", "FAILED", at)))
    lived = run(_live(Story(told, script, blows), tmp_path, LONELY.replace("{}", concurrency, 1)))
    found = {event_id: (state, reason) for _, _, event_id, state, reason, _ in lived["firings"]}
    for each, (state, reason) in zip(told, states, strict=True):
        assert found[each.event.id][0] == state
        assert found[each.event.id][1].startswith(reason)
