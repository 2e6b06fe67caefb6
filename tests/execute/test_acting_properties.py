"""The whole walk under whatever may happen to it, in virtual time.

A service that does what reaches it, late, whether or not its caller still lives; a store that fails for a while; kills
at any moment. What must hold: each write that is said to be done was done once, none that is said to be refused was
done, each notice is in the outbox once, nothing stays open, nobody waits for ever.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from phinops.clock import LoopClock
from phinops.errors import StoreUnwritable
from phinops.event import Event, JsonObject
from phinops.firing import Firing
from phinops.record.sqlite import Store
from phinops.virtual import run
from worlds import START, FailingStore, Fault, Stage, World, failed_event, firing_of, stage

LONG = bool(os.environ.get("PHINOPS_LONG"))

pytestmark = pytest.mark.long

LATEST = 8.0
"""Seconds after which nothing that was sent is done any more, and what was done shows: less than the quiet time."""


@dataclass(frozen=True, slots=True)
class Course:
    """One instance's firing: when it is born, in which state, and whether its rerun is verified.

    `rests` is how long a step before the last waits, `retry` how often the rerun may be repeated.
    """

    after: float
    verified: bool
    waits: float | None
    alerts_first: bool
    rests: float | None = None
    retry: int = 0


@dataclass(frozen=True, slots=True)
class Story:
    """`kills` are the lives of the processes before the last; `outages` when the store fails, and for how long."""

    courses: tuple[Course, ...]
    faults: tuple[Fault, ...]
    kills: tuple[float, ...]
    outages: tuple[tuple[float, float], ...]
    read_faults: int
    late: float
    shows: float


courses = st.builds(
    Course,
    after=st.just(0.0) | st.floats(0, 20),
    verified=st.booleans(),
    waits=st.none() | st.floats(0.1, 30),
    alerts_first=st.booleans(),
    rests=st.none() | st.floats(0.1, 90),
    retry=st.integers(0, 2),
)
stories = st.builds(
    Story,
    courses=st.lists(courses, min_size=1, max_size=5).map(tuple),
    faults=st.lists(
        st.sampled_from(
            ["lost before", "lost after", "throttled", "transient", "refused", "unspoken", "spent", "item refused"]
        ),
        max_size=6,
    ).map(tuple),
    kills=st.lists(st.floats(0.01, 0.07) | st.floats(0.005, 60), max_size=4).map(tuple),
    outages=st.lists(st.tuples(st.floats(0, 0.1) | st.floats(0, 60), st.floats(0.001, 20)), max_size=3).map(tuple),
    read_faults=st.integers(0, 6),
    late=st.just(LATEST / 2) | st.floats(0, LATEST / 2),
    shows=st.just(LATEST / 2) | st.floats(0, LATEST / 2),
)


@dataclass(slots=True)
class LateWorld(World):
    """A service that goes on with what has reached it when its caller is gone, and refuses to rerun what runs."""

    late: float = 0.0

    def _arrived(self, ids: Sequence[str], fault: Fault | None) -> None:
        if fault not in NEVER_DONE:
            asyncio.get_running_loop().call_later(self.late, self._do, tuple(ids))

    def _do(self, ids: Sequence[str]) -> None:
        self.reruns.update(ids)
        self._runs.update(dict.fromkeys(ids, self.clock.now()))

    def _apply(self, api: str, target: str, command: Mapping[str, Any]) -> None:
        """Done when it arrived."""


NEVER_DONE = ("lost before", "throttled", "transient", "refused", "item refused")


@dataclass(slots=True)
class Play:
    """A story being played."""

    story: Story
    world: LateWorld
    store: Store
    born: list[tuple[Firing, Event]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for number, course in enumerate(self.story.courses):
            event = failed_event(self.world.add_failed(f"t_{number}"))
            rerun: JsonObject = {"kind": "rerun_instance", "verify_s": 300 if course.verified else None}
            notice: JsonObject = {"kind": "notify", "params": {"to": "oncall", "message": "m"}}
            if course.retry:
                rerun["retry"] = course.retry
            steps = [notice, rerun] if course.alerts_first else [rerun, notice]
            if course.rests is not None:
                steps.insert(1, {"kind": "wait", "params": {"duration": f"{course.rests:.3f}s"}})
            waiting: dict[str, Any] = {}
            if course.waits is not None:
                waiting = {"state": "waiting", "started_at": None, "wake_at": START + timedelta(seconds=course.waits)}
            self.born.append((firing_of(event, steps, **waiting), event))

    async def bear(self, shown: Stage, done: set[str]) -> None:
        """Record the firings when their moments come; those of earlier processes are there already."""
        for course, (firing, event) in sorted(
            zip(self.story.courses, self.born, strict=True), key=lambda pair: pair[0].after
        ):
            await anyio.sleep(max(0.0, course.after + 1000 - self.world.clock.monotonic()))
            if firing.id not in done:
                done.add(firing.id)
                await replace(shown, store=self.store, alarms=[], events=[]).add(firing, event)

    async def go(self) -> list[Firing]:
        failing = FailingStore(self.store, self.world.clock, list(self.story.outages))
        done: set[str] = set()
        for lives in self.story.kills:
            async with stage(failing, self.world) as shown:  # type: ignore[arg-type]
                with anyio.move_on_after(lives):
                    await _resume(shown)
                    await self.bear(shown, done)
                    await anyio.sleep_forever()
        failing.outages = [(at, lasts) for at, lasts in failing.outages if at + 1000 > self.world.clock.monotonic()]
        async with stage(failing, self.world) as shown:  # type: ignore[arg-type]
            await _resume(shown)
            await self.bear(shown, done)
            shown.store = self.store
            return await shown.ended(*(firing.id for firing, _ in self.born))


async def _resume(shown: Stage) -> None:
    while True:
        try:
            await shown.courses.resume(await shown.courses.left_open())
        except StoreUnwritable:
            await anyio.sleep(1.0)  # as when systemd starts it again
        else:
            return


@settings(
    max_examples=2500 if LONG else 60,
    deadline=None,
    derandomize=not LONG,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
@given(stories)
@example(Story((Course(0.0, False, None, False),), ("lost after",), (), ((0.03, 0.5),), 0, 4.0, 4.0))
@example(Story((Course(0.0, False, None, False),), (), (0.03,), (), 0, 4.0, 4.0))
def test_each_write_is_done_once_or_said_not_to_be(story: Story) -> None:
    async def main() -> None:
        clock = LoopClock(START - timedelta(seconds=1000))
        world = LateWorld(clock, faults=deque(story.faults), read_faults=story.read_faults)
        world.late, world.shows_after, world.lasts, world.ends = story.late, story.shows, 100.0, "SUCCESS"
        async with Store.open(":memory:", clock) as store:
            play = Play(story, world, store)
            ended = await play.go()
            await anyio.sleep(LATEST)
            for number, firing in enumerate(ended):
                _judge(firing, world.reruns[f"t_{number}"])
            assert (await store.read(lambda tx: tx.one("open_intents"))) == {"n": 0}
            waiting = await store.read(lambda tx: tx.all("due_notices", notifier="oncall", now=tx.now, limit=99))
            told = sum("notify" in {step["kind"] for step in _done_steps(firing)} for firing in ended)
            assert len(waiting) == told

    run(main())


def _judge(firing: Firing, reruns: int) -> None:
    outcome = next(
        (firing.results[step["id"]].outcome for step in _done_steps(firing) if step["kind"] == "rerun_instance"), None
    )
    told = (firing.id, firing.state, firing.reason, outcome, reruns)
    assert reruns <= 1, told
    if outcome in ("accepted", "verified"):
        assert reruns == 1, told
    else:
        assert reruns == 0, told
        assert firing.state in ("failed", "skipped"), told
        assert "no" in firing.reason.split() or "left the state" in firing.reason, told


def _done_steps(firing: Firing) -> list[JsonObject]:
    return [step for step in firing.plan["steps"] if step["id"] in firing.results]


def test_the_late_world_is_late() -> None:
    """The service of these tests really goes on without its caller."""

    async def main() -> None:
        clock = LoopClock(START)
        world = LateWorld(clock, late=2.0)
        event = failed_event(world.add_failed("t_0"))
        async with Store.open(":memory:", clock) as store:
            async with stage(store, world) as shown:
                await shown.add(firing_of(event, [{"kind": "rerun_instance"}]), event)
                await anyio.sleep(0.03)
            assert world.reruns == {}
            await anyio.sleep(3)
            assert world.reruns == {"t_0": 1}

    run(main())
