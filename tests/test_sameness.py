"""The running daemon, `explain`, `backtest` and `test` decide the same about the same events."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from click.testing import CliRunner, Result

from fakedaemon import FakeService, answering, write_config
from phinops.arrive.arrival import Arrival
from phinops.clock import LoopClock
from phinops.config import Config
from phinops.daemon import Daemon
from phinops.decide.decision import Facts
from phinops.decide.explain import explain
from phinops.decide.language import Language
from phinops.decide.rule import Rule
from phinops.event import Event, JsonObject, to_json
from phinops.firing import Firing
from phinops.record.chronicle import Chronicle, chronicle
from phinops.record.recorded import page
from phinops.record.sqlite import Store
from phinops.record.tx import Snapshot
from phinops.surface.cli import phinops
from phinops.surface.trial.account import Accountant
from phinops.surface.trial.backtest import Asked, run_backtest
from phinops.surface.trial.made import Maker
from phinops.surface.trial.replay import live
from phinops.surface.trial.run import try_script
from phinops.surface.trial.script import Happens, Passes, Place, Script
from phinops.surface.trial.stage import DAWN
from phinops.surface.trial.tenant import Tenant
from phinops.surface.trial.terms import Terms, make_terms
from phinops.surface.trial.wire import Elsewhere, Wire
from phinops.virtual import run
from phinops.why import Record, gather, why
from records import LONG

RULES = """
calendars:
  early: { hours: "05:00-07:30" }
blueprints:
  - id: lasting
    inputs:
      prefix: { type: string, default: t_ }
      most: { type: int, default: 2 }
      pause: { type: duration, default: 2m }
    on: instance.failed
    if: event.instance.id.startsWith(inputs.prefix) && event.instance.attempts <= inputs.most
    for: "{{ inputs.pause }}"
    do: [ { notify: { to: oncall, message: "{{ event.instance.id }} lasts" } } ]
rules:
  - id: again
    on: instance.failed
    if: event.instance.attempts < 3
    cooldown: 15m
    mode: armed
    do: [ { id: rerun, rerun_instance: {}, verify: { within: 10m }, on_error: continue } ]
  - id: settled
    on: action.settled
    if: event.action.outcome == "verified"
    do: [ { emit: { type: custom.well, data: { id: "{{ event.action.target }}" } } } ]
  - id: well
    on: custom.well
    do: [ { notify: { to: oncall, message: "{{ event.data.id }} is well" } } ]
  - id: impossible
    on: [hook.deploy, alert.opened]
    if: event.type == "alert.opened" || event.body.n > 3
    mode: shadow
    key: 'event.type == "alert.opened" ? event.alert.id : event.body.team'
    do: [ { notify: { to: oncall, message: m } } ]
  - id: fails
    use: lasting
    with: { prefix: t_1 }
  - id: fails-long
    use: lasting
    with: { pause: 6m, most: 9 }
    cooldown: 5m
    limits: { firings: { max: 2, per: 40m } }
  - id: single
    on: hook.deploy
    key: event.body.team
    concurrency: single
    do: [ { wait: 7m }, { notify: { to: oncall, message: single } } ]
  - id: queued
    on: hook.deploy
    if: has(event.body.team)
    key: event.body.team
    cooldown: 1m
    do: [ { wait: 6m }, { notify: { to: oncall, message: queued } } ]
  - id: restart
    on: hook.deploy
    if: event.body.n % 2 == 0
    key: event.body.team
    concurrency: restart
    do: [ { wait: 8m }, { notify: { to: oncall, message: restart } } ]
  - id: parallel
    on: [alert.opened, alert.closed]
    key: event.type
    concurrency: parallel
    limits: { firings: { max: 3, per: 30m } }
    do: [ { wait: 9m }, { notify: { to: oncall, message: parallel } } ]
  - id: young
    on: [instance.failed, instance.succeeded]
    max_age: 4m
    active: early
    mode: shadow
    do: [ { notify: { to: oncall, message: "{{ event.type }}" } } ]
  - id: switched-off
    on: alert.opened
    mode: "off"
    do: [ { notify: { to: oncall, message: m } } ]
  - id: count
    on: { event: instance.failed, count: 3, within: 15m }
    key: event.project.id
    max_age: 5m
    for: 2m
    do: [ { notify: { to: oncall, message: "{{ events | length }}" } } ]
  - id: count-of-some
    on: { event: hook.deploy, count: 2, within: 20m }
    if: event.body.n > 2 && events.exists(e, e.body.team == "a")
    active: early
    cooldown: 10m
    do: [ { notify: { to: oncall, message: "{{ events | length }}" } } ]
  - id: all
    on: { all: [instance.failed, alert.opened, hook.deploy], within: 12m }
    concurrency: single
    do: [ { wait: 5m }, { notify: { to: oncall, message: all } } ]
  - id: absent
    on: { event: instance.failed, absent: instance.succeeded, within: 8m }
    if: event.instance.attempts < 4
    key: event.instance.id
    do: [ { notify: { to: oncall, message: "{{ events | length }}" } } ]
  - id: absent-of-some
    on: { event: alert.opened, absent: alert.closed, within: 7m }
    if: events.size() < 3
    key: event.alert.id
    limits: { firings: { max: 1, per: 25m } }
    do: [ { notify: { to: oncall, message: "{{ event.alert.id }}" } } ]
"""

START = "2026-01-05T06:30"
HOUR = 60
NAME = "test"

Decided = tuple[str, ...]
"""A decision without what is made up anew each time: the event's subject, the rule, its state, the reason."""


@dataclass(frozen=True, slots=True)
class Told:
    """An event, and when the daemon hears of it."""

    at: datetime
    event: Event


def corpus(seed: int, zone: Any) -> list[Told]:
    """What happens within an hour; no two are heard of in one second of a minute, as rules wait whole minutes."""
    chance = random.Random(seed)
    start = datetime.fromisoformat(START).replace(tzinfo=zone)
    tenant = Tenant(zone)
    told: list[Told] = []
    number = chance.randint(8, 22)
    for n, minute in enumerate(sorted(chance.randrange(HOUR) for _ in range(number))):
        at = start + timedelta(minutes=minute, seconds=5 + 2 * n)
        late = timedelta(minutes=chance.choice([0, 0, 0, 0, 2, 6, 14]))
        event = Maker(NAME, tenant, {}).make(
            {**_fields(chance), "time": (at - late).isoformat()}, at, str(seed), str(n)
        )
        tenant.happened(event)
        told.append(Told(at, event))
    return sorted(told, key=lambda each: each.at)


def _fields(chance: random.Random) -> JsonObject:
    family = chance.choice(["instance", "instance", "instance", "hook", "hook", "alert"])
    if family == "instance":
        kind = chance.choice(["failed", "failed", "failed", "succeeded", "running"])
        return {"type": f"instance.{kind}", "instance": {"id": chance.choice(["t_1", "t_2", "t_12"])}}
    if family == "alert":
        kind = chance.choice(["opened", "opened", "closed"])
        return {"type": f"alert.{kind}", "alert": {"id": chance.choice("12")}}
    team = {"team": chance.choice("ab")} if chance.random() < 0.8 else {}
    n = {"n": chance.choice([1, 2, 3, 4, 5, "many"])} if chance.random() < 0.9 else {}
    return {"type": "hook.deploy", "body": {**team, **n}}


@dataclass(slots=True)
class Corpus:
    """The corpus lived through by a daemon: what it has on record."""

    config: Config
    terms: Terms
    folder: Path
    told: Sequence[Told]
    record: Chronicle
    events: Sequence[JsonObject]
    records: Mapping[str, Record]

    @property
    def language(self) -> Language:
        return self.terms.language


def lived(folder: Path, seed: int) -> Corpus:
    """A daemon hears of the corpus, each event at its time."""
    file = folder / "all.rules.yaml"
    file.write_text(RULES, encoding="utf-8")
    hidden = folder / "hidden"
    hidden.mkdir(exist_ok=True)
    config = make_config(folder)
    terms = make_terms(config, hidden)
    assert [str(each) for each in terms.load([file]).errors] == []
    told = corpus(seed, config.timezone)

    async def hour() -> Corpus:
        start = datetime.fromisoformat(START).replace(tzinfo=config.timezone)
        clock = LoopClock(start - timedelta(seconds=anyio.current_time()))
        tenant = Tenant(config.timezone)
        wire = Wire(tenant, clock, config.timezone, {}, config.tenants[0].biz_date_format)
        own = terms.config_of([file])
        async with Store.open(":memory:", clock) as store:
            async with (
                Daemon.open(
                    own,
                    clock=clock,
                    store=store,
                    transport=wire,
                    mail=Elsewhere(),
                    rulebook=terms.rulebook(own, ""),
                    polls=False,
                ) as daemon,
                anyio.create_task_group() as tasks,
            ):
                tasks.start_soon(daemon.run)
                for each in told:
                    await anyio.sleep((each.at - clock.now()).total_seconds())
                    tenant.happened(each.event)
                    await daemon.take(Arrival(each.event.source, NAME, (each.event,)))
                await anyio.sleep(HOUR * 60)
                last = replace(told[-1].event, id="ev_last", type="source.recovered", instance=None)
                await daemon.take(Arrival("alerts", NAME, (last,)))
                await anyio.sleep(1)
                tasks.cancel_scope.cancel()

            def read(tx: Snapshot) -> Corpus:
                found = chronicle(tx)
                records = {each.event.id: gather(tx, each.event.id, config.timezone) for each in found.events}
                events = page(tx, NAME, DAWN, 0, 999)["events"]
                return Corpus(config, terms, folder, told, found, events, {k: v for k, v in records.items() if v})

            return await store.read(read)

    return run(hour())


def make_config(folder: Path) -> Config:
    """A config with the notifier and the hook of the rules; nobody is behind them."""
    tenant = {
        "name": NAME,
        "endpoint": "http://127.0.0.1:9",
        "op_tenant_id": 1,
        "edition": "basic",
        "access_key_id": {"env": "NOT_SET"},
        "access_key_secret": {"env": "NOT_SET"},
    }
    return Config.model_validate(
        {
            "timezone": "Asia/Shanghai",
            "tenants": [tenant],
            "notifiers": {"oncall": {"type": "dingtalk", "url": {"env": "NOT_SET"}}},
            "hooks": {"deploy": {"secret": {"env": "NOT_SET"}}},
            "rules": {"paths": [folder / "all.rules.yaml"]},
        }
    )


def born(firing: Firing, within: timedelta = timedelta()) -> str:
    """How a firing began: skipped at once, at work at once (or `within` so long), or later."""
    if firing.state == "skipped" and firing.ended_at == firing.created_at:
        return "skipped"
    if firing.started_at is None or not firing.created_at:
        return "later"
    return "ready" if firing.started_at - firing.created_at <= within else "later"


def decisions(events: Sequence[JsonObject]) -> list[Any]:
    """All that was decided about the events, by their subjects."""
    return [(each["subject"], decision) for each in events for decision in each["decisions"]]


SEEDS = pytest.mark.parametrize("seed", range(200 if LONG else 6))


@SEEDS
@pytest.mark.long
def test_engine_explain_backtest_and_test_decide_the_same(tmp_path: Path, seed: int) -> None:
    found = lived(tmp_path, seed)
    assert found.record.firings
    _explained(found)
    _backtested(found)
    _tested(found)


def _explained(found: Corpus) -> None:
    """For each event and rule `explain` tells from the store what the daemon did, and why."""
    rules = tuple(found.terms.load(found.config.rules.paths).rules)
    for id, record in found.records.items():
        accounts = why(found.language, record, zone=found.config.timezone)
        told = [(each["rule"], each["outcome"], each["reason"], each["firing"]) for each in accounts]
        fired = {each.rule: each for each in record.firings}
        places = {each.rule: each for each in record.places}
        for rule, outcome, reason, firing_id in told:
            if outcome in ("fired", "skipped"):
                firing = fired[rule]
                assert (firing.id, firing.reason) == (firing_id, reason)
                assert (outcome == "skipped") == (firing.state == "skipped")
            else:
                assert rule not in fired
                # A condition that was asked of several keeps its place also where it did not hold.
                place = places.get(rule)
                assert place if outcome == "counted" else place is None or place.firing_id == "", (id, rule, reason)
        looked = [rule.id for rule in rules if record.event.type in rule.types]
        assert [each[0] for each in told] == looked
        for firing in record.firings:
            _decided_once_more(found, record, firing)


def _decided_once_more(found: Corpus, record: Record, firing: Firing) -> None:
    facts = Facts.from_json(firing.facts)
    told = explain(found.language, Rule.from_json(firing.plan), record.event, facts, record.before(facts))
    state = told.decision.state
    # A key may come free in the very moment in which a firing queues for it.
    births = {"queued": ("later", "ready"), "waiting": ("later",)}.get(state, (state,))
    assert born(firing) in births, (firing, told.decision)
    assert told.decision.key == firing.key
    if state == "skipped":
        assert told.decision.reason == firing.reason


def _backtested(found: Corpus) -> None:
    """Under the very same rules nothing is decided otherwise, not even what is skipped and why."""
    fetch = pages(found.events)
    rules = tuple(found.config.rules.paths)
    # In the midst of it windows are open, and firings wait.
    for since, against in ((timedelta(days=1), rules), (timedelta(minutes=95), ())):
        asked = Asked(NAME, since, rules, against)
        result = run_backtest(found.config, asked, fetch, found.folder / "hidden")
        assert [(each.change, each.subject, each.rule, each.what) for each in result.differences] == []
        assert result.new_writes == []
    again = live(found.terms, found.config.rules.paths, found.events, found.told[0].at)
    assert by_name(again.events) == by_name(found.events)


def pages(events: Sequence[JsonObject]) -> Callable[[datetime, int], JsonObject]:
    def fetch(since: datetime, after: int) -> JsonObject:
        wanted = [each for each in events if datetime.fromisoformat(each["at"]) >= since]
        return {"newest": events[-1]["at"], "next": None, "events": wanted[after:]}

    return fetch


def by_name(events: Sequence[JsonObject]) -> Mapping[str, list[JsonObject]]:
    """What was decided by subject, of each by rule."""
    return {each["subject"]: sorted(each["decisions"], key=lambda one: str(one["rule"])) for each in events}


def _tested(found: Corpus) -> None:
    """A test in which the same happens fires and skips the same, for the same reasons."""
    steps: list[Happens | Passes] = []
    place = Place(found.folder / "a.test.yaml", 1, 1)
    for each in found.told:
        steps += [Passes(place, until=each.at.isoformat()), Happens(place, to_json(each.event))]
    end = found.record.events[-1]
    steps += [Passes(place, until=end.at.isoformat())]
    script = Script("same", place, tuple(found.config.rules.paths), tuple(steps), start=START)
    result = try_script(found.terms, script)
    assert [str(each) for each in result.failures] == []
    there, here = by_rule(result.record), by_rule(found.record)
    assert there == here
    accountant = Accountant(found.language, found.config.timezone)
    account = accountant.account(result.record, result.records, result.rules, (), end.at)
    skipped = Counter(
        (each.event.id, each.rule, each.reason.partition(": ")[0].partition("fi_")[0])
        for each in account.skipped
        if not each.event.caused_by
    )
    wanted = Counter(
        (record.event.id, each["rule"], each["reason"].partition(": ")[0].partition("fi_")[0])
        for record in found.records.values()
        if not record.event.caused_by
        for each in why(found.language, record, zone=found.config.timezone)
        if each["outcome"] == "skipped" or (each["outcome"] != "fired" and not each["firing"])
    )
    assert skipped == wanted


def by_rule(record: Chronicle) -> Counter[tuple[str, ...]]:
    """Firings with what they are about, how they began and what has come of them."""
    subjects = {each.event.id: "" if each.event.caused_by else each.event.id for each in record.events}
    return Counter(
        (
            firing.rule,
            firing.key,
            subjects[firing.event_id],
            born(firing, timedelta(seconds=1)),  # the clock of a test shows whole seconds
            firing.state,
            firing.reason.partition("fi_")[0].partition("(act_")[0],
            str(sorted((name, each.outcome) for name, each in firing.results.items())),
        )
        for firing in record.firings
    )


# The command, on such records


OWN = """\
[notifiers.oncall]
type = "dingtalk"
url = { env = "NOT_SET_ANYWHERE" }
[hooks.deploy]
secret = { env = "NOT_SET_ANYWHERE" }
[rules]
paths = ["all.rules.yaml"]
"""


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    """A folder with the config and the rules of a daemon that tells what it kept of the corpus."""
    monkeypatch.chdir(tmp_path)
    for name in ("PHINOPS_CONFIG", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    found = lived(tmp_path, 0)
    assert {"count", "all", "absent", "restart"} <= {each.rule for each in found.record.firings}
    service = FakeService()
    service.pages = {0: {"newest": found.events[-1]["at"], "next": None, "events": found.events}}
    with answering(service) as port:
        write_config(tmp_path, port, OWN, name="test")
        yield tmp_path


def backtest(*words: str) -> Result:
    return CliRunner().invoke(phinops, ["backtest", *words])


def changed(folder: Path, *changes: tuple[str, str]) -> str:
    """Rules of which some are other ones."""
    text = RULES
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "changed.rules.yaml").write_text(text, encoding="utf-8")
    return "changed.rules.yaml"


SAYS_WHICH = 'do: [ { notify: { to: oncall, message: "{{ events | length }}" } } ]\n  - id: absent-of-some'
RERUNS = "mode: armed\n    do: [ { rerun_instance: {} } ]\n  - id: absent-of-some"


def test_only_writes_that_are_new_fail(stored: Path) -> None:
    for since in ("1d", "95m"):
        same = backtest("--since", since, "--fail-on-new-writes")
        assert (same.exit_code, same.stdout.splitlines()[-1].partition(": ")[2]) == (
            0,
            "0 added, 0 removed, 0 changed",
        ), same.output
    talks = changed(stored, ("count: 3, within: 15m", "count: 2, within: 30m"), ("for: 2m\n", "for: 1m\n"))
    told = backtest("--since", "1d", "--rules", talks, "--fail-on-new-writes")
    assert (told.exit_code, " 0 added" in told.stdout) == (0, False), told.output
    writes = changed(stored, (SAYS_WHICH, RERUNS))
    assert backtest("--since", "1d", "--rules", writes).exit_code == 0
    assert backtest("--since", "1d", "--rules", writes, "--fail-on-new-writes").exit_code == 1
    found = json.loads(backtest("--since", "1d", "--rules", writes, "--json").stdout)
    assert {(each["rule"], each["step"]) for each in found["new_writes"]} == {("absent", "rerun_instance")}
    assert backtest("--since", "1d", "--rules", writes, "--against", writes, "--fail-on-new-writes").exit_code == 0


def test_windows_and_waits_give_the_same_to_the_letter(stored: Path) -> None:
    other = changed(
        stored, (SAYS_WHICH, RERUNS), ("count: 2, within: 20m", "count: 3, within: 30m"), ("within: 8m", "within: 5m")
    )
    for words in (("--json",), (), ("--against", "all.rules.yaml", "--json")):
        one, two = (backtest("--since", "95m", "--rules", other, *words).stdout for _ in range(2))
        assert one == two
        assert "absent" in one
