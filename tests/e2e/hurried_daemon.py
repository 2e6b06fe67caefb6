"""A daemon until it is killed. Its clock runs SPEED times as fast and shows START at the monotonic second AT.

Arguments: CONFIG START AT SPEED
"""

from __future__ import annotations

import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import anyio

from phinops.clock import ScaledClock
from phinops.config import load_config
from phinops.daemon import Daemon
from phinops.surface import logs


async def main() -> None:
    config, start, at, speed = sys.argv[1:]
    logs.configure("error")
    passed = (time.monotonic() - float(at)) * float(speed)
    clock = ScaledClock(float(speed), datetime.fromisoformat(start) + timedelta(seconds=passed))
    async with Daemon.open(load_config(Path(config)), clock=clock) as daemon:
        await daemon.run()


if __name__ == "__main__":
    anyio.run(main)
