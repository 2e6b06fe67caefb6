"""Recorded events are lived through again, and what is decided otherwise is told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from phinops.config import Config
from phinops.decide.language import Language
from phinops.decide.load import load_rules
from phinops.decide.rule import Setting
from phinops.event import JsonObject
from phinops.execute.steps.table import STEPS
from phinops.surface.trial.backtest import Asked, Backtest, Mistaken, run_backtest
from phinops.surface.trial.made import Maker
from phinops.surface.trial.replay import memory
from phinops.surface.trial.stage import on_stage
from phinops.surface.trial.terms import make_terms
from phinops.virtual import run
from settings import SHANGHAI

RULES = """\
rules:
  - id: rerun
    on: instance.failed
    if: event.instance.attempts < 3
    for: 6m
    cooldown: 20m
    mode: armed
    do:
      - id: again
        rerun_instance: {}
        verify: { within: 30m }
        on_error: continue
      - if: steps.again.outcome != "verified"
        notify: { to: oncall, title: "{{ event.node.name }}", message: "{{ steps.again.outcome }}" }
  - id: follow
    on: action.settled
    if: event.action.outcome == "verified"
    do:
      - notify: { to: oncall, severity: info, message: "{{ event.action.target }} is well" }
  - id: daily
    on: { schedule: "0 6 * * *" }
    do:
      - notify: { to: oncall, message: "good morning" }
"""

Step = tuple[float, dict[str, Any]]
"""After so many minutes, this event."""

NIGHT: Sequence[Step] = (
    (1, {"type": "instance.failed", "instance": {"id": "t_1"}}),
    (7, {"type": "instance.running", "instance": {"id": "t_1"}}),
    (9, {"type": "instance.succeeded", "instance": {"id": "t_1"}}),
    (2, {"type": "instance.failed", "instance": {"id": "t_2"}}),
    (1, {"type": "instance.succeeded", "instance": {"id": "t_2"}}),
    (9, {"type": "instance.failed", "instance": {"id": "t_3", "attempts": 3}}),
    (5, {"type": "instance.failed", "instance": {"id": "t_1"}}),
    (5, {"type": "instance.failed", "instance": {"id": "t_1"}}),
    (400, {"type": "instance.failed", "instance": {"id": "t_4"}, "time": "2026-01-05T01:00"}),
    (60, {"type": "source.recovered"}),
)


ONE = (*NIGHT[:3], (5, {"type": "source.recovered"}))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "now.rules.yaml").write_text(RULES, encoding="utf-8")
    tenant = {
        "name": "test",
        "endpoint": "http://127.0.0.1:9",
        "op_tenant_id": 1,
        "edition": "basic",
        "access_key_id": {"env": "NOT_SET"},
        "access_key_secret": {"env": "NOT_SET"},
    }
    notifiers = {"oncall": {"type": "dingtalk", "url": {"env": "NOT_SET"}}}
    return Config.model_validate(
        {"tenants": [tenant], "notifiers": notifiers, "rules": {"paths": [tmp_path / "rules"]}}
    )


def recorded(config: Config, folder: Path, steps: Sequence[Step] = NIGHT) -> list[JsonObject]:
    """What the daemon keeps of a night under the rules of the config."""
    folder.mkdir()
    terms = make_terms(config, folder)

    async def night() -> list[JsonObject]:
        start = datetime(2026, 1, 5, tzinfo=config.timezone)
        async with on_stage(terms, config.rules.paths, "", start, exact=True) as stage:
            for number, (minutes, fields) in enumerate(steps):
                await stage.go_to(stage.now + timedelta(minutes=minutes))
                event = Maker(stage.name, stage.tenant, {}).make(fields, stage.now, str(number))
                stage.tenant.happened(event)
                await stage.bring(event)
            return await stage.recorded()

    return run(night())


def backtest(config: Config, folder: Path, events: Sequence[JsonObject], since: float = 24, **asked: Any) -> Backtest:
    """A backtest that has the events from pages of three."""

    def fetch(since: datetime, after: int) -> JsonObject:
        wanted = [each for each in events if datetime.fromisoformat(each["at"]) >= since]
        end = after + 3
        return {
            "newest": events[-1]["at"] if events else None,
            "next": end if end < len(wanted) else None,
            "events": wanted[after:end],
        }

    folder.mkdir(exist_ok=True)
    whole = Asked("test", timedelta(hours=since), **{"rules": tuple(config.rules.paths), **asked})
    return run_backtest(config, whole, fetch, folder)


def changed(folder: Path, old: str, new: str) -> Path:
    """The rules with a change."""
    assert old in RULES
    file = folder / "changed.rules.yaml"
    file.write_text(RULES.replace(old, new), encoding="utf-8")
    return file


def told(found: Backtest) -> list[tuple[str, str, str, tuple[str, ...]]]:
    return [(each.change, each.rule, each.subject, each.what) for each in found.differences]


BACKFILL = """\
rules:
  - id: fill
    on: instance.failed
    if: event.instance.id == "t_2"
    mode: armed
    do: [ backfill: { start: 2026-01-01, end: "{{ event.instance.biz_date }}", downstream: all } ]
"""


def test_the_mark_of_an_attempt_is_no_difference(config: Config, tmp_path: Path) -> None:
    (tmp_path / "rules" / "fill.rules.yaml").write_text(BACKFILL, encoding="utf-8")
    events = recorded(config, tmp_path / "night")
    found = backtest(config, tmp_path / "back", events)
    assert told(found) == []
    (action,) = [
        action
        for event in events
        for decision in event["decisions"]
        for action in decision["actions"]
        if action["step"] == "backfill"
    ]
    given = {"start": "2026-01-01", "end": "2026-01-04", "downstream": "all", "parallelism": 1}
    assert (action["target"], action["params"]) == ("n_1", given)


def test_the_same_rules_decide_the_same(config: Config, tmp_path: Path) -> None:
    events = recorded(config, tmp_path / "night")
    decided = [(each["rule"], each["state"]) for event in events for each in event["decisions"]]
    assert decided == [
        ("rerun", "done"),
        ("follow", "done"),
        ("rerun", "skipped"),  # it had left the state
        ("rerun", "skipped"),  # another run of it failed meanwhile, for the third time
        ("daily", "done"),
        ("rerun", "done"),
    ]
    found = backtest(config, tmp_path / "again", events)
    assert told(found) == []
    assert found.new_writes == []
    assert found.old == {**found.new, "calls": None}
    assert (found.new["fired"], found.new["skipped"], found.new["writes"], found.new["notices"]) == (4, 2, 2, 3)
    assert found.new["calls"]["1"] > 2
    both = backtest(config, tmp_path / "again", events, against=tuple(config.rules.paths))
    assert told(both) == []
    assert both.old == both.new == found.new


def test_what_rules_ask_people_gets_a_yes_at_once(config: Config, tmp_path: Path) -> None:
    events = recorded(config, tmp_path / "night")
    asking = changed(tmp_path, "      - id: again", "      - approve: { to: oncall }\n      - id: again")
    found = backtest(config, tmp_path / "again", events, rules=(asking,))
    assert {(each.change, each.rule, each.what) for each in found.differences} == {("changed", "rerun", ("notices",))}
    assert found.new_writes == []
    assert (found.new["writes"], found.new["notices"]) == (found.old["writes"], found.old["notices"] + 2)


LEASED = """\
rules:
  - id: freeze
    on: instance.failed
    mode: armed
    do: [ { pause_node: { lease: 2h } } ]
  - id: tell
    on: [lease.ended, undo.asked]
    do: [ { notify: { to: oncall, message: "{{ event.action.target }} by {{ event.action.rule }}" } } ]
"""


def test_leases_end_once_more_and_what_persons_took_back_is_told_as_it_was(config: Config, tmp_path: Path) -> None:
    rules = config.rules.paths[0] / "now.rules.yaml"
    rules.write_text(LEASED, encoding="utf-8")
    undo = (10, {"type": "undo.asked", "action": {"target": "n_9", "rule": "freeze"}})
    night = (*NIGHT[:1], undo, (150, {"type": "source.recovered"}))
    events = recorded(config, tmp_path / "night", night)
    types = [each["event"]["type"] for each in events]
    assert types == [
        "instance.failed",
        "action.settled",
        "undo.asked",
        "lease.ended",
        "action.settled",
        "source.recovered",
    ]
    found = backtest(config, tmp_path / "again", events)
    assert told(found) == []
    assert found.old == {**found.new, "calls": None}
    assert (found.new["fired"], found.new["writes"], found.new["notices"]) == (3, 1, 2)
    rules.write_text(LEASED.replace("2h", "9h"), encoding="utf-8")
    (removed,) = backtest(config, tmp_path / "again", events).differences
    assert (removed.change, removed.rule) == ("removed", "tell")


def test_the_same_records_give_the_same_to_the_letter(config: Config, tmp_path: Path) -> None:
    events = recorded(config, tmp_path / "night")
    rules = (changed(tmp_path, "for: 6m", "for: 1m"),)
    one, two = (backtest(config, tmp_path / "again", events, rules=rules).to_json() for _ in range(2))
    assert one == two
    assert one["differences"]


def test_what_is_decided_otherwise_is_told(config: Config, tmp_path: Path) -> None:
    events = recorded(config, tmp_path / "night")
    ids = {
        (each["event"]["type"], (each["event"].get("instance") or {}).get("id"), each["at"][11:16]): each["event"]["id"]
        for each in events
    }
    second = ids["instance.failed", "t_2", "16:19"]
    third = ids["instance.failed", "t_3", "16:29"]
    first = ids["instance.failed", "t_1", "16:01"]

    sooner = backtest(config, tmp_path / "a", events, rules=(changed(tmp_path, "for: 6m", "for: 30s"),))
    assert ("added", "rerun", second, ()) in told(sooner)
    assert (sooner.count("added"), len(sooner.new_writes)) == (3, 2)
    assert sooner.new_writes[0]["target"] == "t_2"
    assert sooner.new_writes[0]["event_id"] == second

    more = backtest(config, tmp_path / "a", events, rules=(changed(tmp_path, "attempts < 3", "attempts < 4"),))
    assert ("added", "rerun", third, ()) in told(more)

    none = backtest(config, tmp_path / "a", events, rules=(changed(tmp_path, "mode: armed", "mode: 'off'"),))
    removed = [each for each in none.differences if each.change == "removed"]
    assert next(each.subject for each in removed if each.rule == "rerun") == first
    assert removed[0].new is not None
    assert removed[0].new["reason"] == "mode is off"
    assert ("changed", "rerun", second, ("reason",)) in told(none)
    assert [each.subject for each in removed if each.rule == "follow"] == [f"{first}, action.settled of rerun, again"]
    assert none.new_writes == []


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("mode: armed", "mode: shadow", ("mode", "notices")),
        ("rerun_instance", "set_instance_success", ("actions",)),
        ('steps.again.outcome != "verified"', "true", ("notices",)),
        ('steps.again.outcome != "verified"', 'steps.again.outcome == "none"', ()),
    ],
)
def test_it_is_told_in_what_way(config: Config, tmp_path: Path, old: str, new: str, what: tuple[str, ...]) -> None:
    events = recorded(config, tmp_path / "night", ONE)
    found = backtest(config, tmp_path / "a", events, rules=(changed(tmp_path, old, new),))
    assert [each.what for each in found.differences if each.rule == "rerun" and each.change == "changed"] == [
        what
    ] * bool(what)


def test_texts_count_where_both_are_lived_through(config: Config, tmp_path: Path) -> None:
    events = recorded(config, tmp_path / "night")
    rules = (changed(tmp_path, "good morning", "good evening"),)
    assert told(backtest(config, tmp_path / "a", events, rules=rules)) == []
    found = backtest(config, tmp_path / "a", events, rules=rules, against=tuple(config.rules.paths))
    assert [(each.rule, each.what) for each in found.differences] == [("daily", ("notices",))]
    assert found.against == str(config.rules.paths[0])


def test_only_what_is_recent_counts_and_what_was_before_is_remembered(config: Config, tmp_path: Path) -> None:
    night: Sequence[Step] = (
        (1, {"type": "instance.failed", "instance": {"id": "t_1"}}),
        (15, {"type": "instance.failed", "instance": {"id": "t_1", "attempts": 1}}),
        (1, {"type": "source.recovered"}),
    )
    events = recorded(config, tmp_path / "night", night)
    found = backtest(config, tmp_path / "a", events, since=0.1)
    assert (found.events, told(found)) == (3, [])
    assert {**found.new, "calls": None} == found.old
    assert (found.new["fired"], found.new["skipped"], found.new["writes"]) == (0, 1, 0)


def test_where_no_rule_is_armed_none_is_in_a_backtest(config: Config, tmp_path: Path) -> None:
    events = recorded(config, tmp_path / "night", NIGHT[:3])
    careful = config.model_copy(update={"rules": config.rules.model_copy(update={"at_most": "shadow"})})
    found = backtest(careful, tmp_path / "a", events)
    assert (found.new["writes"], found.new["shadow_writes"]) == (0, 1)


def test_nothing_on_record_is_nothing_to_try(config: Config, tmp_path: Path) -> None:
    found = backtest(config, tmp_path / "a", ())
    assert (found.events, found.differences, found.since) == (0, (), "")
    assert found.to_json()["cost"]["new"]["fired"] == 0


def test_rules_with_mistakes_are_not_tried(config: Config, tmp_path: Path) -> None:
    rules = (changed(tmp_path, "on: instance.failed", "on: instance.fails"),)
    with pytest.raises(Mistaken) as raised:
        backtest(config, tmp_path / "a", (), rules=rules)
    assert raised.value.problems[0].code == "unknown-event"


@pytest.mark.parametrize(
    ("rule", "hours"),
    [
        ("on: instance.failed\n    do: [ { pause_node: {} } ]", 24),
        ("on: instance.failed\n    cooldown: 30h\n    do: [ { pause_node: {} } ]", 30),
        ("on: { event: instance.failed, count: 3, within: 6h }\n    do: [ { wait: 1m } ]", 30),
        (
            "on: { event: instance.failed, absent: instance.succeeded, within: 2h }\n    do: [ { wait: 1m } ]",
            26,
        ),
        (
            "on: instance.failed\n    for: 20h\n    do: [ { wait: 5h }, { pause_node: {}, verify: { within: 2h } } ]",
            27,
        ),
        ("on: instance.failed\n    do: [ { wait: { until: event.instance.status == 'x', timeout: 40h } } ]", 40),
        ("on: hook.x\n    do: [ { wait: '{{ event.body.pause }}' }, { wait: 1m } ]", 24),
        ("on: instance.failed\n    do: [ { pause_node: { lease: 2d } } ]", 48),
    ],
)
def test_rules_are_warmed_up_for_as_long_as_they_remember(tmp_path: Path, rule: str, hours: int) -> None:
    file = tmp_path / "some.rules.yaml"
    file.write_text(f"rules:\n  - id: r\n    mode: armed\n    {rule}\n", encoding="utf-8")
    loaded = load_rules([file], Setting(STEPS, SHANGHAI), Language(SHANGHAI))
    assert [each for each in loaded.errors if each.severity == "error"] == []
    assert memory(list(loaded.rules)) == timedelta(hours=hours)
