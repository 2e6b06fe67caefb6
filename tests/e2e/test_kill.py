"""kill -9 in the middle of a hundred failures: every instance rerun exactly once, none lost."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from random import Random

import anyio
import pytest

from phinops.clock import SystemClock
from phinops.simulate import Fault, Simulator, serve
from running import Running, write_config

LONG = bool(os.environ.get("PHINOPS_LONG"))
RUNS = 10 if LONG else 3
KILLS = 4

OPEN = "SELECT count(*) FROM step WHERE state = 'intent'"
AMBIGUOUS = """
SELECT count(*) FROM step
 WHERE json_extract(result, '$.settled') <> '' AND json_extract(result, '$.because') NOT LIKE 'it was under way%'
"""

RULES = """
rules:
  - id: rerun
    on: instance.failed
    mode: armed
    do:
      - rerun_instance: {}
"""

TIGHT = """
timeout = "1s"
settle_after = "2s"
[tenants.sources]
instances = { every = "1s" }

# One write in seven is lost on its way: by chance that meets a target three times in a row.
[safety]
breakers = { rule = 50, target = 50 }
"""


@dataclass(slots=True)
class Figures:
    """What a run met: intents open at a kill, and writes whose answer was lost."""

    open_at_kill: int = 0
    ambiguous: int = 0


def _storm(failures: int) -> dict[str, object]:
    return {
        "projects": {"storm_dw": {"nodes": {"job": {"count": failures, "duration": "4s"}}}},
        "incidents": {"storm": {"spread": "12s"}},
        "quirks": {"state_delay": 1.0},
    }


def _troubles(simulator: Simulator) -> None:
    """Half of the writes lose their answer, most of them after they were done."""
    for kind, probability in (("reset_after", 0.25), ("bad_gateway_after", 0.25), ("reset", 0.15), ("hang_after", 0.1)):
        simulator.faults.add(Fault(kind, api="OperateInstance", probability=probability, count=12))  # type: ignore[arg-type]


async def _run(folder: Path, seed: int) -> Figures:
    figures = Figures()
    random = Random(seed)
    async with serve("storm", clock=SystemClock(), seed=seed, overrides=_storm(100)) as simulator:
        _troubles(simulator)
        daemon = Running(write_config(folder, simulator, RULES, TIGHT))
        try:
            for _ in range(KILLS):
                before = _writes(simulator)
                daemon.start()
                await daemon.until(lambda: _writes(simulator) > before or _all_rerun(simulator), "a write arrives", 30)  # noqa: B023
                await anyio.sleep(random.choice((0.0, 0.002, 0.02, 0.3, 3.5)))
                daemon.kill()
                figures.open_at_kill += daemon.count(OPEN)
            daemon.start()
            await daemon.until(lambda: _all_well(simulator), "every failure is mended", 90)
            await daemon.until(lambda: daemon.count(OPEN) == 0, "every intent is settled", 60)
            assert await daemon.stop() == 0
        finally:
            daemon.abandon()
        figures.ambiguous = daemon.count(AMBIGUOUS)
        assert dict(simulator.tenant.reruns) == dict.fromkeys(simulator.tenant.reruns, 1)
        assert len(simulator.tenant.reruns) == 100
        assert daemon.count("SELECT count(*) FROM step WHERE state = 'unknown'") == 0
        assert simulator.refused == 0
    return figures


def _writes(simulator: Simulator) -> int:
    return sum(arrival.api == "OperateInstance" for arrival in simulator.arrivals)


def _all_rerun(simulator: Simulator) -> bool:
    return len(simulator.tenant.reruns) == 100


def _all_well(simulator: Simulator) -> bool:
    simulator.tenant.settle()
    return _all_rerun(simulator) and not simulator.tenant.failed()


@pytest.mark.long
@pytest.mark.serial
async def test_killed_in_the_middle_of_a_hundred_failures_each_is_rerun_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = []
    for seed in range(1, RUNS + 1):
        folder = tmp_path / str(seed)
        folder.mkdir()
        found.append(await _run(folder, seed))
    opened, lost = sum(each.open_at_kill for each in found), sum(each.ambiguous for each in found)
    with capsys.disabled():
        print(f"\n{RUNS} runs of 100 failures with {KILLS} kills each:")
        print(f"{opened} intents open at a kill, {lost} ambiguous writes, every instance rerun once")
    assert opened >= 20
    assert lost >= 20
