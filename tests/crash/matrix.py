"""The crash matrix: which process dies where, under which Dataphin, and the figures of it all."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from itertools import cycle
from pathlib import Path
from random import Random

from crash.cases import ASLEEP, BEHAVIOURS, CASES, Death, Run
from crash.verdict import Found, found_of
from records import script

HARNESS = Path(__file__).with_name("harness.py")


def undisturbed(seeds: int) -> list[Run]:
    """Every case under every Dataphin, with nobody killed: they show which points there are."""
    return [
        Run(case, behaviour, seed)
        for number, case in enumerate(CASES)
        for behaviour in BEHAVIOURS
        for seed in range(number, number + seeds)
    ]


def matrix(shown: Sequence[Found], number: int, seed: int) -> list[Run]:
    """So many runs with a death at one of the points that were shown: each point under each Dataphin as often as any.

    In half of them the next process dies as well: soon after its start, or at some moment while it reads back, verifies
    or waits.
    """
    chance = Random(seed)
    places: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for each in shown:
        for place, point in enumerate(each.passed, start=1):
            death = (point, each.passed[:place].count(point))
            places[each.run.behaviour, point].append(replace(each.run, deaths=(death,)))
    for group in places.values():
        chance.shuffle(group)
    order = sorted(places)
    chance.shuffle(order)
    turns = {name: cycle(group) for name, group in places.items()}
    runs = []
    for name, _ in zip(cycle(order), range(number), strict=False):
        run = next(turns[name])
        runs.append(replace(run, deaths=(*run.deaths, *_more_deaths(chance))))
    return runs


def _more_deaths(chance: Random) -> list[Death]:
    deaths: list[Death] = []
    while chance.random() < 0.5 and len(deaths) < 3:
        asleep = (ASLEEP, round(chance.uniform(0.5, chance.choice([30.0, 900.0])), 3))
        deaths.append(chance.choice([("", chance.randint(1, 20)), asleep]))
    return deaths


def play(runs: Sequence[Run], folder: Path) -> list[Found]:
    """Play them, as many at a time as there are processors, and tell what came of each."""
    at_a_time = len(os.sched_getaffinity(0))
    shares = [runs[first::at_a_time] for first in range(at_a_time)]
    with ThreadPoolExecutor(at_a_time) as threads:
        found = threads.map(_play, shares, (folder / f"runs-{number}" for number in range(at_a_time)))
        return [each for share in found for each in share]


def _play(runs: Sequence[Run], file: Path) -> list[Found]:
    file.write_text("".join(json.dumps(asdict(run)) + "\n" for run in runs), encoding="utf-8")
    with script(HARNESS, file) as playing:
        output, _ = playing.communicate()
    assert playing.returncode == 0, f"{file}: the harness failed after {len(output.splitlines())} of {len(runs)} runs"
    return [found_of(json.loads(line)) for line in output.splitlines()]


def figures(found: Sequence[Found]) -> str:
    """The figures of these runs, for people."""
    deaths: Counter[tuple[str, str]] = Counter()
    for each in found:
        deaths.update((point, each.run.behaviour) for point in each.deaths)
    points = sorted({point for point, _ in deaths})
    lines = [f"{'killed at':32}" + "".join(f"{behaviour:>18}" for behaviour in BEHAVIOURS)]
    lines += [f"{point:32}" + "".join(f"{deaths[point, each]:18}" for each in BEHAVIOURS) for point in points]
    lines.append(
        f"{len(found)} runs, {deaths.total()} kills. Of {_sum(found, 'meant')} meant actions "
        f"{_sum(found, 'effects')} were done, {_sum(found, 'refused')} refused, "
        f"{_sum(found, 'undecided')} left to a person, {_sum(found, 'unreached')} not come to after that; "
        f"{_sum(found, 'duplicates')} duplicates, {_sum(found, 'lost')} lost, {_sum(found, 'unsettled')} unsettled"
    )
    return "\n".join(lines)


def _sum(found: Sequence[Found], what: str) -> int:
    return sum(getattr(each, what) for each in found)
