"""`calendars` and `active`: what a file says becomes, and what is wrong with it costs."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from phinops.decide.calendar import WEEKDAYS, WHOLE_DAY, Calendar, Hours
from phinops.decide.calendarfile import unknown_days
from phinops.decide.rule import Rule, Setting
from phinops.decide.workdays import last_known
from phinops.execute.steps.table import STEPS
from settings import loaded, only_rule

RULE = "  - id: {id}\n    on: instance.failed\n    {more}\n    do:\n      - notify: {{ to: oncall, message: x }}\n"


def rule(active: str, id: str = "one") -> str:
    return RULE.format(id=id, more=f"active: {active}")


def active(folder: Path, text: str, calendars: str = "") -> tuple[Calendar, ...]:
    return only_rule(folder, f"{calendars}rules:\n{rule(text)}").active


@pytest.mark.parametrize(
    ("days", "found"),
    [
        ("all", WEEKDAYS),
        ("workdays", ("workdays",)),
        ("[holidays, workdays, Sat]", ("workdays", "holidays", "sat")),
        ("mon-fri", WEEKDAYS[:5]),
        ("sat-mon", ("mon", "sat", "sun")),
        ("wed", ("wed",)),
        ("[mon, tue-wed]", WEEKDAYS[:3]),
    ],
)
def test_days_are_named_or_listed(tmp_path: Path, days: str, found: tuple[str, ...]) -> None:
    assert active(tmp_path, f"{{ days: {days} }}") == (Calendar("Asia/Shanghai", days=found),)


@pytest.mark.parametrize(
    ("hours", "found"),
    [
        ("08:00-20:00", (Hours(480, 1200),)),
        ('"8:30 - 9:00"', (Hours(510, 540),)),
        ("22:00-08:00", (Hours(1320, 1920),)),
        ("00:00-24:00", (WHOLE_DAY,)),
        ("20:00-24:00", (Hours(1200, 1440),)),
        ("20:00-00:00", (Hours(1200, 1440),)),
        ("[08:00-12:00, 13:00-17:30]", (Hours(480, 720), Hours(780, 1050))),
    ],
)
def test_hours_are_one_span_or_several(tmp_path: Path, hours: str, found: tuple[Hours, ...]) -> None:
    assert active(tmp_path, f"{{ hours: {hours} }}") == (Calendar("Asia/Shanghai", found),)


def test_a_rule_names_calendars_of_its_file_or_writes_them_out(tmp_path: Path) -> None:
    calendars = "calendars:\n  nights: { hours: 22:00-08:00, zone: Europe/Berlin }\n  rest: { days: holidays }\n"
    nights, rest = (
        Calendar("Europe/Berlin", (Hours(1320, 1920),), name="nights"),
        Calendar("Asia/Shanghai", days=("holidays",), name="rest"),
    )
    assert active(tmp_path, "nights", calendars) == (nights,)
    assert active(tmp_path, "[rest, nights]", calendars) == (rest, nights)
    inline = active(tmp_path, "[rest, { hours: 08:00-09:00 }]", calendars)
    assert inline == (rest, Calendar("Asia/Shanghai", (Hours(480, 540),)))


def test_the_zone_is_the_config_s_unless_it_is_said(tmp_path: Path) -> None:
    text = f"rules:\n{rule('{ days: all }')}"
    assert only_rule(tmp_path, text, Setting(STEPS, ZoneInfo("UTC"))).active == (Calendar("UTC"),)


def test_when_it_is_active_is_part_of_what_a_rule_means(tmp_path: Path) -> None:
    always = only_rule(tmp_path, f"rules:\n{RULE.format(id='one', more='mode: armed')}")
    nights = only_rule(tmp_path, f"rules:\n{rule('{ hours: 22:00-08:00 }')}")
    assert "active" not in always.to_json()
    assert always.hash != nights.hash
    again = Rule.from_json(nights.to_json())
    assert (again.active, again.hash) == (nights.active, nights.hash)


def test_a_mistake_in_a_calendar_is_told_once_and_costs_the_rules_that_name_it(tmp_path: Path) -> None:
    calendars = "calendars:\n  nights: { hours: 22:00 }\n  late: night\n  days: { days: mon-fri }\n"
    text = calendars + "rules:\n" + rule("nights") + rule("[days, late]", "two") + rule("days", "three")
    found = loaded(tmp_path, text)
    assert [(each.line, each.column, each.code) for each in found.problems] == [
        (2, 20, "bad-calendar"),
        (3, 9, "bad-calendar"),
    ]
    assert [each.id for each in found.rules] == ["three"]
    reasons = {each.id: each.reason for each in found.quarantined}
    assert "its calendar «nights» has a mistake: " in reasons["one"]
    assert "«hours» must be like 08:00-20:00, not «22:00»" in reasons["one"]
    assert "its calendar «late» has a mistake" in reasons["two"]
    assert found.broken_files == frozenset()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nigths", "the file has no calendar «nigths»: did you mean «nights»?"),
        ("holiday", "the file has no calendar «holiday»: it has nights"),
        ("{ days: workday }", "«days» cannot be «workday»: did you mean «workdays»?"),
        ("{ days: [mo] }", "«days» cannot be «mo»: did you mean «mon»?"),
        ("{ days: x }", "several make a list"),
        ("{ hours: 8 }", "put it in quotes"),
        ("{ hours: true }", "must be like 08:00-20:00, not «true»: put it in quotes"),
        ("{ hours: 08:60-09:00 }", "a day has the times from 00:00 to 23:59"),
        ("{ days: all, zone: Asia/Shanghia }", "«Asia/Shanghia» is not a time zone: did you mean «Asia/Shanghai»?"),
        ("{ days: all, zone: Europe }", "is not a time zone"),
        ("{ days: all, zone: /etc }", "is not a time zone: write one such as Asia/Shanghai or UTC"),
        ("{ days: ~ }", "has no value"),
    ],
)
def test_a_mistake_comes_with_its_cure(tmp_path: Path, text: str, said: str) -> None:
    found = loaded(tmp_path, f"calendars:\n  nights: {{ hours: 22:00-08:00 }}\nrules:\n{rule(text)}")
    (problem,) = found.problems
    assert said in problem.message


def test_working_days_that_are_not_known_soon_are_warned_of_once_a_file(tmp_path: Path) -> None:
    text = "calendars:\n  work: { days: workdays }\nrules:\n" + rule("work") + rule("work", "two")
    rules = list(loaded(tmp_path, text + rule("{ days: mon }", "three")).rules)
    end = datetime.combine(last_known(), time(12), UTC)
    assert unknown_days(rules, end - timedelta(weeks=4)) == []
    (warning,) = unknown_days(rules, end - timedelta(weeks=4) + timedelta(days=1))
    assert (warning.code, warning.severity, warning.line) == ("days-unknown", "warning", 4)
    assert f"are known here until {last_known()}" in warning.message
    assert unknown_days(rules[2:], end + timedelta(days=999)) == []
