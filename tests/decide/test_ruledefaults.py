"""`defaults` of a file: who has them, who does not, and what a mistake in one costs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from phinops.decide.calendar import Calendar
from phinops.decide.rule import Limits, Window
from settings import loaded, only_rule

HOUR = timedelta(hours=1)
DEFAULTS = """\
calendars:
  week: { days: mon-fri }
defaults:
  mode: shadow
  cooldown: 1h
  concurrency: single
  limits: { firings: { max: 5, per: 1h }, downstream: { max: 7 } }
  max_age: 6h
  within: 5m
  active: week
  on_error: continue
  verify: { within: 30m }
rules:
"""


def rule(more: str = "", on: str = "instance.failed", id: str = "one") -> str:
    lines = "".join(f"    {line}\n" for line in more.splitlines())
    return f"  - id: {id}\n    on: {on}\n{lines}" + (
        "" if "do:" in more else "    do:\n      - rerun_instance: {}\n      - notify: { to: oncall, message: x }\n"
    )


def test_a_rule_has_the_defaults_of_its_file(tmp_path: Path) -> None:
    found = only_rule(tmp_path, DEFAULTS + rule())
    assert (found.mode, found.cooldown, found.concurrency) == ("shadow", HOUR, "single")
    assert (found.max_age, found.within) == (6 * HOUR, timedelta(minutes=5))
    assert found.limits == Limits(firings=Window(5, HOUR), downstream=7)
    assert found.active == (Calendar("Asia/Shanghai", days=("mon", "tue", "wed", "thu", "fri"), name="week"),)
    rerun, notify = found.steps
    assert (rerun.on_error, rerun.verify) == ("continue", timedelta(minutes=30))
    assert (notify.on_error, notify.verify) == ("continue", None)  # nobody can see whether a notice helped


def test_what_a_rule_says_itself_stands_and_limits_one_by_one(tmp_path: Path) -> None:
    own = "mode: armed\ncooldown: 2h\nlimits: { downstream: { max: 1 } }\nactive: { days: sun }\n"
    own += "do:\n  - rerun_instance: {}\n    on_error: stop\n    verify: { within: 1m }"
    found = only_rule(tmp_path, DEFAULTS + rule(own))
    assert (found.mode, found.cooldown) == ("armed", 2 * HOUR)
    assert found.limits == Limits(firings=Window(5, HOUR), downstream=1)
    assert found.active == (Calendar("Asia/Shanghai", days=("sun",)),)
    assert (found.steps[0].on_error, found.steps[0].verify) == ("stop", timedelta(minutes=1))


def test_a_rule_with_defaults_means_what_it_would_if_they_were_written_out(tmp_path: Path) -> None:
    text = "rules:\n" + rule("mode: shadow\ncooldown: 1h")
    assert (
        only_rule(tmp_path, "defaults: { mode: shadow, cooldown: 1h }\n" + text).hash == only_rule(tmp_path, text).hash
    )


@pytest.mark.parametrize(
    ("on", "within"),
    [
        ("{ hook: deploy }", None),
        ("quota.low", None),
        ('{ schedule: "0 6 * * *" }', None),
        ("[quota.low, alert.opened]", 5),
        ("impact.opened", 5),
    ],
)
def test_within_goes_to_rules_on_what_is_polled(tmp_path: Path, on: str, within: int | None) -> None:
    notice = "do:\n  - notify: { to: oncall, message: x }"
    found = only_rule(tmp_path, "defaults: { within: 5m }\nrules:\n" + rule(notice, on))
    assert found.within == (timedelta(minutes=within) if within else None)


def test_a_mistake_is_told_once_and_costs_the_rules_that_would_have_it(tmp_path: Path) -> None:
    text = "defaults:\n  cooldown: 5\n  mode: armed\n  verify: { within: soon }\nrules:\n"
    notice = "do:\n  - notify: { to: oncall, message: x }"
    has_both = "cooldown: 1h\ndo:\n  - rerun_instance: {}\n    verify: { within: 1m }"
    text += rule(notice) + rule(f"cooldown: 1h\n{notice}", id="two") + rule("cooldown: 1h", id="three")
    text += rule(has_both, id="four")
    found = loaded(tmp_path, text)
    assert [(each.line, each.column, each.code) for each in found.problems] == [
        (2, 13, "bad-value"),
        (4, 21, "bad-value"),
    ]
    assert [each.id for each in found.rules] == ["two", "four"]
    reasons = {each.id: each.reason for each in found.quarantined}
    assert "«cooldown» must be a duration" in reasons["one"]
    assert "«within» must be a duration" in reasons["three"]


def test_the_calendar_of_a_default_is_looked_for_once(tmp_path: Path) -> None:
    text = "calendars: { week: { days: x } }\ndefaults:\n  active: {active}\nrules:\n" + rule("mode: armed")
    own = rule("mode: armed\nactive: { days: sun }", id="two")
    unknown = loaded(tmp_path, text.replace("{active}", "weak") + own)
    assert [(each.line, each.code) for each in unknown.errors] == [(1, "bad-calendar"), (3, "unknown-calendar")]
    broken = loaded(tmp_path, text.replace("{active}", "week") + own)
    assert [(each.line, each.code) for each in broken.errors] == [(1, "bad-calendar")]
    for found in (unknown, broken):
        assert [each.id for each in found.rules] == ["two"]
        assert [each.id for each in found.quarantined] == ["one"]
    assert "its calendar «week» has a mistake" in broken.quarantined[0].reason


def test_a_default_that_no_rule_knows_is_a_mistake_of_the_file(tmp_path: Path) -> None:
    found = loaded(tmp_path, "defaults: { mod: shadow }\nrules:\n" + rule("mode: armed"))
    assert len(found.rules) == 0
    assert "did you mean «mode»?" in found.problems[0].message
    assert found.broken_files


def test_what_is_no_rule_or_no_step_is_told_as_ever(tmp_path: Path) -> None:
    text = (
        "defaults: { cooldown: 1h, on_error: stop }\nrules:\n  - id: one\n    on: instance.failed\n    do: [ rerun ]\n"
    )
    found = loaded(tmp_path, text + "  - id: two\n    on: instance.failed\n    do: rerun\n  - three\n")
    assert [(each.line, each.code) for each in found.problems] == [(5, "bad-value"), (8, "bad-value"), (9, "bad-value")]
    unknown = "defaults: { on_error: stop, verify: { within: x } }\nrules:\n  - id: one\n"
    unknown += "    on: instance.failed\n    do: [ { sing: 1 } ]\n"
    assert [each.code for each in loaded(tmp_path, unknown).problems] == ["bad-value", "step-kind"]
    assert loaded(tmp_path, "defaults:\ncalendars:\nrules:\n" + rule("mode: armed")).errors == ()


def test_a_default_may_be_an_alias_of_what_stands_before_it(tmp_path: Path) -> None:
    text = "vars: { x: &x 5, y: &y 2h }\ndefaults: { cooldown: *y, max_age: *x }\nrules:\n"
    found = loaded(tmp_path, text + rule("mode: armed\nmax_age: 1h") + rule("mode: armed", id="two"))
    assert [(each.line, each.code) for each in found.problems] == [(1, "bad-value")]
    assert [(each.id, each.cooldown) for each in found.rules] == [("one", 2 * HOUR)]
