"""The event model and its JSON."""

from __future__ import annotations

from dataclasses import replace

from happenings import ALERT, DUE, FAILED, HOOK, IMPACT
from phinops.event import Instance, from_json, to_json

WAITING = replace(FAILED, type="instance.waiting", instance=Instance(id="t_1", status="WAITING"))


def test_what_is_missing_is_null_empty_or_for_a_time_not_there() -> None:
    document = to_json(WAITING)
    assert document["instance"] == {
        "id": "t_1",
        "status": "WAITING",
        "previous_status": "",
        "biz_date": "",
        "duration_s": None,
        "attempts": None,
        "paused": None,
    }


def test_the_json_of_an_event_is_read_back_the_same() -> None:
    for event in (FAILED, WAITING, HOOK, ALERT, IMPACT, DUE):
        assert from_json(to_json(event)) == event
