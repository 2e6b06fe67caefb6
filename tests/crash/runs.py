"""A run of the crash matrix: lives on one store, each ended by kill -9 but the last, which comes to rest."""

from __future__ import annotations

import importlib
import os
import random
import signal
import traceback
from contextlib import suppress
from datetime import timedelta
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NoReturn

from crash.cases import ALIVE, CASES, Run
from crash.dataphin import Dataphin
from crash.life import Life, Setting, live
from crash.line import Asked, Collected, Died, Rested
from crash.verdict import Found, judge
from phinops.decide.language import Language
from phinops.rulebook import Rulebook
from phinops.surface.rehearsal.setting import make_config

DOWN = (0.0, 1.0, 20.0, 600.0)
"""How many seconds pass between a death and the next start."""


def play(run: Run, folder: Path) -> Found:
    """Play the run in that folder; every life is a process of its own."""
    case, chance = CASES[run.case], random.Random(str(run))
    dataphin = Dataphin(case, run, folder / "phinops.db")
    config = make_config(dataphin.simulator, folder, timedelta(minutes=1), impacts=False)
    config.rules.paths[0].write_text(case.rules(dataphin.other), encoding="utf-8")
    rulebook = Rulebook(config, Language(config.timezone), shadow=False)
    assert not rulebook.quarantined, list(map(str, rulebook.problems))
    setting = Setting(config, rulebook, dataphin.store, case.firings_under(run.behaviour))
    found = Found(run)
    for number, death in enumerate((*run.deaths, ALIVE)):
        pauses = dataphin.other.node.id if case.persons and number == 0 else ""
        end = _lived(Life(dataphin.now, run.seed + number, death, pauses), setting, dataphin)
        if isinstance(end, Rested):
            found.passed = end.passed
            found.trouble += [end.trouble] if end.trouble else []
            _import(end.imported)
            break
        found.deaths.append(end.point)
        dataphin.turn(end.at + timedelta(seconds=chance.choice(DOWN)))
    dataphin.turn(dataphin.now + timedelta(minutes=5))
    judge(found, case, dataphin)
    return found


def _import(names: list[str]) -> None:
    """What one life had to import, the next has already."""
    for name in names:
        with suppress(ImportError):
            importlib.import_module(name)


def _lived(life: Life, setting: Setting, dataphin: Dataphin) -> Died | Rested:
    """One life, in a process of its own; how it ended."""
    here, there = Pipe()
    child = os.fork()
    if child == 0:
        here.close()
        _live(life, setting, there)
    there.close()
    end: Died | Rested | None = None
    with here, suppress(EOFError, ConnectionError):
        while True:
            message = here.recv()
            if isinstance(message, Asked | Collected):
                here.send(dataphin.hear(message))
            else:
                end = message
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert end is not None, f"{life} ended without a word: {code}"
    assert code == (-signal.SIGKILL if isinstance(end, Died) else 0), f"{life}: {end}, and yet {code}"
    return end


def _live(life: Life, setting: Setting, pipe: Connection) -> NoReturn:
    """The child's whole life; nothing of its parent's is tidied up at its end."""
    try:
        live(life, setting, pipe)
    except BaseException:  # noqa: BLE001 - it ends here, and says so
        traceback.print_exc()
    os._exit(1)
