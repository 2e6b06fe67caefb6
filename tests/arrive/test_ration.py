"""A part of the day's calls, spread over the day."""

from __future__ import annotations

from typing import Any

import pytest

from phinops.arrive.ration import Ration, polls_of_day, rationed
from phinops.config import Secret, Tenant
from simulated import HandClock


def test_what_is_overdrawn_is_waited_for_and_what_is_saved_is_an_hour_s() -> None:
    clock = HandClock()
    ration = Ration(2400, clock)  # a hundred an hour
    assert ration.wait() == 0
    ration.spend(150)
    assert ration.wait() == pytest.approx(51 * 36)
    clock.turn(51 * 36)
    assert ration.wait() == pytest.approx(0)
    clock.turn(100 * 3600)
    assert ration.part(300, 250) == 100
    assert ration.part(300, 200) == 300
    assert ration.part(60, 250) == 60
    ration.spend(100)
    assert ration.part(300, 101) == 1


def test_few_calls_can_be_saved_up_however_few_there_are() -> None:
    ration = Ration(8, HandClock())
    assert ration.part(6, 100) == 6
    assert ration.part(7, 100) == 3


def test_none_is_as_many_as_one_likes_and_nothing_is_nothing() -> None:
    endless, none = Ration(None, HandClock()), Ration(0, HandClock())
    endless.spend(10**6)
    assert (endless.wait(), endless.part(10**6, 10**6)) == (0, 10**6)
    none.spend(3)
    assert none.wait() > 0


def tenant(edition: Any, **quota: Any) -> Tenant:
    key = Secret(env="X")
    return Tenant.model_validate({
        "name": "t", "endpoint": "http://127.0.0.1:1", "op_tenant_id": 1, "edition": edition, "quota": quota,
        "access_key_id": key, "access_key_secret": key,
    })  # fmt: skip


@pytest.mark.parametrize(
    ("of", "polls"),
    [
        (tenant("personal"), 80),
        (tenant("agile", share=0.5), 400),
        (tenant("basic"), 40_000),
        (tenant("intelligent"), 86_400),
        (tenant("private", qps={"1+2+3": 5}, daily={"1+2+3": 100}, action_reserve=0.0), 100),
        (tenant("private", qps={"2": 5}), None),
    ],
)
def test_the_polls_of_a_day_are_what_the_quota_leaves_them(of: Tenant, polls: float | None) -> None:
    assert polls_of_day(of) == polls
    assert rationed(of, 0.2, HandClock()).wait() == 0
