"""A daemon on a small disk that gets full; prints what happened. It mounts the disk: give it a namespace of its own."""

from __future__ import annotations

import asyncio
import errno
import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx

from phinops.clock import SystemClock
from phinops.config import load_config
from phinops.daemon import Daemon
from phinops.simulate import Simulator, serve
from running import until, write_config
from served import HOOK_SECRET, QUICK, private

RULES = """
rules:
  - id: rerun
    on: instance.failed
    mode: armed
    do:
      - rerun_instance: {}
      - notify: { to: oncall, message: "{{ event.instance.id }} was rerun" }
"""

MORE = """
[notifiers.oncall]
type = "webhook"
url = { file = "oncall-url" }
secret = { file = "hook-secret" }
[store]
url = "sqlite:///DISK/phinops.db"
"""


@dataclass(slots=True)
class Oncall:
    """Keeps what it is told, by title, and under which ids."""

    told: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.told.append(json.loads(request.content)["data"]["title"])
        self.ids.append(request.headers["webhook-id"])
        return httpx.Response(204)


def fill(path: Path) -> None:
    """Write until nothing more goes in."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError as error:
                assert error.errno == errno.ENOSPC  # noqa: PT017 - the end that is meant


async def play(daemon: Daemon, simulator: Simulator, oncall: Oncall, disk: Path) -> dict[str, Any]:
    await until(lambda: daemon.ready()[0], "it is ready")
    fill(disk / "filler")
    failed = simulator.tenant.fail_instance("dws_orders_1d", takes=0.5)
    await until(lambda: not daemon.ready()[0], "it is not ready")
    await until(lambda: any("cannot write" in each for each in oncall.told), "people are told")
    await anyio.sleep(4.0)  # several polls see the failure meanwhile
    report: dict[str, Any] = {
        "reasons": daemon.ready()[1],
        "told_while_full": list(oncall.told),
        "reruns_while_full": sum(simulator.tenant.reruns.values()),
    }
    (disk / "filler").unlink()
    await until(lambda: daemon.ready()[0], "it is ready again")
    await until(lambda: simulator.tenant.reruns[failed.id] == 1, "the failure is mended")
    await until(lambda: "rerun" in oncall.told, "the rule's notice goes out")
    await until(lambda: any("again" in each for each in oncall.told), "people are told that it goes on")
    events = [each for each in await daemon.events(100) if each["type"] == "instance.failed"]
    counts = await daemon.counts()
    return {
        **report,
        "reruns": dict(simulator.tenant.reruns) == {failed.id: 1},
        "events": len(events),
        "told": oncall.told,
        "twice": len(oncall.ids) - len(set(oncall.ids)),
        "open": counts["open"],
    }


def mounted(disk: Path) -> Path:
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk], check=True)
    return disk


async def main(folder: Path, disk: Path) -> None:
    private(folder / "oncall-url", "http://127.0.0.1:1/oncall")
    private(folder / "hook-secret", HOOK_SECRET)
    oncall = Oncall()
    async with serve("quiet", clock=SystemClock()) as simulator:
        config = load_config(write_config(folder, simulator, RULES, QUICK + MORE.replace("DISK", str(disk))))
        async with (
            Daemon.open(config, clock=SystemClock(), mail=httpx.MockTransport(oncall)) as daemon,
            anyio.create_task_group() as group,
        ):
            group.start_soon(daemon.run)
            report = await play(daemon, simulator, oncall, disk)
            daemon.stop()
    print(json.dumps(report))


if __name__ == "__main__":
    place = Path(sys.argv[1])
    asyncio.run(main(place, mounted(place / "disk")))
