"""The journal against a model of it: whatever is done in whatever order, by whomever, its rows are those of the model.

What the model knows of the journal is its promises. A step has at most one open intent, also over restarts; of those
who would close one a single one succeeds; what is closed stays so, but that what was done may be judged; an attempt is
a row of its own; whoever lost the store changes nothing; and each change has its line in the audit, of the epoch that
made it. The same moves are made on a store in memory and on one on disk.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from phinops.clock import Clock
from phinops.errors import StoreLost
from phinops.event import Event, JsonObject
from phinops.firing import Ask, FiringState, Guard, Intent, Objection, Outcome, StepResult, WriteFacts
from phinops.record import journal, resolving
from phinops.record.book import Book
from phinops.record.resolving import Answer
from phinops.record.sqlite import MEMORY, Store
from phinops.record.tx import Snapshot, Tx
from records import FIRING, LONG, START, STEP, alter
from simulated import HandClock

T = TypeVar("T")

TARGETS = ("t_1", "t_2")
STEPS = 3
"""How many steps a firing has."""

PLAN: JsonObject = {"steps": [{"verify_s": 60}] * STEPS}

Leave = Literal["leaves", "waits", "refused"]
VERDICTS: Sequence[tuple[str, Outcome | None]] = (
    ("done", "accepted"), ("failed", "refused"), ("absent", None), ("unknown", "unknown"),
)  # fmt: skip
RESOLVED: Mapping[Answer, tuple[str, str]] = {
    "done": ("done", "accepted"), "absent": ("absent", ""), "abandon": ("abandoned", "abandoned"),
}  # fmt: skip
JUDGED: Sequence[Outcome] = ("verified", "failed", "timed_out")
ENDS: Sequence[FiringState] = ("done", "failed", "skipped")

OVERTAKE = "UPDATE lease SET epoch = epoch + 1, holder = 'somebody else'"
AUDIT = (
    "SELECT what, firing_id, epoch FROM audit WHERE what LIKE 'action.%' OR what LIKE 'wait.%' OR what LIKE 'firing.%'"
)


@dataclass(slots=True)
class Row:
    """An attempt as it should stand in the journal."""

    firing: str
    n: int
    attempt: int
    epoch: int
    target: str
    state: str
    outcome: str = ""


@dataclass(slots=True)
class Course:
    """A firing as it should stand in the journal; a person's has no event."""

    state: str
    persons: bool
    target: str
    cursor: int = 0
    ended: bool = False


@dataclass(slots=True)
class Model:
    """What the journal should hold: firings and attempts by their ids, and the audit's lines in order."""

    epoch: int = 1
    firings: dict[str, Course] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)
    audit: list[tuple[str, str, int]] = field(default_factory=list)

    def note(self, what: str, firing: str) -> None:
        self.audit.append((what, firing, self.epoch))

    def tries(self, firing: str) -> list[Row]:
        """The attempts at the step where the firing stands, the newest last."""
        return [row for row in self.rows.values() if (row.firing, row.n) == (firing, self.firings[firing].cursor)]

    def open(self, firing: str = "") -> list[str]:
        """The open intents, of that firing or of all."""
        return [key for key, row in self.rows.items() if row.state == "intent" and firing in ("", row.firing)]

    def put(self, key: str, firing: str, state: str, outcome: str = "") -> None:
        course, tries = self.firings[firing], self.tries(firing)
        attempt = tries[-1].attempt + 1 if tries else 1
        self.rows[key] = Row(firing, course.cursor, attempt, self.epoch, course.target, state, outcome)

    def close(self, key: str, state: str, outcome: str) -> bool:
        row = self.rows[key]
        if row.state != "intent":
            return False
        row.state, row.outcome = state, outcome
        self.note(f"action.{state}", row.firing)
        return True

    def end(self, firing: str, state: str) -> bool:
        course = self.firings[firing]
        if course.ended:
            return False
        course.state, course.ended = state, True
        for row in self.rows.values():
            if row.firing == firing and row.state == "waiting":
                row.state, row.outcome = "done", "skipped"
        self.note("firing.ended", firing)
        return True

    def resolve(self, key: str, answer: Answer) -> bool:
        """What a person says of a write of unknown fate ends its firing, or lets it go on where it stood."""
        row = self.rows[key]
        if row.state != "unknown":
            return False
        row.state, row.outcome = RESOLVED[answer]
        self.note("action.resolved", row.firing)
        course = self.firings[row.firing]
        newest = [name for name, each in self.rows.items() if each.firing == row.firing][-1]
        if course.state != "needs_decision" or newest != key:
            return True
        if answer != "abandon" and not course.persons and course.cursor in (row.n, row.n + 1):
            course.state, course.ended, course.cursor = "running", False, row.n
            self.note("firing.reopened", row.firing)
        else:
            course.state = "done" if answer == "done" else "failed"
            self.note("firing.ended", row.firing)
        return True

    def abandon(self, firing: str) -> None:
        for key in self.open(firing):
            self.close(key, "unknown", "unknown")
        self.end(firing, "needs_decision")


class JournalMachine(RuleBasedStateMachine):
    """The moves. Those that the daemon never makes are made as well where the journal promises to refuse them."""

    on_disk = False

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.clock: Clock = HandClock(START)
        self.lost = False
        self.numbers = iter(range(1, 1_000_000))
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.path = str(Path(self.folder.name) / "p.db") if self.on_disk else MEMORY
        self.stack = AsyncExitStack()
        self.runner.run(self._open())

    async def _open(self) -> None:
        self.store = await self.stack.enter_async_context(Store.open(self.path, self.clock))
        self.book = Book(self.store)

    def teardown(self) -> None:
        self.runner.run(self.stack.aclose())
        self.runner.close()
        self.folder.cleanup()

    def made(self, move: Awaitable[T]) -> tuple[bool, T | None]:
        """Whether the move was possible, and what it gave: nothing is, once somebody else has the store."""

        async def make() -> T:
            return await move

        if not self.lost:
            return True, self.runner.run(make())
        with pytest.raises(StoreLost):
            self.runner.run(make())
        return False, None

    def write(self, op: Callable[[Tx], T]) -> tuple[bool, T | None]:
        return self.made(self.store.write(op))

    # What happens to firings

    @rule(persons=st.booleans(), on=st.sampled_from(TARGETS))
    def born(self, persons: bool, on: str) -> None:
        number = next(self.numbers)
        event = Event(f"ev_{number}", "instance.failed", START, "prod", "instances")
        state: FiringState = "running" if persons else "ready"
        firing = replace(FIRING, id=f"fi_{number}", event_id="" if persons else event.id, state=state, plan=PLAN)

        def op(tx: Tx) -> None:
            journal.put_event(tx, event)
            journal.put_firing(tx, firing)

        if self.write(op)[0]:
            self.model.firings[firing.id] = Course(state, persons, on)

    @precondition(lambda self: self.model.firings)
    @rule(data=st.data(), state=st.sampled_from(["running", "settling"]))
    def moved(self, data: st.DataObject, state: FiringState) -> None:
        firing = self._firing(data)
        if self.made(self.book.move(firing, state, "because"))[0] and not self.model.firings[firing].ended:
            self.model.firings[firing].state = state

    @precondition(lambda self: self.model.firings)
    @rule(data=st.data())
    def advanced(self, data: st.DataObject) -> None:
        firing = self._firing(data)
        course = self.model.firings[firing]
        if self.model.open(firing) or course.cursor == STEPS - 1:
            return
        if (
            self.made(self.book.advance(firing, course.cursor + 1, {"s": StepResult("accepted")}))[0]
            and not course.ended
        ):
            course.cursor += 1
            course.state = "running"

    @precondition(lambda self: self.model.firings)
    @rule(data=st.data(), state=st.sampled_from(ENDS))
    def ended(self, data: st.DataObject, state: FiringState) -> None:
        firing = self._firing(data)
        if self.model.open(firing):
            return
        done, changed = self.write(lambda tx: journal.end(tx, firing, state, "because"))
        if done:
            assert changed == self.model.end(firing, state)

    @precondition(lambda self: self.model.open())
    @rule(data=st.data())
    def abandoned(self, data: st.DataObject) -> None:
        firing = self.model.rows[data.draw(st.sampled_from(self.model.open()))].firing
        if self.write(lambda tx: journal.abandon(tx, firing, "because"))[0]:
            self.model.abandon(firing)

    # What happens to steps

    @precondition(lambda self: self.model.firings)
    @rule(data=st.data(), leaves=st.lists(st.sampled_from(["leaves", "leaves", "waits", "refused"]), min_size=3))
    def intended(self, data: st.DataObject, leaves: list[Leave]) -> None:
        """A batch asks to leave: what the guard is told is true, and what it says is done."""
        wanted = data.draw(st.lists(st.sampled_from(sorted(self.model.firings)), min_size=1, max_size=3, unique=True))
        asks = [Ask(self._intent(firing), FIRING.rule) for firing in wanted if not self.model.open(firing)]
        told: list[WriteFacts] = []
        says = dict(zip((ask.intent.action_id for ask in asks), leaves, strict=False))
        if not asks or not self.made(self.book.intend(asks, _guard(says, told)))[0]:
            return
        assert [facts.unsettled in self._unsettled_on(ask) for ask, facts in zip(asks, told, strict=True)] == [
            True
        ] * len(asks)
        for ask in asks:
            self._left(ask.intent, says[ask.intent.action_id])

    def _left(self, intent: Intent, how: Leave) -> None:
        if how == "leaves":
            self.model.put(intent.action_id, intent.firing_id, "intent")
            self.model.note("action.intended", intent.firing_id)
        elif how == "refused":
            self.model.put(intent.action_id, intent.firing_id, "failed", "refused")
            self.model.note("action.recorded", intent.firing_id)

    @precondition(lambda self: self.model.open())
    @rule(data=st.data())
    def a_second_intent_is_not_taken(self, data: st.DataObject) -> None:
        """Whoever holds the first, this process or one before it: there is no other until a verdict."""
        firing = self.model.rows[data.draw(st.sampled_from(self.model.open()))].firing
        ask = Ask(self._intent(firing), FIRING.rule)
        if self.model.firings[firing].cursor != self.model.rows[self.model.open(firing)[0]].n:
            return
        with pytest.raises((sqlite3.IntegrityError, StoreLost)):
            self.runner.run(self.book.intend([ask], _guard({ask.intent.action_id: "leaves"}, [])))

    @precondition(lambda self: self.model.rows)
    @rule(data=st.data(), verdict=st.sampled_from(VERDICTS))
    def settled(self, data: st.DataObject, verdict: tuple[str, Outcome | None]) -> None:
        key = self._row(data, "intent")
        done, changed = self.made(self._settle(key, verdict))
        if done:
            assert changed == self.model.close(key, verdict[0], verdict[1] or "")

    @precondition(lambda self: self.model.open())
    @rule(data=st.data(), first=st.sampled_from(VERDICTS), second=st.sampled_from(VERDICTS))
    def settled_by_two(self, data: st.DataObject, first: Any, second: Any) -> None:
        """An answer that comes late, and whoever has read the target meanwhile: the first in the queue has it."""
        key = data.draw(st.sampled_from(self.model.open()))

        async def both() -> list[bool]:
            return list(await asyncio.gather(self._settle(key, first), self._settle(key, second)))

        done, changed = self.made(both())
        if done:
            assert changed == [True, False]
            self.model.close(key, first[0], first[1] or "")

    @precondition(lambda self: self.model.rows)
    @rule(data=st.data(), outcome=st.sampled_from(JUDGED))
    def judged(self, data: st.DataObject, outcome: Outcome) -> None:
        key = self._row(data, "done")
        row = self.model.rows[key]
        if self.made(self.book.judge(key, outcome, "seen"))[0] and row.state == "done":
            row.outcome = outcome
            self.model.note("action.judged", row.firing)

    @precondition(lambda self: any(row.state == "unknown" for row in self.model.rows.values()))
    @rule(data=st.data(), answers=st.tuples(st.sampled_from(sorted(RESOLVED)), st.sampled_from(sorted(RESOLVED))))
    def resolved_by_two(self, data: st.DataObject, answers: tuple[Answer, Answer]) -> None:
        """Two persons decide the same; it is asked of any write, and taken of one whose fate is unknown."""
        key = self._row(data, "unknown")

        async def both() -> list[bool]:
            asked = (self.store.write(_saying(key, answer)) for answer in answers)
            return list(await asyncio.gather(*asked))

        done, changed = self.made(both())
        if done:
            assert changed == [self.model.resolve(key, answers[0]), False]

    @precondition(lambda self: self.model.firings)
    @rule(data=st.data())
    def begins_to_wait(self, data: st.DataObject) -> None:
        firing = self._firing(data)
        if self.model.tries(firing) or self.model.firings[firing].ended:
            return
        row = replace(self._intent(firing), kind="wait", state="waiting")
        if self.made(self.book.open_wait(row))[0]:
            self.model.put(row.action_id, firing, "waiting")
            self.model.note("wait.begun", firing)

    @precondition(lambda self: self.model.rows)
    @rule(data=st.data())
    def has_waited(self, data: st.DataObject) -> None:
        key = self._row(data, "waiting")
        row = self.model.rows[key]
        if self.made(self.book.close_wait(key, "verified", "it is so", None))[0] and row.state == "waiting":
            row.state, row.outcome = "done", "verified"
            self.model.note("wait.ended", row.firing)

    # What happens to processes

    @precondition(lambda self: self.model.open() and not self.lost)
    @rule()
    def overtaken(self) -> None:
        """Another process takes the store; what this one still tries is refused, and nothing changes."""
        if self.on_disk:
            alter(Path(self.path), OVERTAKE)
        else:
            self.store._backend.committer.connection.execute(OVERTAKE)
        self.model.epoch += 1
        self.lost = True

    @precondition(lambda self: self.lost or self.model.open())
    @rule()
    def restarted(self) -> None:
        """A new process, one epoch further; what a person had under way is nobody's any more."""
        if self.on_disk:
            self.runner.run(self.stack.aclose())
            self.runner.run(self._open())
        else:
            self.store._backend.committer.take_lease("a new one")
        self.model.epoch += 1
        self.lost = False
        assert self.store.epoch == self.model.epoch
        lost = [firing for firing, course in self.model.firings.items() if course.persons and self.model.open(firing)]
        assert self.write(journal.abandon_operator_calls)[1] == len(lost)
        for firing in lost:
            self.model.abandon(firing)

    # What must always hold

    @invariant()
    def the_journal_is_the_model(self) -> None:
        rows, firings, lines, counts = self.runner.run(self.store.read(_all))
        assert rows == {key: _columns_of(row) for key, row in self.model.rows.items()}
        assert firings == {key: (it.state, it.cursor, it.ended) for key, it in self.model.firings.items()}
        assert sorted(lines) == sorted(self.model.audit)
        assert counts["open"] == len(self.model.open())
        assert counts["firings"] == sum(it.state != "skipped" for it in self.model.firings.values())

    def _firing(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.model.firings)))

    def _row(self, data: st.DataObject, state: str) -> str:
        """An attempt, most often one in that state."""
        wanted = sorted(key for key, row in self.model.rows.items() if row.state == state)
        anyone = not wanted or data.draw(st.integers(0, 4)) == 0
        return data.draw(st.sampled_from(sorted(self.model.rows) if anyone else wanted))

    def _intent(self, firing: str) -> Intent:
        """The next attempt at the step where the firing stands."""
        course, tries = self.model.firings[firing], self.model.tries(firing)
        attempt = tries[-1].attempt + 1 if tries else 1
        key = f"act_{next(self.numbers)}"
        return replace(
            STEP, action_id=key, firing_id=firing, n=course.cursor, attempt=attempt, target_id=course.target
        )  # fmt: skip

    def _unsettled_on(self, ask: Ask) -> list[str | None]:
        """The actions that the guard may be told of: those that nobody reads back any more come first."""
        on = [key for key, row in self.model.rows.items() if row.target == ask.intent.target_id]
        unknown = [key for key in on if self.model.rows[key].state == "unknown"]
        return [*(unknown or [key for key in on if self.model.rows[key].state == "intent"])] or [None]

    async def _settle(self, key: str, verdict: tuple[str, Outcome | None]) -> bool:
        return await self.book.settle(key, *verdict, result={"settled": "because"})


class OnDisk(JournalMachine):
    """The same on a file, with the thread that writes it."""

    on_disk = True


def _saying(key: str, answer: Answer) -> Callable[[Tx], bool]:
    return lambda tx: resolving.resolve(tx, key, answer, "li_na", "because") is not None


def _columns_of(row: Row) -> tuple[Any, ...]:
    return row.firing, row.n, row.attempt, row.epoch, row.target, row.state, row.outcome


def _guard(says: dict[str, Leave], told: list[WriteFacts]) -> Guard:
    def judge(asked: Sequence[tuple[Ask, WriteFacts]]) -> Sequence[Objection | None]:
        told[:] = [facts for _, facts in asked]
        no = {"leaves": None, "waits": Objection("not now", passing=True), "refused": Objection("never")}
        return [no[says[ask.intent.action_id]] for ask, _ in asked]

    return judge


def _all(tx: Snapshot) -> tuple[Any, ...]:
    columns = ("firing_id", "n", "attempt", "epoch", "target_id", "state", "outcome")
    rows = {row["action_id"]: tuple(row[each] for each in columns) for row in tx.all("every_step")}
    firings = {
        row["id"]: (row["state"], row["cursor"], row["ended_at"] is not None) for row in tx.all("every_firing")
    }  # fmt: skip
    lines = [tuple(row) for row in tx._connection.execute(AUDIT)]
    return rows, firings, lines, journal.counts(tx)


@pytest.mark.long
@pytest.mark.parametrize("machine", [JournalMachine, OnDisk])
def test_whatever_is_done_in_whatever_order_the_journal_is_the_model(machine: type[JournalMachine]) -> None:
    examples = (25 if machine.on_disk else 150) * (10 if LONG else 1)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            derandomize=not LONG,
            suppress_health_check=[HealthCheck.too_slow],
            print_blob=True,
        ),
    )
