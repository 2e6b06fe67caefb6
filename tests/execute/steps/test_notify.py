from __future__ import annotations

from datetime import UTC, datetime

import pytest

from phinops.errors import Refused
from phinops.execute.steps.kind import BadStep, Target, Write, checked
from phinops.execute.steps.notify import NotifyParams
from phinops.execute.steps.table import STEPS
from stillness import Checked, StillLook, failure

NOTIFY = STEPS["notify"]


def notify(**given: object) -> NotifyParams:
    return NotifyParams.model_validate({"to": "oncall", "message": "look", **given})


def test_one_notifier_or_several_are_told_each_once() -> None:
    assert notify().to == ("oncall",)
    assert notify(to=["oncall", "team", "oncall"]).to == ("oncall", "team")
    assert not NOTIFY.writes(notify())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        (True, "true"),
        (datetime(2026, 1, 5, tzinfo=UTC), "2026-01-05T00:00:00+00:00"),
        (["a", 1], '["a", 1]'),
    ],
)
def test_a_template_of_another_type_is_printed(value: object, text: str) -> None:
    assert notify(message=value).message == text


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"severity": "fatal"}, "cannot be «fatal»: it is one of info, warning, critical"),
        ({"to": []}, "at least 1"),
        ({"to": ""}, "at least 1"),
        ({"message": None}, "valid string"),
        ({"chanel": "x"}, "Extra inputs"),
    ],
)
def test_a_wrong_value_is_refused(given: dict[str, object], reason: str) -> None:
    with pytest.raises(BadStep, match=reason):
        checked(NOTIFY, {"to": "oncall", "message": "look", **given})


def test_a_severity_may_come_from_a_template() -> None:
    assert notify(severity="{{ vars.severity }}").severity == "{{ vars.severity }}"


def test_unknown_notifiers_are_found_with_a_suggestion() -> None:
    params = notify(to=["oncal", "oncall", "{{ vars.who }}"])
    [(path, message)] = NOTIFY.problems(params, Checked(notifiers=("oncall",)))
    assert path == ("to",)
    assert message.endswith("did you mean «oncall»?")
    [(_, message)] = NOTIFY.problems(notify(to="x"), Checked(notifiers=()))
    assert message.endswith("the config has none; a table [notifiers.x] makes it one")
    [(_, message)] = NOTIFY.problems(notify(to="x"), Checked(notifiers=("oncall", "night")))
    assert message.endswith("the config has night, oncall")
    assert NOTIFY.problems(params, Checked(notifiers=None)) == []


async def test_a_notice_is_nothing_that_could_be_read_back() -> None:
    write = Write("notify", "", Target("", ""), {})
    assert await NOTIFY.baseline(StillLook(), write, None) == {}
    assert await NOTIFY.probe(StillLook(), write, {}) == "unclear"
    assert await NOTIFY.progress(StillLook(), write, {}) == "pending"
    assert NOTIFY.items({}, []) == {}
    assert NOTIFY.result({}) == {}
    assert not NOTIFY.met(Refused("", "", ""))
    with pytest.raises(ValueError, match="no call"):
        NOTIFY.merge([write])
    with pytest.raises(ValueError, match="no call"):
        await NOTIFY.write(notify(), failure(), StillLook())


def test_the_table_has_every_step_of_this_version() -> None:
    assert set(STEPS) == {
        "rerun_instance",
        "terminate_instance",
        "set_instance_success",
        "pause_instance",
        "resume_instance",
        "pause_node",
        "resume_node",
        "backfill",
        "fix_data",
        "run_manual_node",
        "call",
        "notify",
        "http",
        "wait",
        "approve",
        "emit",
    }
    assert all(step.name == name for name, step in STEPS.items())
