from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from phinops import virtual
from phinops.clock import LoopClock
from phinops.errors import StoreError
from phinops.execute.notify.deliver import AT_A_TIME, LIFE, Deliveries, Letter, Line
from phinops.execute.notify.note import Form, Note, Pace, Undelivered
from phinops.execute.notify.pace import Places
from stillness import NOON

BUSY = Undelivered("HTTP 503", retry=True)


@dataclass(slots=True)
class Row:
    letter: Letter
    next_at: datetime
    state: str = "ready"
    error: str = ""
    carrier: str = ""


@dataclass(slots=True)
class MemoryOutbox:
    """The outbox in memory; `broken` methods raise. `looks` counts how often it was looked at.

    `earlier` is when an earlier process sent messages.
    """

    clock: LoopClock
    earlier: tuple[datetime, ...] = ()
    rows: dict[str, Row] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    looks: int = 0

    def put(self, id: str, notifier: str = "oncall", *, age: timedelta = timedelta(), **payload: object) -> None:
        now = self.clock.now()
        letter = Letter(id, notifier, {"rule": "r", "message": id, **payload}, 0, now - age)
        self.rows[id] = Row(letter, now)

    async def due(self, notifier: str, now: datetime, limit: int) -> Sequence[Letter]:
        self.looks += 1
        self._check("due")
        ready = [row for row in self.rows.values() if row.state == "ready" and row.next_at <= now]
        mine = [row.letter for row in ready if row.letter.notifier == notifier][:limit]
        carriers = {row.carrier for row in self.rows.values()}
        return [replace(letter, carries=letter.id in carriers) for letter in mine]

    async def merge(self, id: str, others: Sequence[str]) -> None:
        self._check("merge")
        for other in others:
            self.rows[other].state, self.rows[other].carrier = "merged", id

    async def carried(self, id: str) -> Sequence[Letter]:
        return [row.letter for row in self.rows.values() if row.carrier == id]

    async def sent_since(self, notifier: str, since: datetime) -> Sequence[datetime]:
        return [at for at in self.earlier if at > since]

    async def sent(self, id: str) -> None:
        self._check("sent")
        self.rows[id].state = "sent"

    async def retry(self, id: str, at: datetime, error: str) -> None:
        self._check("retry")
        row = self.rows[id]
        row.letter = replace(row.letter, attempts=row.letter.attempts + 1)
        row.next_at, row.error = at, error

    async def dead(self, id: str, error: str) -> None:
        for row in self.rows.values():
            if row.letter.id == id or row.carrier == id:
                row.state, row.error = "dead", error

    def _check(self, method: str) -> None:
        if method in self.broken:
            raise StoreError("the disk is full")


@dataclass(slots=True)
class Bell:
    """A channel that keeps when it was rung by which notice, takes `lasts` seconds and meets `answers` in turn."""

    clock: LoopClock
    form: Form = field(default_factory=Form)
    answers: deque[Exception] = field(default_factory=deque)
    always: Exception | None = None
    lasts: float = 0.0
    rung: list[tuple[float, str]] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    async def send(self, note: Note) -> None:
        self.notes.append(note)
        self.rung.append((round((self.clock.now() - NOON).total_seconds(), 1), note.id))
        await anyio.sleep(self.lasts)
        error = self.answers.popleft() if self.answers else self.always
        if error is not None:
            raise error


@dataclass(slots=True)
class Scene:
    clock: LoopClock
    outbox: MemoryOutbox
    bells: dict[str, Bell]
    deliveries: Deliveries

    @property
    def bell(self) -> Bell:
        return self.bells["oncall"]

    def state(self, id: str) -> str:
        return self.outbox.rows[id].state

    async def pass_by(self, seconds: float) -> None:
        await self.clock.sleep(seconds)


def play(script: Callable[[Scene], Awaitable[None]], *notifiers: str, form: Form | None = None) -> None:
    """Run the script beside deliveries without jitter, in virtual time that begins at noon."""

    async def main() -> None:
        clock = LoopClock(NOON - timedelta(seconds=asyncio.get_running_loop().time()))
        bells = {name: Bell(clock, form or Form()) for name in notifiers or ("oncall",)}
        outbox = MemoryOutbox(clock)
        pace = form and form.pace
        ways = {name: Line(bell, Places(pace, clock) if pace else None) for name, bell in bells.items()}
        scene = Scene(clock, outbox, bells, Deliveries(outbox, ways, clock, chance=lambda: 0.0))
        async with anyio.create_task_group() as group:
            group.start_soon(scene.deliveries.run)
            await script(scene)
            group.cancel_scope.cancel()

    virtual.run(main())


def test_what_is_in_the_outbox_is_sent_at_once_and_once() -> None:
    async def script(scene: Scene) -> None:
        scene.outbox.put("a")
        scene.outbox.put("b")
        await scene.pass_by(3600)
        assert scene.bell.rung == [(0.0, "a"), (0.0, "b")]
        assert (scene.state("a"), scene.state("b")) == ("sent", "sent")

    play(script)


def test_a_new_notice_is_sent_when_it_is_told() -> None:
    async def script(scene: Scene) -> None:
        await scene.pass_by(10)
        scene.outbox.put("a")
        scene.deliveries.wake()
        await scene.pass_by(1)
        assert scene.bell.rung == [(10.0, "a")]

    play(script)


def test_a_new_notice_that_nobody_tells_is_found_by_itself() -> None:
    async def script(scene: Scene) -> None:
        await scene.pass_by(1)
        scene.outbox.put("a")
        await scene.pass_by(30)
        assert scene.bell.rung == [(30.0, "a")]

    play(script)


def test_pauses_grow_and_the_notice_keeps_its_id() -> None:
    async def script(scene: Scene) -> None:
        scene.bell.answers.extend([BUSY] * 4)
        scene.outbox.put("a")
        await scene.pass_by(200)
        assert scene.bell.rung == [(0.0, "a"), (5.0, "a"), (15.0, "a"), (35.0, "a"), (75.0, "a")]
        assert (scene.state("a"), scene.outbox.rows["a"].error) == ("sent", "HTTP 503")

    play(script)


def test_the_receiver_s_own_wait_is_kept_by_all_that_are_in_line() -> None:
    async def script(scene: Scene) -> None:
        scene.bell.answers.append(Undelivered("errcode 130101", retry=True, after=60.0))
        scene.outbox.put("a")
        scene.outbox.put("b")
        await scene.pass_by(100)
        assert sorted(scene.bell.rung) == [(0.0, "a"), (60.0, "a"), (60.0, "b")]

    play(script)


def test_a_refusal_for_good_is_dead_at_once() -> None:
    async def script(scene: Scene) -> None:
        scene.bell.answers.append(Undelivered("HTTP 404", retry=False))
        scene.outbox.put("a")
        scene.outbox.put("b")
        with capture_logs() as logs:
            await scene.pass_by(1)
        assert (scene.state("a"), scene.outbox.rows["a"].error) == ("dead", "HTTP 404")
        assert scene.state("b") == "sent"
        assert [entry["event"] for entry in logs] == ["notice.dead", "notice.sent"]

    play(script)


def test_a_notice_is_dead_after_a_day() -> None:
    async def script(scene: Scene) -> None:
        scene.bell.always = BUSY
        scene.outbox.put("a")
        await scene.pass_by(LIFE.total_seconds() + 60)
        assert scene.state("a") == "dead"
        assert scene.outbox.rows["a"].error == "given up after 1 day, 0:00:00: HTTP 503"
        last = scene.bell.rung[-1][0]
        assert LIFE.total_seconds() <= last <= LIFE.total_seconds() + 30
        assert len(scene.bell.rung) == pytest.approx(34, abs=2)

    play(script)


def test_a_slow_notifier_delays_nobody_else() -> None:
    async def script(scene: Scene) -> None:
        scene.bells["slow"].lasts = 15.0
        scene.bells["slow"].always = BUSY
        for n in range(20):
            scene.outbox.put(f"s{n}", "slow")
            scene.outbox.put(f"q{n}", "quick")
        await scene.pass_by(1)
        assert len(scene.bells["quick"].rung) == 20
        assert len(scene.bells["slow"].rung) == 1

    play(script, "slow", "quick")


def test_a_channel_that_trips_over_a_notice_stops_nothing() -> None:
    async def script(scene: Scene) -> None:
        scene.bell.answers.append(KeyError("https://token.example"))
        scene.outbox.put("a")
        scene.outbox.put("b")
        with capture_logs() as logs:
            await scene.pass_by(1)
        assert scene.state("b") == "sent"
        assert scene.outbox.rows["a"].error == "phinops failed to send it (KeyError)"
        assert "token.example" not in str(logs)
        await scene.pass_by(10)
        assert scene.state("a") == "sent"

    play(script)


def test_a_store_that_does_not_answer_is_asked_again() -> None:
    async def script(scene: Scene) -> None:
        scene.outbox.broken.add("due")
        scene.outbox.put("a")
        await scene.pass_by(40)
        assert scene.bell.rung == []
        scene.outbox.broken.clear()
        await scene.pass_by(30)
        assert scene.state("a") == "sent"

    play(script)


def test_a_notice_is_not_sent_again_because_the_store_could_not_be_told() -> None:
    async def script(scene: Scene) -> None:
        scene.outbox.broken.add("sent")
        scene.outbox.put("a")
        await scene.pass_by(100)
        assert len(scene.bell.rung) == 1
        scene.outbox.broken.clear()
        await scene.pass_by(30)
        assert (scene.state("a"), len(scene.bell.rung)) == ("sent", 1)

    play(script)


def test_a_store_that_takes_nothing_keeps_no_notice_from_going_out_and_none_goes_twice() -> None:
    async def script(scene: Scene) -> None:
        scene.outbox.broken |= {"sent", "retry"}
        scene.bell.answers.append(BUSY)
        for n in range(3):
            scene.outbox.put(f"a{n}")
        await scene.pass_by(120)
        assert sorted(name for _, name in scene.bell.rung) == ["a0", "a0", "a1", "a2"], "the refused one once more"
        scene.outbox.broken.clear()
        await scene.pass_by(60)
        assert [scene.state(f"a{n}") for n in range(3)] == ["sent"] * 3
        assert len(scene.bell.rung) == 4

    play(script)


def test_what_could_not_be_recorded_is_told_and_not_again_once_it_is_recorded() -> None:
    async def script(scene: Scene) -> None:
        scene.bell.answers.extend([BUSY, BUSY])
        scene.outbox.put("a")
        letter = scene.outbox.rows.pop("a").letter
        scene.deliveries.straight(letter)
        assert scene.deliveries.unrecorded == [letter]
        await scene.pass_by(60)
        assert [name for _, name in scene.bell.rung] == ["a", "a", "a"]
        assert scene.deliveries.unrecorded == []
        scene.deliveries.straight(letter)
        scene.outbox.put("a")
        scene.deliveries.wake()
        await scene.pass_by(60)
        assert (scene.state("a"), len(scene.bell.rung)) == ("sent", 3)

    play(script)


def test_what_could_not_be_recorded_and_is_refused_for_good_is_let_go() -> None:
    async def script(scene: Scene) -> None:
        scene.bell.always = Undelivered("no such robot", retry=False)
        scene.outbox.put("a")
        scene.deliveries.straight(scene.outbox.rows.pop("a").letter)
        scene.deliveries.straight(Letter("b", "nobody", {}, 0, scene.clock.now()))
        await scene.pass_by(60)
        assert (len(scene.bell.rung), scene.deliveries.unrecorded) == (1, [])

    play(script)


def test_a_long_line_is_worked_off_without_a_rest() -> None:
    async def script(scene: Scene) -> None:
        for n in range(3 * AT_A_TIME):
            scene.outbox.put(f"a{n}")
        await scene.pass_by(1)
        assert len(scene.bell.rung) == 3 * AT_A_TIME

    play(script)


def test_an_idle_outbox_is_looked_at_twice_a_minute() -> None:
    async def script(scene: Scene) -> None:
        await scene.pass_by(600)
        assert scene.outbox.looks == pytest.approx(20, abs=1)

    play(script)


def test_an_overdue_notice_of_an_earlier_process_gets_one_more_try() -> None:
    async def script(scene: Scene) -> None:
        scene.outbox.put("a", age=LIFE * 2)
        scene.bell.answers.append(BUSY)
        scene.outbox.put("b", age=LIFE * 2)
        await scene.pass_by(1)
        assert (scene.state("a"), scene.state("b")) == ("dead", "sent")

    play(script)


FEW = Form(Pace(20, 60.0), room=16_000)


def most_in_a_minute(moments: Sequence[float]) -> int:
    return max(sum(at - 60.0 < other <= at for other in moments) for at in moments)


def test_few_notices_are_messages_of_their_own_at_once() -> None:
    async def script(scene: Scene) -> None:
        for n in range(10):
            scene.outbox.put(f"a{n}")
        await scene.pass_by(1)
        assert scene.bell.rung == [(0.0, f"a{n}") for n in range(10)]

    play(script, form=FEW)


def test_many_notices_are_told_in_few_messages_and_each_is_told() -> None:
    async def script(scene: Scene) -> None:
        for n in range(500):
            scene.outbox.put(f"a{n}", title=f"dws_{n:03d} fails")
            scene.deliveries.wake()
            await scene.pass_by(0.12)
        await scene.pass_by(120)
        moments = [at for at, _ in scene.bell.rung]
        assert most_in_a_minute(moments) <= 20
        assert {row.state for row in scene.outbox.rows.values()} == {"sent", "merged"}
        told = "\n".join(f"{note.title}\n{note.message}" for note in scene.bell.notes)
        assert all(f"dws_{n:03d} fails" in told for n in range(500))
        assert max(later - at for at, later in itertools.pairwise(moments)) <= 7.0

    play(script, form=FEW)


def test_a_question_to_people_is_a_message_of_its_own_among_many() -> None:
    async def script(scene: Scene) -> None:
        for n in range(200):
            asks: dict[str, Any] = {"approval": {"id": f"ap_{n}"}} if n in (0, 150) else {}
            scene.outbox.put(f"a{n}", message=f"words of {n} in full " * 20, **asks)
        await scene.pass_by(600)
        assert {row.state for row in scene.outbox.rows.values()} == {"sent", "merged"}
        questions = {note.id: note for note in scene.bell.notes if note.approval}
        assert questions.keys() == {"a0", "a150"}
        assert all(note.message == f"words of {id[1:]} in full " * 20 for id, note in questions.items())
        assert len(scene.bell.notes) < 20

    play(script, form=FEW)


def test_a_digest_that_must_be_sent_again_is_the_same_message() -> None:
    async def script(scene: Scene) -> None:
        scene.bell.answers.extend([BUSY, BUSY])
        for n in range(30):
            scene.outbox.put(f"a{n}")
        await scene.pass_by(4)
        scene.outbox.put("late")
        await scene.pass_by(60)
        first, second, third = (note for note in scene.bell.notes if note.title == "30 notices")
        assert first == second == third
        assert first.id == "a0"
        assert {row.state for row in scene.outbox.rows.values()} == {"sent", "merged"}

    play(script, form=FEW)


def test_what_a_dead_digest_carries_is_dead_with_it() -> None:
    async def script(scene: Scene) -> None:
        scene.bell.answers.append(Undelivered("errcode 300001", retry=False))
        for n in range(30):
            scene.outbox.put(f"a{n}")
        await scene.pass_by(4)
        assert [row.state for row in scene.outbox.rows.values()] == ["dead"] * 30

    play(script, form=FEW)


def test_what_an_earlier_process_sent_counts() -> None:
    async def script(scene: Scene) -> None:
        scene.outbox.earlier = tuple(NOON - timedelta(seconds=10 + n) for n in range(20))
        scene.outbox.put("a")
        scene.outbox.put("b")
        await scene.pass_by(120)
        assert scene.bell.rung[0][0] == pytest.approx(60.0 - 29, abs=0.2)

    play(script, form=FEW)


def test_a_gap_between_two_messages_is_kept() -> None:
    async def script(scene: Scene) -> None:
        for n in range(5):
            scene.outbox.put(f"a{n}")
        await scene.pass_by(20)
        assert [at for at, _ in scene.bell.rung] == pytest.approx([0.0, 1.0, 2.0, 3.0, 4.0], abs=0.2)

    play(script, form=Form(Pace(60, 60.0, gap=1.0)))


def test_where_who_travels_together_cannot_be_recorded_they_are_told_one_by_one() -> None:
    async def script(scene: Scene) -> None:
        scene.outbox.broken |= {"merge", "sent"}
        for n in range(30):
            scene.outbox.put(f"a{n}")
        await scene.pass_by(100)
        assert len(scene.bell.rung) > 1
        assert len({name for _, name in scene.bell.rung}) == len(scene.bell.rung), "each of them once"
        scene.outbox.broken.clear()
        await scene.pass_by(200)
        assert {row.state for row in scene.outbox.rows.values()} == {"sent", "merged"}

    play(script, form=FEW)
