"""Why a rule did what it did, from the store alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.to_thread
import pytest
from click.testing import CliRunner

from fakedaemon import ACCOUNT, FakeService, answering, write_config
from phinops.arrive.arrival import Arrival
from phinops.clock import LoopClock, SystemClock
from phinops.course import Courses
from phinops.decide import permit
from phinops.decide.language import Language
from phinops.decide.model import RuleModel
from phinops.decide.rule import RuleSet
from phinops.event import JsonObject, Node
from phinops.pipeline import Pipeline
from phinops.record.queries import QUERIES, Query
from phinops.record.sqlite import Store
from phinops.record.tx import Snapshot
from phinops.recording import InForce
from phinops.surface.cli import phinops
from phinops.virtual import run
from phinops.why import NO_SET, gather, why
from served import running
from settings import SHANGHAI, loaded
from test_pipeline import Begun, Belt, belt, failed
from worlds import START

RULES = """
rules:
  - id: first-failures
    on: instance.failed
    if: event.instance.attempts < 2 && event.node.name == "dws"
    cooldown: 1h
    mode: shadow
    do: [ { rerun_instance: {} } ]
  - id: of-others
    on: instance.failed
    if: event.node.name == "other"
    mode: shadow
    do: [ { rerun_instance: {} } ]
  - id: good-news
    on: instance.succeeded
    do: [ { notify: { to: oncall, message: hurray } } ]
"""


async def told(here: Belt, name: str, rule: str = "") -> list[JsonObject] | None:
    record = await here.store.read(lambda tx: gather(tx, name, SHANGHAI))
    return why(Language(SHANGHAI), record, rule, zone=SHANGHAI) if record else None


def accounts(found: list[JsonObject] | None) -> list[tuple[str, str, str]]:
    return [(each["rule"], each["outcome"], each["reason"]) for each in found or ()]


def test_every_rule_that_looked_is_accounted_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with belt(*loaded(tmp_path, RULES).rules) as here:
            (event,) = (await here.take(failed())).new
            found = await told(here, event.id)
            assert accounts(found) == [("first-failures", "fired", ""), ("of-others", "no_match", "if is false")]
            fired, other = found or [{}, {}]
            assert (fired["state"], fired["key"], fired["mode"]) == ("ready", "t_1", "shadow")
            assert (other["first_false"], other["firing"]) == ('event.node.name == "other"', "")
            assert await told(here, fired["firing"]) == found

    run(scenario())


def test_a_guard_is_told_with_the_past_that_it_read(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with belt(*loaded(tmp_path, RULES).rules) as here:
            await here.take(failed())
            (began,) = await here.firings()
            await here.end(began)
            await here.clock.sleep(60)
            (event,) = (await here.take(failed(run=1))).new
            await here.clock.sleep(86_400)
            skipped, _ = await told(here, event.id) or [{}, {}]
            assert skipped["guards"] == [{"guard": "cooldown", "reason": "cooldown: 59m of 1h left"}]
            assert skipped["reason"] == "cooldown: 59m of 1h left"
            assert skipped["outcome"] == "skipped"
            assert began.started_at
            assert skipped["history"]["last_started"] == began.started_at.isoformat()

    run(scenario())


def test_a_named_rule_that_did_not_look_or_was_not_there_says_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with belt(*loaded(tmp_path, RULES).rules) as here:
            (event,) = (await here.take(failed())).new
            assert accounts(await told(here, event.id, "good-news")) == [
                ("good-news", "other_event", "it looks at instance.succeeded")
            ]
            assert accounts(await told(here, event.id, "of-others")) == [("of-others", "no_match", "if is false")]
            assert accounts(await told(here, event.id, "x")) == [("x", "not_in_force", "no rule «x» was in force")]
            assert await told(here, "ev_unknown") is None
            assert await told(here, "fi_unknown") is None

    run(scenario())


def test_it_is_told_by_the_rules_of_then(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with belt(*loaded(tmp_path, RULES).rules) as here:
            (event,) = (await here.take(failed())).new
            changed = loaded(tmp_path, RULES.replace('"other"', '"dws"').replace("first-failures", "renamed"))
            here.rules = InForce(RuleSet(changed.rules))
            (later,) = (await here.take(failed(2))).new
            assert [each[:2] for each in accounts(await told(here, event.id))] == [
                ("first-failures", "fired"), ("of-others", "no_match"),
            ]  # fmt: skip
            assert [each[:2] for each in accounts(await told(here, later.id))] == [
                ("renamed", "fired"), ("of-others", "fired"),
            ]  # fmt: skip

    run(scenario())


def test_an_event_from_before_sets_were_kept_is_told_of_by_its_firings(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with belt(*loaded(tmp_path, RULES).rules) as here:
            (event,) = (await here.take(failed())).new
            record = await here.store.read(lambda tx: gather(tx, event.id, SHANGHAI))
            assert record
            old = replace(record, kept=None, firings=[replace(each, facts={}) for each in record.firings])
            (fired,) = why(Language(SHANGHAI), old, zone=SHANGHAI)
            assert (fired["rule"], fired["history"]) == ("first-failures", None)
            assert accounts(why(Language(SHANGHAI), old, "of-others", zone=SHANGHAI)) == [
                ("of-others", "not_in_force", NO_SET)
            ]

    run(scenario())


def test_nothing_that_is_asked_grows_with_what_is_stored() -> None:
    async def scenario() -> None:
        async with Store.open(":memory:", LoopClock(START)) as store:
            for name in ("get_event", "firings_on", "actions_of", "get_rule_set", "rule_versions_of", "get_firing"):
                query = QUERIES[name]
                plan = await store.read(lambda tx, query=query: plan_of(tx, query))  # type: ignore[misc]
                assert not [step for step in plan if step.startswith("SCAN") and "json_each" not in step], name

    run(scenario())


def plan_of(tx: Snapshot, query: Query) -> list[str]:
    rows = tx._connection.execute(f"EXPLAIN QUERY PLAN {query.sql}", dict.fromkeys(query.parameters, "[]"))
    return [row["detail"] for row in rows]


# The command


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A config whose daemon does not run, and a store in which the rules have decided on two events."""

    async def decide() -> None:
        async with Store.open(tmp_path / "phinops.db", SystemClock()) as store:
            in_force = InForce(loaded(tmp_path, RULES).rules)
            courses = cast(Courses, Begun())
            pipeline = Pipeline(
                store, Language(SHANGHAI), lambda: in_force, courses, SystemClock(), lambda events: None
            )
            waiting = replace(failed(3), id="ev_waiting", type="instance.waiting")
            await pipeline.take(Arrival("instances", "t", (failed(), failed(2, node=Node(name="other")), waiting)))

    anyio.run(decide)
    write_config(tmp_path, 1)
    return tmp_path


def asked(folder: Path, *arguments: str) -> Any:
    return CliRunner().invoke(phinops, ["explain", *arguments, "--config", str(folder / "phinops.toml")])


def test_without_a_daemon_the_store_is_asked(folder: Path) -> None:
    result = asked(folder, failed(2).id)
    assert result.exit_code == 0
    text = [line.rstrip() for line in result.stdout.splitlines()]
    assert text[0] == "first-failures  did not fire: if is false"
    assert text[1:4] == [
        "  NO   all of",
        "    yes  event.instance.attempts < 2   [event.instance.attempts = 1]",
        '    NO   event.node.name == "dws"   [event.node.name = "other"]  <- this one',
    ]
    assert text[4].startswith("  decided 20")
    assert text[5] == "of-others  fired (shadow): ready"


def test_as_json_it_is_an_array(folder: Path) -> None:
    found = json.loads(asked(folder, failed(2).id, "--json", "--rule", "of-others").stdout)
    assert [(each["rule"], each["outcome"]) for each in found] == [("of-others", "fired")]


def test_what_waits_is_told_with_what_it_waits_for(tmp_path: Path) -> None:
    service = FakeService()
    service.account = {**ACCOUNT, "state": "waiting", "reason": "begins after 6m if it still holds then"}
    with answering(service) as port:
        write_config(tmp_path, port)
        assert asked(tmp_path, "ev_1").stdout.splitlines()[0] == (
            "rerun  waits (armed): begins after 6m if it still holds then"
        )


def test_an_event_that_no_rule_looks_at_and_one_that_nobody_knows(folder: Path) -> None:
    assert asked(folder, "ev_waiting").stdout == "no rule looked at it\n"
    unknown = asked(folder, "ev_none")
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert unknown.stderr == "no event or firing «ev_none» is on record\n"


def test_without_a_store_nothing_can_be_told(folder: Path) -> None:
    (folder / "phinops.db").unlink()
    assert asked(folder, "ev_1").exit_code == 3


async def test_a_store_that_is_held_is_not_opened(folder: Path) -> None:
    async with Store.open(folder / "phinops.db", SystemClock()):
        result = await anyio.to_thread.run_sync(asked, folder, "ev_1")
    assert (result.exit_code, "no daemon answers" in result.stderr) == (3, True)


def test_the_running_daemon_is_asked(tmp_path: Path) -> None:
    with answering(FakeService()) as port:
        write_config(tmp_path, port)
        found = asked(tmp_path, "fi_1", "--rule", "rerun")
        unknown = asked(tmp_path, "x")
    assert found.stdout.splitlines() == [
        "rerun  fired (armed): done",
        "  yes  any of",
        "    ??   event.instance.paused   [it is null]",
        '    yes  b   [event.node.name = "x"; event.node.paused = null; event.instance.attempts = 1]',
        "  step again: verified: it is SUCCESS  (OperateInstance t_1)",
        "  step notify-2: under way",
        "  decided 2026-01-05T08:00:00+08:00 by version 0f2c, key t_1, firing fi_1",
    ]
    assert unknown.exit_code == 1


async def test_a_daemon_explains_what_it_did(tmp_path: Path) -> None:
    rules = """
rules:
  - id: again
    on: instance.failed
    if: event.instance.attempts < 3
    mode: armed
    do:
      - id: rerun
        rerun_instance: {}
"""
    async with running(tmp_path, rules) as here:
        here.simulator.tenant.fail_instance("dws_orders_1d", takes=0.2)
        (action,) = await here.settled(1)
        (account,) = await here.daemon.explain(action["firing_id"]) or [{}]
        assert (account["rule"], account["outcome"]) == ("again", "fired")
        assert [(each["step_id"], each["outcome"]) for each in account["actions"]] == [("rerun", "accepted")]
        assert await here.daemon.explain("ev_none") is None


SEVERAL = """
rules:
  - id: many
    on: { event: instance.failed, count: 3, within: 10m }
    if: events.all(e, e.node.id == event.node.id)
    do: [ { notify: { to: oncall, message: m } } ]
"""


def test_what_counts_among_others_is_told_as_it_stood(tmp_path: Path) -> None:
    async def main() -> None:
        async with belt(*loaded(tmp_path, SEVERAL).rules) as here:
            start = here.clock.now()
            events = [failed(n, time=start) for n in range(4)]
            stranger = replace(events[3], node=Node(id="n_2"))
            await here.take(events[0], events[1], stranger)
            (account,) = await told(here, events[1].id) or [{}]
            assert (account["outcome"], account["reason"], account["key"]) == (
                "counted",
                "2 of 3 seen, 10m left",
                "many",
            )
            assert (account["firing"], account["condition"]["holds"]) == ("", True)
            assert accounts(await told(here, stranger.id)) == [("many", "no_match", "if is false")]
            await here.take(events[2])
            (firing,) = await here.firings()
            assert accounts(await told(here, events[2].id)) == [("many", "fired", "")]
            (account,) = await told(here, events[0].id) or [{}]
            assert (account["outcome"], account["reason"], account["firing"]) == (
                "counted", "1 of 3 seen, 10m left", firing.id,
            )  # fmt: skip

    run(main())


def test_every_guard_is_called_what_it_is_in_rule_files() -> None:
    keys = {field.alias or name for name, field in RuleModel.model_fields.items()}
    assert {name.partition(".")[0] for name in permit.GUARDS} - keys == {"own doing", "silence"}


def test_what_ends_a_wait_is_told_without_a_condition_that_was_not_asked(tmp_path: Path) -> None:
    absent = """
rules:
  - id: lonely
    on: { event: instance.failed, absent: instance.succeeded, within: 10m }
    key: event.project.id
    if: event.id != "ev_well"
    do: [ { notify: { to: oncall, message: m } } ]
"""

    async def main() -> None:
        async with belt(*loaded(tmp_path, absent).rules) as here:
            first = failed(1)
            well = replace(first, id="ev_well", type="instance.succeeded")
            await here.take(first, well)
            (firing,) = await here.firings()
            (account,) = await told(here, "ev_well") or [{}]
            assert (account["outcome"], account["reason"]) == ("counted", f"it ends {firing.id}")
            assert account["condition"] is None

    run(main())
