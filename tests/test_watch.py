"""What stands in the way of being ready, source by source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest

from phinops.arrive.arrival import Arrival
from phinops.arrive.pace import Pacer, SourceState, State
from phinops.clock import LoopClock
from phinops.pulse import Pulse
from phinops.tenant import Source
from phinops.watch import Watch


@dataclass
class Told:
    """A pacer and a source that are in one state."""

    now: SourceState
    name: str = "alerts"

    def state(self) -> SourceState:
        return self.now


async def take(_: Arrival) -> None:
    pass


@pytest.mark.parametrize(
    ("state", "reason", "said"),
    [
        ("starting", "", "source alerts of prod has not taken stock yet"),
        ("failing", "down", "source alerts of prod has not taken stock yet: down"),
        ("stale", "down", "source alerts of prod is stale: down"),
        ("stale", "", "source alerts of prod is stale: no good poll for too long"),
        ("resting", "the day's calls for polls are spent", ""),
        ("idle", "no rule listens to it", ""),
        ("ok", "", ""),
    ],
)
def test_a_source_without_stock_or_answers_is_an_obstacle_and_one_that_rests_is_not(
    state: State, reason: str, said: str
) -> None:
    told: Any = Told(SourceState("alerts", state, None, None, reason))
    watch = Watch("prod", cast(Source, told), cast(Pacer, told), Pulse(LoopClock()), take)
    assert watch.obstacle() == said
