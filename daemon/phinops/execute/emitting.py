"""Carries out `emit`: the event is told once, however often the step is taken up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from phinops.clock import Clock
from phinops.event import Event, event_id
from phinops.execute.journal import Journal
from phinops.execute.steps.bare import bare_write
from phinops.execute.steps.emit import EmitParams, check_size
from phinops.execute.steps.kind import Target
from phinops.execute.walk import Walk, result_of
from phinops.firing import Intent, StepResult

SOURCE = "rules"


class Emitter:
    """The step `emit`. `tell` takes the event into the pipeline, where one that is known already changes nothing."""

    def __init__(self, journal: Journal, clock: Clock, tell: Callable[[Event], Awaitable[object]]) -> None:
        self._journal = journal
        self._clock = clock
        self._tell = tell

    async def do(self, walk: Walk, params: EmitParams, attempt: int) -> StepResult:
        check_size(params.data)
        shadow = walk.firing.mode == "shadow"
        write = bare_write("emit", params, Target("", params.type))
        row = walk.row(attempt, write, outcome="shadow" if shadow else "accepted")
        # The row comes first: it is what the event is caused by.
        await self._journal.put_step(row)
        return await self.take_up(walk, row)

    async def take_up(self, walk: Walk, earlier: Intent) -> StepResult:
        """Tell what the row says, again where it may have been told before: it is the same event."""
        if earlier.outcome == "accepted":
            params = earlier.request["params"]
            await self._tell(
                Event(
                    id=event_id(SOURCE, walk.firing.tenant, walk.firing.id, str(walk.planned.n), "emitted"),
                    type=params["type"],
                    time=self._clock.now(),
                    tenant=walk.firing.tenant,
                    source=SOURCE,
                    project=walk.scene.event.project,
                    caused_by=earlier.action_id,
                    data=params["data"],
                )
            )
        return result_of(earlier)
