"""Bells of those who wait."""

from __future__ import annotations

from phinops.execute.bells import Bells
from stillness import failure

T_1 = ("prod", "instance", "t_1")


def test_an_event_rings_for_all_who_wait_for_its_object_and_for_nobody_else() -> None:
    bells = Bells()
    bells.saw([failure()])
    with bells.hung(T_1) as one, bells.hung(T_1) as two, bells.hung(None) as three:
        bells.saw([failure(), failure("t_2")])
        assert [each.rung.is_set() for each in (one, two, three)] == [True, True, False]
        assert one.take() == [failure()]
        assert one.take() == []
    with bells.hung(T_1) as one:
        bells.saw([failure()])
        assert len(two.take()) == 1
        assert len(one.take()) == 1
