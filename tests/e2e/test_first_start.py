"""The very first start on a tenant that has been neglected for two weeks."""

from __future__ import annotations

from pathlib import Path

import anyio
import anyio.lowlevel

from phinops.clock import SystemClock
from phinops.simulate import serve
from running import Running, write_config

RULES = """
rules:
  - id: rerun
    on: instance.failed
    mode: armed
    do:
      - rerun_instance: {}
"""

EAGER = """
[tenants.sources]
instances = { every = "2s" }
"""


async def test_a_first_start_leaves_a_thousand_old_failures_alone_and_reruns_the_fresh_ones_once(
    tmp_path: Path,
) -> None:
    async with serve("old-failures", clock=SystemClock()) as simulator:
        old = {each.id for each in simulator.tenant.failed() if each.node.name.startswith("old")}
        fresh = {each.id for each in simulator.tenant.failed()} - old
        assert (len(old), len(fresh)) == (1000, 10)
        daemon = Running(write_config(tmp_path, simulator, RULES, EAGER))
        try:
            daemon.start()
            await daemon.until(lambda: fresh <= simulator.tenant.reruns.keys(), "the fresh failures are rerun", 60)
            polls = len(simulator.arrivals)
            await daemon.until(lambda: len(simulator.arrivals) > polls + 3, "it has polled again", 60)
            assert await daemon.stop() == 0
            daemon.start()
            polls = len(simulator.arrivals)
            await daemon.until(lambda: len(simulator.arrivals) > polls + 3, "a second start has polled", 60)
            await anyio.lowlevel.checkpoint()
            assert await daemon.stop() == 0
        finally:
            daemon.abandon()
        assert dict(simulator.tenant.reruns) == dict.fromkeys(fresh, 1)
