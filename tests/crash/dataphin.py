"""The Dataphin of one run: it outlives the processes that call it, and keeps count of what was really done."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

from crash.cases import FAILING, Case, Run, go_wrong
from crash.line import Asked, Collected, Held
from phinops.catalog.catalog import is_read
from phinops.simulate import make_simulator
from phinops.simulate.faults import AFTER
from phinops.simulate.model import Effect
from phinops.simulate.signature import Request
from phinops.simulate.wire import Answer
from simulated import MORNING, HandClock

_ONE_PROJECT = {"projects": {"finance_dw": None, "locked_dw": None}, "data_services": {"retail_api": None}}

_INTENTS = """
SELECT count(*) FROM step JOIN lease ON lease.epoch = step.epoch WHERE step.state = 'intent' AND step.api = ?
"""


class Dataphin:
    """What the processes of a run call, which keep their journal at `store`.

    Attributes:
        other: the instance that the case has made.
        idle: writes that arrived when there was nothing left for them to do: they must not have been sent.
        trouble: what must not be, in words.
    """

    def __init__(self, case: Case, run: Run, store: Path) -> None:
        self.store = store
        self.clock = HandClock(MORNING)
        self.simulator = make_simulator("quiet", clock=self.clock, overrides=_ONE_PROJECT)
        self.simulator.url = "http://127.0.0.1:9"
        self.other = case.prepare(self.simulator)
        failed = self.simulator.tenant.fail_instance(FAILING, ago=60.0)
        failed.takes = 40.0
        self.late = go_wrong(self.simulator, run)
        self.idle = 0
        self._intentless: list[str] = []
        self._held: list[tuple[Held, Request]] = []
        self._answers: dict[int, Answer] = {}
        self._tickets = 0

    @property
    def now(self) -> datetime:
        """The time that it is for Dataphin."""
        return self.clock.now()

    @property
    def trouble(self) -> list[str]:
        crashed = [f"the simulator crashed: {error!r}" for error in self.simulator.crashes]
        refused = [f"{times} calls were refused: {why}" for why, times in self.simulator.refusals.items()]
        return [*crashed, *refused, *self._intentless]

    def effects(self) -> Counter[tuple[str, str]]:
        """What was done how often: operation and target."""
        return Counter(self._told(each) for each in self.simulator.tenant.effects)

    def _told(self, effect: Effect) -> tuple[str, str]:
        """What is submitted under a name of its own goes by the API; a backfill's target is its first node."""
        if effect.api == "ExecuteManualNode":
            return effect.api, effect.target
        if effect.api == "CreateNodeSupplement":
            return effect.api, self.simulator.tenant.flows[effect.target].dagruns[0].instances[0].node.id
        return effect.operation, effect.target

    def hear(self, message: Asked | Collected) -> Answer | Held:
        """What is answered to a request, or until when the gateway keeps it."""
        self.turn(message.at)
        if isinstance(message, Collected):
            return self._answers.pop(message.ticket)
        if is_read(_api(message.request)):
            return self.simulator.handle(message.request)
        self._look_for_an_intent(_api(message.request))
        if not self.late:
            return self._carry_out(message.request)
        self._tickets += 1
        held = Held(message.at + timedelta(seconds=self.late), self._tickets)
        self._held.append((held, message.request))
        return held

    def turn(self, now: datetime) -> None:
        """Let it be that late; what is kept until then is done."""
        while self._held and self._held[0][0].until <= now:
            held, request = self._held.pop(0)
            self._set(held.until)
            self._answers[held.ticket] = self._carry_out(request)
        self._set(now)
        self.simulator.tenant.settle()

    def _set(self, now: datetime) -> None:
        self.clock.elapsed = max(self.clock.elapsed, (now - MORNING).total_seconds())

    def _look_for_an_intent(self, api: str) -> None:
        """Whoever sends a write has an intent of its own epoch on disk by now."""
        with closing(sqlite3.connect(f"file:{self.store}?mode=ro", uri=True)) as connection:
            (intents,) = connection.execute(_INTENTS, (api,)).fetchone()
        if not intents:
            self._intentless.append(f"{api} arrived without an intent")

    def _carry_out(self, request: Request) -> Answer:
        done, kept_away = len(self.simulator.tenant.effects), self._kept_away()
        answer = self.simulator.handle(request)
        came_in = self._kept_away() == kept_away
        self.idle += came_in and len(self.simulator.tenant.effects) == done
        return answer

    def _kept_away(self) -> int:
        """How many requests never came to where the work is done."""
        struck = self.simulator.faults.struck
        return sum(times for kind, times in struck.items() if kind not in AFTER)


def _api(request: Request) -> str:
    return request.headers.get("x-acs-action", "")
