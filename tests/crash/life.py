"""One life: the real daemon on a real file, until there is nothing left to do or it is killed."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NoReturn

import anyio
import httpx

from crash.cases import PROJECT, Death
from crash.line import Died, Line, MortalWire, Rested
from crash.mortal import Reaper, StandingLoop, mortal_store
from phinops.clock import LoopClock
from phinops.config import Config
from phinops.daemon import Daemon
from phinops.errors import ApiError
from phinops.record import journal
from phinops.record.tx import Snapshot
from phinops.rulebook import Rulebook

LONGEST = 4 * 3600.0
"""Virtual seconds after which a life is given up: something is never settled."""

AT_REST = 780.0
"""Virtual seconds that it lives on when nothing is left to do: it must not begin anew, and looks a second time at what
it found by reading."""

_LOOK, _THINKS = 10.0, 45.0


@dataclass(frozen=True, slots=True)
class Setting:
    """What all lives of a run share; it is at rest when so many firings have ended."""

    config: Config
    rulebook: Rulebook
    store: Path
    firings: int


@dataclass(frozen=True, slots=True)
class Life:
    """From when on it lives, and how it ends. `node` is what a person pauses meanwhile, "" when nobody does."""

    begins: datetime
    seed: int
    death: Death
    node: str = ""


def live(life: Life, setting: Setting, pipe: Connection) -> None:
    """Live it, in this process, which ends with it."""
    random.seed(life.seed)
    with asyncio.Runner(loop_factory=StandingLoop) as runner:
        runner.run(_live(life, setting, pipe))


async def _live(life: Life, setting: Setting, pipe: Connection) -> None:
    had = set(sys.modules)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, StandingLoop)
    clock = LoopClock(life.begins - timedelta(seconds=loop.time()))
    line = Line(pipe, clock)
    reaper = Reaper(life.death, lambda point: line.tell(Died(clock.now(), point)))

    def end(trouble: str = "") -> NoReturn:
        line.tell(Rested(clock.now(), reaper.passed, sorted(set(sys.modules) - had), trouble))
        os._exit(0)  # what would follow is tidying up

    loop.call_later(LONGEST, end, f"it does not come to rest in {LONGEST:.0f} s")
    reaper.sleeps(loop)
    async with (
        mortal_store(setting.store, clock, loop, reaper) as store,
        Daemon.open(
            setting.config,
            clock=clock,
            store=store,
            transport=MortalWire(line, clock, reaper),
            mail=httpx.MockTransport(lambda request: httpx.Response(200)),
            rulebook=setting.rulebook,
        ) as daemon,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(daemon.run)
        tasks.start_soon(_agree, daemon, clock)
        if life.node:
            tasks.start_soon(_pause, daemon, life.node)
        rest = 0.0
        while rest < AT_REST:
            await clock.sleep(_LOOK)
            rest = rest + _LOOK if await store.read(lambda tx: _is_at_rest(tx, setting.firings)) else 0.0
        end()


async def _agree(daemon: Daemon, clock: LoopClock) -> None:
    """What a person does who is asked, and comes to it after a while."""
    await clock.sleep(_THINKS)
    await daemon.answering.agree("li_na")


async def _pause(daemon: Daemon, node: str) -> None:
    """What a person does who types `phinops call`, and does not type it again."""
    params = {"PauseCommand": {"ProjectId": PROJECT, "NodeIdList": [node]}}
    with suppress(ApiError):
        await daemon.call("PausePhysicalNode", params, timedelta(minutes=1), None)


def _is_at_rest(tx: Snapshot, firings: int) -> bool:
    born = len(tx.all("every_firing"))
    waiting = sum(row["n"] for row in tx.all("notice_counts") if row["state"] == "ready")
    return born >= firings and not journal.open_firings(tx) and not waiting and tx.one("open_intents") == {"n": 0}
