"""How long runs take."""

from __future__ import annotations

from datetime import timedelta

import pytest

from phinops.event import Instance
from phinops.execute import runtimes
from phinops.execute.runtimes import ENOUGH, OF_ALL, OF_ONE, RunTimes, node_of
from worlds import START

FAILED = {"status": "FAILED", "started_at": "2026-01-05T00:00:00+08:00", "ended_at": "2026-01-05T00:01:30+08:00"}


def succeeded(node: int, length: float, day: int = 1) -> Instance:
    began = START + timedelta(days=day)
    ended = began + timedelta(seconds=length)
    return Instance(f"t_{node}_202601{day:02d}_7", "SUCCESS", started_at=began, ended_at=ended)


def test_where_nothing_is_known_the_run_that_failed_is_the_measure() -> None:
    times = RunTimes()
    assert times.likely("t_1_20260105_1", FAILED) == [90]
    assert times.likely("t_1_20260105_1", {}) == []
    assert times.likely("t_1_20260105_1", FAILED | {"ended_at": None}) == []
    for number in range(ENOUGH - 1):
        times.saw(succeeded(number, 500))
    assert times.likely("t_99_20260105_1", FAILED) == [90]


def test_other_nodes_say_what_is_usual_and_the_nodes_own_runs_what_is_likely() -> None:
    times = RunTimes()
    for number in range(ENOUGH):
        times.saw(succeeded(number, 500 - number))
    assert times.likely("t_99_20260105_1", FAILED) == [496, 497, 498, 499, 500]
    assert times.likely("t_3_20260105_9", FAILED) == pytest.approx([497 * runtimes.LATER])


def test_the_latest_runs_count_and_each_once() -> None:
    times = RunTimes()
    for day in range(1, 10):
        times.saw(succeeded(1, 100 * day, day))
        times.saw(succeeded(1, 100 * day, day))
    assert times.likely("t_1_20260120_1", {}) == pytest.approx([100 * day * runtimes.LATER for day in range(5, 10)])
    assert len(times.likely("t_1_20260120_1", {})) == OF_ONE
    for node in range(2, 2 * OF_ALL):
        times.saw(succeeded(node, 7))
    assert times.likely("t_999_20260120_1", {}) == [7] * OF_ALL


@pytest.mark.parametrize(
    "instance",
    [
        Instance("t_1", "FAILED", started_at=START, ended_at=START + timedelta(seconds=9)),
        Instance("t_1", "RUNNING", started_at=START),
        Instance("t_1", "SUCCESS", ended_at=START),
        Instance("t_1", "SUCCESS", started_at=START, ended_at=START),
    ],
)
def test_what_is_no_whole_run_that_succeeded_says_nothing(instance: Instance) -> None:
    times = RunTimes()
    times.saw(instance)
    assert times.likely("t_1", {}) == []


def test_only_so_many_nodes_are_remembered() -> None:
    times = RunTimes(nodes=2)
    for node in (1, 2, 3):
        times.saw(succeeded(node, 100 + node))
    assert times.likely("t_1_20260105_1", {}) == []
    assert times.likely("t_3_20260105_1", {}) == pytest.approx([103 * runtimes.LATER])


def test_a_node_is_guessed_from_an_instances_id() -> None:
    assert node_of("t_12_20260105_3") == node_of("t_12_20260106_4") == "12"
    assert node_of("whatever") == "whatever"
