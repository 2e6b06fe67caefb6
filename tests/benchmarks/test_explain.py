"""How long `phinops explain` takes where a million events are on record.

Each round measures the whole command, from the store of a daemon that does not run, beside Python importing the same
two libraries as in the other benchmarks, as processes of their own.
"""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from typing import cast

import anyio
import pytest

from fakedaemon import write_config
from phinops.arrive.arrival import Arrival
from phinops.clock import SystemClock
from phinops.course import Courses
from phinops.decide.language import Language
from phinops.pipeline import Pipeline
from phinops.record.sqlite import Store
from phinops.recording import InForce
from settings import SHANGHAI, loaded
from test_pipeline import Begun, failed
from timed import PHINOPS, ROUNDS, Taken, middle, table, time_of

EVENTS = 1_000_000
WITHIN_S = 1.0
BASELINE, EXPLAIN = "python -c 'import yaml, pydantic'", "phinops explain"

RULES = """
rules:
  - id: rerun
    on: instance.failed
    if: event.instance.attempts < 3 && event.node.name.startsWith("dws")
    mode: armed
    do: [ { rerun_instance: {} } ]
"""

_MORE = """
WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < :count)
INSERT INTO event (id, type, tenant, source, time, body, received_at, rule_set)
SELECT 'ev_more' || n, type, tenant, source, time + n, body, received_at + n, rule_set FROM number, event
 WHERE event.id = :model
"""
_FIRINGS = """
INSERT INTO firing (id, event_id, tenant, rule, rule_hash, mode, key, plan, ctx, state, created_at)
SELECT 'fi_' || event.seq, event.id, tenant, 'rerun', 'h', 'armed', event.id, '{}', '{}', 'done', received_at
  FROM event WHERE event.id LIKE 'ev_more%' AND event.seq % 5 = 0
"""


async def fill(folder: Path) -> str:
    """A store with a million events, of which every fifth has a firing; the id of one that a rule decided on."""
    event, path = failed(), folder / "phinops.db"
    async with Store.open(path, SystemClock()) as store:
        in_force = InForce(loaded(folder, RULES).rules)
        courses = cast(Courses, Begun())
        pipeline = Pipeline(store, Language(SHANGHAI), lambda: in_force, courses, SystemClock(), lambda events: None)
        await pipeline.take(Arrival("instances", "t", (event,)))
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(_MORE, {"count": EVENTS - 1, "model": event.id})
        connection.execute(_FIRINGS)
    (count,) = connection.execute("SELECT count(*) FROM event").fetchone()
    assert count == EVENTS
    connection.close()
    return event.id


@pytest.mark.serial
def test_an_event_among_a_million_is_explained_within_a_second(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = anyio.run(fill, tmp_path)
    config = write_config(tmp_path, 1)
    commands = {
        BASELINE: (sys.executable, "-c", "import yaml, pydantic"),
        EXPLAIN: (*PHINOPS, "explain", name, "--config", str(config)),
    }
    figures: dict[str, list[Taken]] = {each: [] for each in commands}
    for number in range(-1, ROUNDS):
        for each, command in commands.items():
            taken = time_of(command, tmp_path)
            if number >= 0:  # the first round compiles
                figures[each].append(taken)
    with capsys.disabled():
        print(table(f"{EVENTS:,} events, {ROUNDS} rounds", figures, {EXPLAIN: WITHIN_S}))
    assert middle(figures[EXPLAIN]) <= WITHIN_S
