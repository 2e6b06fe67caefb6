from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from structlog.testing import capture_logs

from happenings import FAILED
from phinops.approval import Approval, Shown
from phinops.clock import LoopClock
from phinops.config import StoreSection
from phinops.decide.rule import Rule
from phinops.firing import Notice
from phinops.pulse import Pulse
from phinops.record import approvals, journal, reversals, rulesets, windows
from phinops.record.audit import entries_of, note
from phinops.record.sqlite import Store
from phinops.record.tx import Tx
from phinops.record.windows import Window
from phinops.retention import DISTRUST, ROUND, Retention, looks_back
from records import FIRING, STEP
from settings import only_rule

ZONE = ZoneInfo("Asia/Shanghai")
START = datetime(2026, 1, 4, 16, tzinfo=UTC)
"""Midnight in Shanghai."""
DAY = timedelta(days=1)


class Clock(LoopClock):
    """Stands where it was put; a sleep moves it."""

    def __init__(self) -> None:
        super().__init__(START)
        self.wall, self.time = START, 0.0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.pass_(timedelta(seconds=seconds))

    def pass_(self, span: timedelta) -> None:
        self.wall += span
        self.time += span.total_seconds()


class Here:
    def __init__(self, store: Store, clock: Clock, keeping: StoreSection, rules: list[Rule]) -> None:
        self.store = store
        self.clock = clock
        self.forgotten = 0
        self.retention = Retention(store, keeping, lambda: rules, self._forget, clock, ZONE, Pulse(clock))

    def _forget(self) -> None:
        self.forgotten += 1

    async def rounds(self, days: float) -> None:
        """Let so many days pass, with a look each hour."""
        for _ in range(int(days * 24)):
            self.clock.pass_(timedelta(seconds=ROUND))
            await self.retention.round()

    async def left(self, table: str) -> int:
        def count(tx: Any) -> int:
            return int(tx._connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

        return await self.store.read(count)


@asynccontextmanager
async def kept(rules: list[Rule] | None = None, path: Path | None = None, **keeping: Any) -> AsyncGenerator[Here]:
    clock = Clock()
    section = StoreSection.model_validate({"keep": "3d", "keep_audit": "5d", **keeping})
    async with Store.open(path or ":memory:", clock, at_once=path is not None) as store:
        yield Here(store, clock, section, rules or [])


def happened(tx: Tx, name: str = "1", **more: Any) -> None:
    """An event, and a firing of it that is over, with an action, a notice and lines in the audit."""
    journal.put_event(tx, replace(FAILED, id=f"ev_{name}"), rule_set="set")
    firing = replace(FIRING, id=f"fi_{name}", event_id=f"ev_{name}", created_at=tx.now, started_at=tx.now, **more)
    journal.put_firing(tx, firing)
    step = replace(STEP, action_id=f"act_{name}", firing_id=firing.id)
    journal.intend(tx, step)
    journal.settle(tx, step.action_id, "done", "accepted", result={})
    asked = Approval(f"ap_{name}", step.action_id, firing.id, 0, "t", "r", "ask", "", Shown(), tx.now, tx.now)
    approvals.put_approval(tx, asked)
    notice = Notice(f"msg_{name}", "oncall", {})
    journal.put_notice(tx, notice.id, firing.id, 1, notice.notifier, notice.payload)
    tx.run("notice_sent", id=notice.id, now=tx.now)
    reversals.put_reversal(tx, firing.id, "act_before", "undo", who="ann")
    tx.run("put_lease", action_id=step.action_id, due=tx.now)
    tx.run("end_lease", action_id=step.action_id, state="resumed", reason="", now=tx.now)
    journal.end(tx, firing.id, "done")


async def test_what_is_over_and_old_goes_with_all_that_belongs_to_it() -> None:
    async with kept() as here:
        await here.store.write(happened)
        await here.store.write(lambda tx: journal.put_notice(tx, "msg_own", None, 0, "oncall", {}))
        await here.store.write(lambda tx: tx.run("notice_sent", id="msg_own", now=tx.now))
        await here.rounds(3.9)
        assert [await here.left(table) for table in ("event", "firing", "step", "outbox")] == [1, 1, 1, 2]
        await here.rounds(0.2)
        assert [await here.left(table) for table in ("event", "firing", "step", "outbox")] == [0, 0, 0, 0]
        assert len(await here.store.read(lambda tx: entries_of(tx, "fi_1"))) == 5
        await here.rounds(2)
        assert await here.left("audit") == 0


async def test_every_table_that_refers_to_what_is_pruned_is_pruned_with_it() -> None:
    """A table that is new and refers to a firing or an event would hold it for ever, or lose what it refers to."""
    async with kept() as here:
        connection: Any = here.store._backend.committer.connection
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        referring = {
            table
            for table in tables
            for key in connection.execute(f"SELECT * FROM pragma_foreign_key_list('{table}')")
            if key["table"] in ("event", "firing", "step")
        }
        await here.store.write(happened)
        filled = {table for table in referring if await here.left(table)}
        assert filled == referring
        await here.rounds(4.1)
        assert {table for table in referring if await here.left(table)} == set()


def is_open(tx: Tx) -> None:
    tx._connection.execute("UPDATE firing SET ended_at = NULL, state = 'running'")


def is_to_be_decided(tx: Tx) -> None:
    tx._connection.execute("UPDATE firing SET state = 'needs_decision'")


def has_an_unknown_write(tx: Tx) -> None:
    tx._connection.execute("UPDATE step SET state = 'unknown'")


def has_an_open_write(tx: Tx) -> None:
    tx._connection.execute("UPDATE step SET state = 'intent'")


def waits(tx: Tx) -> None:
    tx._connection.execute("UPDATE step SET state = 'waiting'")


def has_a_notice_on_its_way(tx: Tx) -> None:
    tx._connection.execute("UPDATE outbox SET state = 'ready'")


def has_a_lease_that_runs(tx: Tx) -> None:
    tx._connection.execute("UPDATE node_lease SET state = 'open' WHERE action_id = 'act_1'")


@pytest.mark.parametrize(
    "hold",
    [
        is_open,
        is_to_be_decided,
        has_an_unknown_write,
        has_an_open_write,
        waits,
        has_a_notice_on_its_way,
        has_a_lease_that_runs,
    ],
)
async def test_what_is_open_stays_with_its_event_whatever_its_age(hold: Callable[[Tx], None]) -> None:
    async with kept() as here:
        await here.store.write(happened)
        await here.store.write(lambda tx: happened(tx, "2"))
        await here.store.write(lambda tx: hold(tx))
        await here.store.write(lambda tx: tx._connection.execute("DELETE FROM outbox WHERE id = 'msg_2'"))
        await here.store.write(
            lambda tx: tx._connection.execute("UPDATE step SET state = 'done' WHERE action_id = 'act_2'")
        )
        await here.store.write(
            lambda tx: tx._connection.execute(
                "UPDATE firing SET ended_at = created_at, state = 'done' WHERE id = 'fi_2'"
            )
        )
        await here.rounds(20)
        assert [await here.left(table) for table in ("event", "firing", "step", "outbox")] == [1, 1, 1, 1]


async def test_a_rule_that_looks_back_further_keeps_its_firings_for_as_long(tmp_path: Path) -> None:
    text = """
    rules:
      - id: r
        on: instance.failed
        mode: shadow
        cooldown: 8d
        do: [ { rerun_instance: {} } ]
    """
    async with kept([only_rule(tmp_path, text)]) as here:
        await here.store.write(happened)
        await here.store.write(lambda tx: happened(tx, "2", rule="another"))
        await here.rounds(7.9)
        assert [await here.left(table) for table in ("event", "firing", "step")] == [1, 1, 1]
        await here.rounds(3)
        assert [await here.left(table) for table in ("event", "firing", "step")] == [0, 0, 0]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", timedelta()),
        (", cooldown: 2h", timedelta(hours=2)),
        (", limits: { firings: { max: 1, per: 3d } }", timedelta(days=3)),
        (", limits: { targets: { max: 1, per: 4d } }", timedelta(days=4)),
    ],
)
def test_a_rule_looks_back_as_far_as_its_longest_guard(words: str, expected: timedelta, tmp_path: Path) -> None:
    text = f"rules: [{{ id: r, on: instance.failed, mode: shadow, do: [{{ rerun_instance: {{}} }}]{words} }}]"
    assert looks_back(only_rule(tmp_path, text)) == expected


async def test_events_of_open_windows_stay_and_those_of_windows_that_are_past_go(tmp_path: Path) -> None:
    text = """
    rules:
      - id: slow
        on: { event: instance.failed, count: 3, within: 6d }
        do: [ { notify: { to: oncall, message: "again" } } ]
    """
    rule = only_rule(tmp_path, text)

    def count(tx: Tx) -> None:
        for name in ("slow", "gone"):
            event = replace(FAILED, id=f"ev_{name}", time=tx.now)
            journal.put_event(tx, event)
            windows.put_counted(tx, Window("prod", name, "p", "k"), event, {})

    async with kept([rule]) as here:
        await here.store.write(count)
        await here.rounds(6)
        assert [await here.left(table) for table in ("event", "counted")] == [1, 1]
        await here.rounds(4)
        assert [await here.left(table) for table in ("event", "counted")] == [0, 0]


async def test_rules_that_decided_nothing_that_is_left_are_forgotten_and_kept_anew_when_they_decide_again() -> None:
    def put(tx: Tx, name: str) -> None:
        rulesets.put_set(tx, f"set-{name}", [(f"hash-{name}", "r", {}), ("hash-both", "s", {})], shadow=False)

    async with kept() as here:
        await here.store.write(lambda tx: put(tx, "old"))
        await here.store.write(lambda tx: put(tx, "held"))
        await here.store.write(lambda tx: journal.put_event(tx, replace(FAILED, id="ev_held"), rule_set="set-held"))
        await here.store.write(
            lambda tx: journal.put_firing(tx, replace(FIRING, id="fi_held", event_id="ev_held", created_at=tx.now))
        )
        for day in range(7):
            await here.store.write(lambda tx: put(tx, "new"))
            await here.store.write(lambda tx, n=day: happened(tx, f"{n}"))  # type: ignore[misc]
            await here.rounds(1)
        assert here.forgotten
        assert [await here.left(table) for table in ("rule_set", "rule_version")] == [2, 3]
        assert await here.store.read(lambda tx: rulesets.set_of(tx, "set-old")) is None
        assert await here.store.read(lambda tx: rulesets.set_of(tx, "set-held"))


async def test_a_store_that_is_too_large_lets_its_oldest_days_go_and_keeps_the_two_newest(tmp_path: Path) -> None:
    large = "x" * 100_000

    def day(tx: Tx, name: str) -> None:
        for n in range(10):
            journal.put_event(tx, replace(FAILED, id=f"ev_{name}_{n}", raw=large))
            note(tx, "told", by=large)

    async with kept(path=tmp_path / "p.db", keep="90d", keep_audit="90d", max_size="50MB") as here:
        here.retention._keeping = here.retention._keeping.model_copy(update={"max_size": 5_000_000})
        for name in range(6):
            await here.store.write(lambda tx, n=name: day(tx, f"{n}"))  # type: ignore[misc]
            here.clock.pass_(DAY)
        with capture_logs() as logs:
            await here.rounds(1 / 24)
        size = here.retention.kept.size
        assert size.used <= 5_000_000
        assert size.file <= size.used / 0.7, "and what is free was given back to the disk"
        assert [await here.left(table) for table in ("event", "audit")] == [20, 20]
        assert {line["because"] for line in logs if line["event"] == "store.pruned"} == {"size"}
        here.retention._keeping = here.retention._keeping.model_copy(update={"max_size": 1_000_000})
        with capture_logs() as logs:
            await here.rounds(1 / 24)
        assert [await here.left(table) for table in ("event", "audit")] == [20, 20]
        assert [line["event"] for line in logs] == ["store.too_large"]


async def test_each_day_that_goes_is_one_line_in_the_log() -> None:
    async with kept() as here:
        await here.store.write(happened)
        here.clock.pass_(DAY)
        await here.store.write(lambda tx: happened(tx, "2"))
        with capture_logs() as logs:
            await here.rounds(4)
        pruned = [line for line in logs if line["event"] == "store.pruned"]
        assert [line["before"] for line in pruned] == ["2026-01-06T00:00:00+08:00", "2026-01-07T00:00:00+08:00"]
        counts = ("events", "firings", "actions", "notices", "because")
        assert [[line[name] for name in counts] for line in pruned] == [[1, 1, 1, 1, "age"]] * 2


async def test_a_clock_that_jumps_ages_nothing_for_a_day_and_then_one_day_an_hour() -> None:
    async with kept() as here:
        for name in range(4):
            await here.store.write(lambda tx, n=name: happened(tx, f"{n}"))  # type: ignore[misc]
            here.clock.pass_(timedelta(hours=18))
            await here.retention.round()
        here.clock.wall += timedelta(days=365)
        await here.rounds(DISTRUST / 86_400)
        assert await here.left("event") == 4
        await here.rounds(1 / 24)
        assert await here.left("event") == 2


async def test_lines_of_the_audit_go_from_the_oldest_on_and_nowhere_else() -> None:
    async with kept() as here:
        for name in ("1", "2", "3"):
            await here.store.write(lambda tx, n=name: note(tx, "told", n))  # type: ignore[misc]
        for statement in ("DELETE FROM audit WHERE seq = 2", "UPDATE audit SET what = 'nothing'"):
            with pytest.raises(sqlite3.IntegrityError, match="the audit is"):
                await here.store.write(lambda tx, s=statement: tx._connection.execute(s))  # type: ignore[misc]
        await here.store.write(lambda tx: tx._connection.execute("DELETE FROM audit WHERE seq <= 2"))
        assert await here.left("audit") == 1
