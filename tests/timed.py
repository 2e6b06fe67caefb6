"""Whole processes, timed, and the table that benchmarks print of them."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROUNDS = 5
PHINOPS = (sys.executable, "-m", "phinops")


@dataclass(frozen=True, slots=True)
class Taken:
    """What a process took: seconds by the clock, and of a processor."""

    wall: float
    processor: float


def time_of(command: Sequence[str], folder: Path) -> Taken:
    """What a process takes that ends with 0, start and end included."""
    used, began = processor_of_children(), time.perf_counter()
    ended = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    taken = time.perf_counter() - began
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-2000:]
    return Taken(taken, processor_of_children() - used)


def processor_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def table(title: str, figures: Mapping[str, Sequence[Taken]], bounds: Mapping[str, float]) -> str:
    """Seconds of each, and the median in medians of the first row, the baseline."""
    unit = middle(next(iter(figures.values())))
    lines = [
        f"\n{title}",
        f"{'seconds':34}{'min':>7}{'median':>8}{'max':>7}{'bound':>7}{'× baseline':>12}{'processor':>11}",
    ]
    for name, found in figures.items():
        bound = f"{bounds[name]:.2f}" if name in bounds else ""
        walls, processor = [each.wall for each in found], median(each.processor for each in found)
        spread = f"{min(walls):7.2f}{median(walls):8.2f}{max(walls):7.2f}"
        lines.append(f"{name:34}{spread}{bound:>7}{median(walls) / unit:12.1f}{processor:11.2f}")
    return "\n".join(lines)


def middle(found: Sequence[Taken]) -> float:
    return median(each.wall for each in found)
