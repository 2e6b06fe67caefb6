"""How instances live: a queue of what happens when, worked off up to the clock whenever somebody looks.

Nothing ticks: between two requests nothing runs, and a request first lets everything happen that became due.
"""

from __future__ import annotations

import heapq
import itertools
import zlib
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Literal

from phinops.simulate.model import ALWAYS, Instance, Listener, Origin, Run
from phinops.simulate.quirks import Quirks

DEFAULT_FAILURE = "FAILED: ODPS-0130071: Semantic analysis exception - physical plan generation failed"


class Agenda:
    """What happens when. `now` is the time of the last thing that happened or of the last look at the clock."""

    def __init__(self) -> None:
        self.now = float("-inf")
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def at(self, when: float, what: Callable[[], None]) -> None:
        """Let `what` happen at `when`; at equal times, first come first served."""
        heapq.heappush(self._queue, (when, next(self._order), what))

    def advance(self, now: float) -> None:
        """Let everything happen that is due by `now`, in order. A clock that jumped back changes nothing."""
        while self._queue and self._queue[0][0] <= now:
            when, _, what = heapq.heappop(self._queue)
            self.now = max(self.now, when)
            what()
        self.now = max(self.now, now)


class Lives:
    """Starts and ends the runs of instances."""

    def __init__(self, agenda: Agenda, quirks: Quirks) -> None:
        self.agenda = agenda
        self.quirks = quirks
        self.listeners: list[Listener] = []
        self.auto_reruns: Counter[str] = Counter()
        self._taskruns = itertools.count(1)

    def expect(self, instance: Instance) -> None:
        """Let `instance` run when it is due and nothing holds it."""
        self.agenda.at(max(instance.due, instance.created), partial(self.try_start, instance))

    def try_start(self, instance: Instance) -> None:
        """Start `instance` if it waits and nothing holds it; else whatever holds it calls again."""
        if instance.ready(self.agenda.now):
            self.start(instance, "schedule")

    def start(self, instance: Instance, origin: Origin) -> None:
        """Begin a run now; one that is going on already is followed by another."""
        if instance.state == "RUNNING":
            instance.again += 1
            return
        now = self.agenda.now
        if origin != "auto":
            instance.auto_left = self.quirks.auto_rerun
        run = Run(self._taskrun_id(), now, origin)
        if origin == "fix" and self.quirks.fix_data_hidden:
            instance.mask = instance.state
        instance.runs.append(run)
        instance.enter("RUNNING")
        instance.ended = None
        if not instance.stuck:
            self.agenda.at(now + self._length(instance), partial(self._finish, instance, run))
        instance.stuck = False

    def settle(self, instance: Instance, state: Literal["SUCCESS", "FAILED"]) -> None:
        """Put a terminal state on `instance` from outside: a running run ends with it."""
        now = self.agenda.now
        run = instance.runs[-1] if instance.runs and instance.runs[-1].end is None else None
        self._end(instance, run, failed=state == "FAILED", at=now)

    def ran(self, instance: Instance, start: float, end: float) -> None:
        """Give `instance` a run that lies in the past, with what its script makes of it."""
        run = Run(self._taskrun_id(), start, "schedule")
        instance.runs.append(run)
        instance.auto_left = self.quirks.auto_rerun
        self._end(instance, run, failed=_fails(instance), at=end)

    def _taskrun_id(self) -> str:
        return f"tr_{next(self._taskruns):019d}"

    def _finish(self, instance: Instance, run: Run) -> None:
        if run.end is not None:
            return  # it was terminated meanwhile
        self._end(instance, run, failed=_fails(instance), at=self.agenda.now)

    def _end(self, instance: Instance, run: Run | None, *, failed: bool, at: float) -> None:
        instance.enter("FAILED" if failed else "SUCCESS")
        instance.mask = None
        instance.ended = at
        if run is not None:
            run.end = at
            run.state = instance.state
            run.log = run_log(instance, run)
        for listener in self.listeners:
            listener(instance, run)
        if instance.again:
            instance.again -= 1
            self.start(instance, "rerun")
        elif failed:
            self._promise_auto_rerun(instance, run)
        else:
            for each in instance.downstream:
                self.try_start(each)

    def _promise_auto_rerun(self, instance: Instance, run: Run | None) -> None:
        if run is None or instance.auto_left <= 0:
            return
        instance.auto_left -= 1
        self.agenda.at(self.agenda.now + self.quirks.auto_rerun_every, partial(self._auto_rerun, instance, run))

    def _auto_rerun(self, instance: Instance, run: Run) -> None:
        if instance.state == "FAILED" and instance.runs[-1] is run:
            self.auto_reruns[instance.id] += 1
            self.start(instance, "auto")

    def _length(self, instance: Instance) -> float:
        if instance.takes is not None:
            return instance.takes
        share = zlib.crc32(f"{instance.id}/{len(instance.runs)}".encode()) / 2**32
        return instance.node.duration * (0.85 + 0.3 * share)


def run_log(instance: Instance, run: Run) -> str:
    """The whole text of a run that has ended."""
    seconds = (run.end or run.start) - run.start
    head = f"taskrun {run.id} of {instance.id} ({run.origin}), node {instance.node.name}, took {seconds:.0f}s\n"
    if run.state == "SUCCESS":
        return head + "OK\n"
    return head + (instance.failure_log or DEFAULT_FAILURE) + "\n"


def _fails(instance: Instance) -> bool:
    """Whether the run that now ends fails by the instance's script, which is one run shorter afterwards."""
    if instance.fails > 0:
        instance.fails -= 1
        return True
    return instance.fails == ALWAYS
