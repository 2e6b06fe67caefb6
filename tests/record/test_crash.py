"""What was acknowledged is there, whatever befalls the process or the disk."""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path

import pytest

from phinops.record.sqlite import Store
from records import LONG, got, script

HERE = Path(__file__).parent
KILLS = 20 if LONG else 3


@pytest.mark.long
async def test_a_kill_in_the_middle_of_commits_loses_nothing_acknowledged(tmp_path: Path) -> None:
    path, chance = tmp_path / "p.db", random.Random(2)
    acknowledged: list[str] = []
    for _ in range(KILLS):
        acknowledged += _killed_after(path, chance.randrange(100, 2000))
    async with Store.open(path) as store:
        present = await store.read(lambda tx: {row[0] for row in tx._connection.execute("SELECT name FROM kv")})
        damage = await store.read(lambda tx: tx._connection.execute("PRAGMA integrity_check").fetchone()[0])
        assert store.epoch == KILLS + 1
    assert len(acknowledged) >= KILLS * 100
    assert set(acknowledged) - present == set()
    assert damage == "ok"


async def test_a_full_disk_loses_nothing_acknowledged_and_mends_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    with script(HERE / "fill_the_disk.py", path) as filling:
        output, _ = filling.communicate(timeout=60)
    report = json.loads(output.splitlines()[-1])  # the log stands before it
    written = report["written"]
    assert written > 10
    assert report["present"] == [True] * written + [False]
    assert report["trouble"] == [report["reason"], ""]
    assert "p.db cannot be used now: the disk" in report["reason"]
    async with Store.open(path) as store:
        assert await got(store, f"{written}") is not None


def _killed_after(path: Path, lines: int) -> list[str]:
    """The names that the program acknowledged before it was killed, some time after so many lines."""
    with script(HERE / "acknowledge.py", path) as writing:
        assert writing.stdout is not None
        names = [writing.stdout.readline() for _ in range(lines)]
        writing.send_signal(signal.SIGKILL)
        names += writing.stdout.readlines()
    # The last line may be cut off in the middle.
    return [name.strip() for name in names if name.endswith("\n")]
