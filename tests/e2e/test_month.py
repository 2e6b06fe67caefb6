"""The store of a daemon that runs for a month: what is over goes, and neither the file nor the memory grows."""

from __future__ import annotations

from pathlib import Path

import pytest

from months import Day, month
from phinops import virtual
from records import LONG

A_DAY, DAYS, KEEP, FAILING, TOLERANCE = (20_000, 30, 7, 0.01, 0.05) if LONG else (200, 6, 2, 0.04, 0.15)
"""Instances a day, days, days that are kept, the share of instances that fail; how much more than the least is flat."""


@pytest.mark.long
def test_a_month_of_a_large_tenant_leaves_file_and_memory_flat_once_retention_sets_in(tmp_path: Path) -> None:
    days = virtual.run(_days(tmp_path))
    print(_table(days))
    steady = days[KEEP + 2 :]
    for what in ("file", "used", "memory"):
        sizes = [getattr(day, what) for day in steady]
        assert max(sizes) <= min(sizes) * (1 + TOLERANCE), f"{what} grew\n{_table(days)}"
    for day in steady:
        assert KEEP * A_DAY <= day.events <= (KEEP + 2) * A_DAY * 1.1
        assert 0 < day.firings < day.lines


async def _days(folder: Path) -> list[Day]:
    async with month(folder, a_day=A_DAY, failing=FAILING, keep=f"{KEEP}d", keep_audit=f"{KEEP}d") as here:
        days = [await here.day() for _ in range(DAYS)]
        here.settle()
        assert here.rerun == here.failed > 0, "each failure is rerun"
        assert here.twice == 0, "and once"
        return days


def _table(days: list[Day]) -> str:
    head = f"{'day':>4} {'file MB':>9} {'used MB':>9} {'memory MB':>9} {'events':>8} {'firings':>8} {'audit':>8}"
    rows = [
        f"{n:>4} {day.file:>9.1f} {day.used:>9.1f} {day.memory:>9.1f} {day.events:>8} {day.firings:>8} {day.lines:>8}"
        for n, day in enumerate(days, 1)
    ]
    return "\n".join([head, *rows])
