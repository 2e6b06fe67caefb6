"""Whether loops move."""

from __future__ import annotations

from phinops.pulse import GRACE, Pulse
from simulated import HandClock


def test_a_loop_that_moves_in_time_is_well_and_one_that_does_not_is_named() -> None:
    clock = HandClock()
    pulse = Pulse(clock)
    pulse.beat("a")
    pulse.beat("b", 3600.0)
    clock.turn(GRACE)
    assert pulse.stuck() == []
    clock.turn(1)
    assert pulse.stuck() == ["loop a has not moved for 61 s"]
    assert pulse.ages() == {"a": 61.0, "b": 61.0}
    pulse.beat("a")
    clock.turn(3600)
    assert pulse.stuck() == ["loop a has not moved for 3600 s", "loop b has not moved for 3661 s"]


def test_a_loop_that_has_ended_is_not_missed() -> None:
    clock = HandClock()
    pulse = Pulse(clock)
    pulse.beat("a")
    pulse.gone("a")
    pulse.gone("never there")
    clock.turn(1e6)
    assert pulse.stuck() == []
