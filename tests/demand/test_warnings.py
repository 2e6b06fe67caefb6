"""What `check` says of the quota: the arithmetic of what is asked for, and cures that suffice."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counting import MemoryLedger
from phinops.catalog.quotas import plan_for
from phinops.clock import LoopClock
from phinops.config import Config
from phinops.decide.rule import Rule, RuleSet, Setting
from phinops.demand import quota_warnings
from phinops.demand.ask import INTERVALS
from phinops.demand.day import Day
from phinops.durations import parse_duration
from phinops.execute.day import DayBook
from phinops.execute.steps.table import STEPS
from phinops.virtual import run
from settings import SHANGHAI, loaded
from worlds import START

NOTICE = 'do: [ { notify: { to: oncall, message: "{{ event.id }}" } } ]'


def tenant(name: str = "prod", **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "endpoint": "https://dataphin.example.com",
        "op_tenant_id": 1,
        "edition": "personal",
        "access_key_id": {"env": f"ID_{name}"},
        "access_key_secret": {"env": "SECRET"},
        "projects": [1, 2, 3, 4, 5],
        **changes,
    }


def config(*tenants: dict[str, Any], **more: Any) -> Config:
    return Config.model_validate({"tenants": list(tenants or [tenant()]), **more})


def rules_of(folder: Path, *texts: str) -> RuleSet:
    """Each text is a rule without its id, which is r1, r2, ..."""
    lines = [f"  - id: r{n}\n    " + text.strip().replace("\n", "\n    ") for n, text in enumerate(texts, 1)]
    found = loaded(folder, "rules:\n" + "\n".join(lines) + "\n", Setting(STEPS, SHANGHAI, None, {"oncall"}, {"deploy"}))
    assert not found.errors, found.errors
    return found.rules


def warned(of: Config, rules: RuleSet | Sequence[Rule] = ()) -> list[tuple[str, str]]:
    found = quota_warnings(of, RuleSet(rules), lambda key: (".".join(map(str, key)), 7, 3))
    assert all(each.severity == "warning" for each in found)
    return [(each.code, each.message) for each in found]


def polled(folder: Path, within: str = "5m", on: str = "instance.failed", mode: str = "armed") -> RuleSet:
    return rules_of(folder, f"on: {on}\nwithin: {within}\nmode: {mode}\n{NOTICE}")


def test_a_wish_that_the_day_cannot_grant_is_told_with_what_could(tmp_path: Path) -> None:
    assert warned(config(), polled(tmp_path)) == [(
        "quota-polls",
        "r1: «within: 5m» asks for 1,440 calls a day (instances of 5 projects every 5m); polls have 80 of the 100 of "
        "levels 1+2+3: needed would be «within: 1h30m» or the basic edition",
    )]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "within", "asked", "needed"),
    [
        ({}, "1h30m", "", ""),
        ({}, "1h", "120 calls", "«within: 1h30m», 3 projects or the agile edition"),
        ({"quota": {"share": 0.5}}, "1h30m", "80 calls", "«within: 3h», 2 projects, the agile edition or share = 1"),
        ({"quota": {"share": 0.5, "action_reserve": 0}}, "1h30m", "80 calls",
         "«within: 2h30m», 3 projects, the agile edition or share = 0.8"),
        ({"quota": {"daily": {"1": 300}}}, "10m", "720 calls", "«within: 30m» or one project"),
        ({"quota": {"daily": {"1": 300}, "levels": {"ListInstances": 2}}}, "10m", "", ""),
        ({"edition": "basic"}, "10s", "43,200 calls", "«within: 15s», 4 projects or the intelligent edition"),
        ({"edition": "intelligent"}, "10s", "", ""),
        ({"edition": "private", "quota": {"qps": {"1": 5}}}, "10s", "", ""),
        ({"projects": "all"}, "5m", "288 calls a day for each project (instances every 5m)",
         "«within: 20m» times the number of projects or the agile edition"),
        ({"projects": [1]}, "10m", "144 calls", "«within: 20m» or the agile edition"),
        ({"projects": list(range(200)), "quota": {"daily": {"1": 100}}}, "24h", "200 calls", "80 projects"),
    ],
)  # fmt: skip
def test_what_is_offered_depends_on_what_the_tenant_has(
    tmp_path: Path, changes: dict[str, Any], within: str, asked: str, needed: str
) -> None:
    found = warned(config(tenant(**changes)), polled(tmp_path, within))
    assert [code for code, _ in found] == ["quota-polls"] * bool(asked)
    for _, message in found:
        assert asked in message
        assert message.endswith(f": needed would be {needed.replace('one project', '1 project')}")


@given(
    projects=st.integers(1, 40),
    within=st.sampled_from(INTERVALS),
    share=st.sampled_from([0.1, 0.33, 0.7, 1.0]),
    edition=st.sampled_from(["personal", "agile", "basic"]),
)
def test_every_cure_that_is_offered_suffices(projects: int, within: timedelta, share: float, edition: str) -> None:
    wish = Rule("r1", ("instance.failed",), (), within=within)

    def settings(count: int = projects, **changes: Any) -> Config:
        given = {"edition": edition, "quota": {"share": share}, "data_service_projects": [], **changes}
        return config(tenant(projects=list(range(count)), **given))

    for _, message in warned(settings(), [wish]):
        longer = re.search(r"«within: (\w+)»(?:, | or |$)", message.partition("needed")[2])
        fewer = re.search(r"be .*?(\d+) project", message.partition("needed")[2])
        larger = re.search(r"the (\w+) edition", message)
        more = re.search(r"share = ([\d.]+)", message)
        assert not longer or not warned(settings(), [replace(wish, within=parse_duration(longer[1]))])
        assert not fewer or not warned(settings(int(fewer[1])), [wish])
        assert not larger or not warned(settings(edition=larger[1]), [wish])
        assert not more or not warned(settings(quota={"share": float(more[1])}), [wish])


def test_a_source_is_polled_once_for_all_its_rules(tmp_path: Path) -> None:
    rules = rules_of(
        tmp_path,
        f"on: instance.failed\nwithin: 1h\n{NOTICE}",
        f"on: [instance.blocked, alert.opened]\nwithin: 30m\n{NOTICE}",
        f"on: instance.failed\nwithin: 2h\n{NOTICE}",
        f"on: instance.failed\nwithin: 1h15m\n{NOTICE}",
    )
    ((code, message),) = warned(config(), rules)
    assert (code, message[:48]) == ("quota-polls", "r2: «within: 30m» asks for 240 calls a day (inst")
    assert "; so do «r1», «r4»; " in message


def test_rules_that_are_off_or_say_nothing_ask_for_nothing(tmp_path: Path) -> None:
    assert warned(config(), polled(tmp_path, mode="off")) == []
    assert warned(config(), rules_of(tmp_path, f"on: instance.failed\n{NOTICE}")) == []


def test_a_fixed_interval_asks_whatever_rules_there_are_and_is_told_at_its_key(tmp_path: Path) -> None:
    of = config(tenant(sources={"alerts": {"every": "5m"}}))
    (problem,) = quota_warnings(of, RuleSet(), lambda key: (".".join(map(str, key)), 7, 3))
    assert (problem.file, problem.line, problem.column) == ("tenants.0.sources.alerts.every", 7, 3)
    assert problem.message == (
        '`alerts`: every = "5m" asks for 288 calls a day (alerts every 5m); polls have 80 of the 100 of levels 1+2+3: '
        'needed would be every = "20m" or the agile edition'
    )


def test_a_wish_shorter_than_the_fixed_interval_is_not_kept(tmp_path: Path) -> None:
    of = config(tenant(sources={"alerts": {"every": "1h"}, "instances": {"every": "2h"}}))
    rules = rules_of(tmp_path, f"on: alert.opened\nwithin: 20m\n{NOTICE}", f"on: instance.failed\nwithin: 1h\n{NOTICE}")
    found = warned(of, rules)
    assert found[:2] == [
        (
            "within-unmet",
            "r1: «within: 20m» cannot be kept: the config has alerts polled every 1h: needed would be "
            'every = "20m" there or «within: 1h»',
        ),
        (
            "within-unmet",
            "r2: «within: 1h» cannot be kept: the config has instances polled every 2h: needed would be «within: 2h»",
        ),
    ]
    assert [code for code, _ in found[2:]] == ["quota-together"]


SCHEDULED = """
on: { schedule: "*/5 * * * *" }
mode: armed
limits: { downstream: { max: 3 } }
do:
  - call: ListProjects
    with: { ListQuery: { PageNo: 1 } }
  - pause_node: { node_id: n_1, project_id: 7 }
    verify: { within: 5m }
  - if: steps.x.outcome == "verified"
    resume_node: { node_id: n_1, project_id: 7 }
  - notify: { to: oncall, message: done }
""".replace("  - pause_node", "  - id: x\n    pause_node")


@pytest.mark.parametrize(
    ("change", "times", "calls"),
    [
        (("", ""), 288, 1440),
        (("armed", "shadow"), 288, 288),
        (("armed", "off"), 0, 0),
        (("mode", "if: now > now\nmode"), 0, 0),
        (("mode", "cooldown: 12m\nmode"), 96, 480),
        (("mode", "cooldown: 12m\nkey: event.id\nmode"), 288, 1440),
        (("limits: {", "limits: { firings: { max: 30, per: 6h },"), 120, 600),
        (("limits: {", "limits: { firings: { max: 30, per: 7d },"), 30, 150),
        (("*/5 * * * *", "*/5 * * 2 SAT"), 288, 1440),
        (("*/5 * * * *", "0 6,18 * * *"), 0, 0),
    ],
)
def test_a_schedule_asks_for_what_its_firings_call_at_least(
    tmp_path: Path, change: tuple[str, str], times: int, calls: int
) -> None:
    found = warned(config(), rules_of(tmp_path, SCHEDULED.replace(*change, 1) if change[0] else SCHEDULED))
    assert len(found) == bool(times)
    for code, message in found:
        assert code == "quota-schedule"
        expected = f"asks for {calls:,} calls a day ({times:,} firings of at least {calls // times}); "
        assert message.startswith(f"r1: its schedule {expected}levels 1+2+3 have 100: needed would be at most ")


def test_in_shadow_no_schedule_writes(tmp_path: Path) -> None:
    rules = rules_of(tmp_path, SCHEDULED.replace("*/5 * * * *", "0 * * * *"))
    assert [code for code, _ in warned(config(), rules)] == ["quota-schedule"]
    assert warned(config(rules={"at_most": "shadow"}), rules) == []


def test_what_fits_alone_and_not_together_is_told_once(tmp_path: Path) -> None:
    hourly = 'on: { schedule: "0 * * * *" }\ndo: [ { call: GetMyTenants } ]'
    rules = rules_of(tmp_path, f"on: instance.failed\nwithin: 2h\n{NOTICE}", f"on: alert.opened\nwithin: 1h\n{NOTICE}")
    assert warned(config(), rules) == [(
        "quota-together",
        "r1: «within: 2h» asks for 60 calls a day (instances of 5 projects every 2h); together with rule r2 it comes "
        "to 84, and polls have 80 of the 100 of levels 1+2+3: needed would be «within: 2h30m», 4 projects or the agile "
        "edition",
    )]  # fmt: skip
    with_writes = rules_of(tmp_path, f"on: instance.failed\nwithin: 1h30m\n{NOTICE}", hourly)
    ((code, message),) = warned(config(), with_writes)
    assert code == "quota-together"
    assert "rule r2 it comes to 104, and levels 1+2+3 have 100: " in message


def test_tenants_are_named_and_those_of_one_account_share_its_day(tmp_path: Path) -> None:
    wish = polled(tmp_path, "2h")
    key = {"env": "ID"}
    two = [tenant("a", access_key_id=key), tenant("b", access_key_id=key)]
    ((code, message),) = warned(config(*two), wish)
    assert code == "quota-together"
    assert (
        "(instances of 5 projects of tenant a every 2h); together with rule r1 of tenant b it comes to 120" in message
    )
    assert warned(config(tenant("a"), tenant("b")), wish) == []
    found = warned(config(tenant("a"), tenant("b", edition="agile")), polled(tmp_path, "1h"))
    assert [("of tenant a" in message, "of tenant b" in message) for _, message in found] == [(True, False)]


@pytest.mark.parametrize(
    ("tenants", "on", "why"),
    [
        ([{}], "impact.opened", "impact.opened never comes: data services begin with the basic edition"),
        ([{"data_service_projects": [1]}], "impact.opened", "impact.opened never comes: data services begin with"),
        ([{"edition": "basic", "data_service_projects": []}], "[impact.opened, impact.closed]",
         "impact.opened, impact.closed never comes: `data_service_projects` names none"),
        ([{"projects": []}], "instance.failed", "instance.failed never comes: `projects` names none"),
        ([{}, {"edition": "basic"}], "impact.opened", ""),
        ([{}], "[impact.opened, alert.opened]", ""),
        ([{}], "[impact.opened, hook.deploy]", ""),
    ],
)  # fmt: skip
def test_a_rule_on_a_source_that_no_tenant_has_never_fires(
    tmp_path: Path, tenants: list[dict[str, Any]], on: str, why: str
) -> None:
    of = config(*(tenant(f"t{n}", **changes) for n, changes in enumerate(tenants)))
    found = warned(of, rules_of(tmp_path, f"on: {on}\n{NOTICE}"))
    assert [code for code, _ in found] == ["never-fires"] * bool(why)
    assert all(message.startswith(f"r1: {why}") for _, message in found)


@given(st.integers(1, 60_000), st.floats(0.01, 1), st.floats(0, 0.99))
def test_the_limits_are_those_that_the_daemon_keeps(calls: int, share: float, reserve: float) -> None:
    async def main() -> None:
        days = DayBook(
            "a", plan_for("basic", daily={"1+2": calls}), MemoryLedger(), LoopClock(START),
            share=share, action_reserve=reserve, zone=SHANGHAI, arrives_within=10.0,
        )  # fmt: skip
        kept = next(use for use in days.usage() if use.pool == "1+2")
        quota = {"daily": {"1+2": calls}, "share": share, "action_reserve": reserve}
        of = config(tenant(edition="basic", quota=quota)).tenants[0]
        assert kept.limit is not None
        assert Day(of.quota, of.edition).limits("1+2") == (kept.limit, kept.limit - kept.reserve)

    run(main())


def test_a_rule_on_what_waits_takes_its_part_of_the_day(tmp_path: Path) -> None:
    """Three tenths of the 80 calls that polls have, once for all such rules; one on what runs takes nothing more."""
    overdue = "on: { event: instance.overdue, after: 1h }\n" + NOTICE
    wish = f"on: instance.failed\nwithin: 2h\n{NOTICE}"
    stuck = "on: { event: instance.stuck, state: RUNNING, after: 1h }\n" + NOTICE
    assert warned(config(), rules_of(tmp_path, overdue)) == []
    assert warned(config(), rules_of(tmp_path, wish, stuck)) == []
    ((code, message),) = warned(config(), rules_of(tmp_path, wish, overdue, overdue))
    assert code == "quota-together"
    assert "together with rule r2 it comes to 84" in message
    private = tenant(edition="private", quota={"qps": {"2": 5}})
    assert warned(config(private), rules_of(tmp_path, wish, overdue)) == []
    assert warned(config(tenant(projects=[])), rules_of(tmp_path, overdue))[0][0] == "never-fires"
    larger = rules_of(tmp_path, f"on: instance.failed\nwithin: 8h\n{NOTICE}", overdue)
    two = [tenant("a", projects=[1], quota={"account": "x"}), tenant("b", quota={"account": "x"})]
    assert warned(config(*two), larger) == []
    ((code, message),) = warned(config(*two, tenant("c", projects=[1], quota={"account": "x"})), larger)
    assert message.startswith("r2: looking for what waits may take 24 calls a day of tenant a; together with ")
