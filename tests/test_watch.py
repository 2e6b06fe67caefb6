"""Sources at their pace, and what can be said of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast
from zoneinfo import ZoneInfo

import anyio
import pytest

from phinops.arrive.arrival import WHOLE, Arrival, Part
from phinops.arrive.pace import Pacer
from phinops.arrive.planner import SHORTEST
from phinops.arrive.poll.instancelist import Row
from phinops.arrive.polling import SourceState, State
from phinops.clock import LoopClock
from phinops.config import Tenant
from phinops.config.model import TenantSources
from phinops.config.secret import Secret
from phinops.decide.rule import Cares
from phinops.errors import QuotaSpent, StoreError, Transient
from phinops.event import Alert, Event, Instance, Node, Project, event_id
from phinops.execute.daycount import PoolUse
from phinops.execute.steps.kind import InstanceView
from phinops.lookout import Recoveries, Sightings
from phinops.pipeline import Taken
from phinops.pulse import Pulse
from phinops.tenant import Serving
from phinops.virtual import run
from phinops.watch import LONGEST_CALL, Watch, loop_of, watches_of
from worlds import START

UTC = ZoneInfo("UTC")
HOUR = 3600.0


@dataclass(slots=True)
class Source:
    """Answers each poll with the next of `answers`, then well; `lasts` is how long a poll takes."""

    name: str
    answers: Iterator[Exception | None] = field(default_factory=lambda: iter(()))
    lasts: float = 0.0
    polls: int = 0

    async def parts(self, now: datetime) -> Sequence[Part]:
        return (WHOLE,)

    async def poll(self, now: datetime, part: Part) -> Arrival:
        self.polls += 1
        await anyio.sleep(self.lasts)
        error = next(self.answers, None)
        if error:
            raise error
        return Arrival(self.name, "t", cursor={"n": self.polls}, calls=1, part=part.id)


class Nothing:
    """A store that remembers nothing."""

    async def last_good(self, source: str) -> Mapping[str, datetime]:
        return {}

    async def changes(self, source: str) -> Mapping[tuple[str, datetime], int]:
        return {}


@dataclass(slots=True)
class Account:
    """The limiter, as budgets read it."""

    limit: int | None = None
    used: int = 0
    pool: str = "1+2+3"

    def usage(self) -> list[PoolUse]:
        return [PoolUse(self.pool, self.used, self.limit, 0)]


@dataclass(slots=True)
class Hut:
    """Watches over sources, in virtual time."""

    clock: LoopClock
    pulse: Pulse
    wanted: set[str]
    watches: list[Watch] = field(default_factory=list)
    taken: list[Arrival] = field(default_factory=list)
    full: bool = False

    async def take(self, arrival: Arrival) -> Taken:
        if self.full:
            raise StoreError("the disk is full")
        self.taken.append(arrival)
        return Taken(arrival.events, 0, 0)

    def cares(self, family: str) -> Cares | None:
        return Cares() if any(kind.startswith(family) for kind in self.wanted) else None

    def watch(self, name: str) -> Watch:
        return next(watch for watch in self.watches if watch.source.name == name)


def _tenant(name: str = "t", **every: timedelta) -> Tenant:
    return Tenant(
        name=name,
        endpoint="http://127.0.0.1:1",
        op_tenant_id=1,
        edition="basic",
        access_key_id=Secret(env="X"),
        access_key_secret=Secret(env="X"),
        sources=TenantSources.model_validate({source: {"every": span} for source, span in every.items()}),
    )


def _serving(tenant: Tenant, account: Account, *sources: Source, recoveries: Any = None) -> Serving:
    nothing: Any = None
    return Serving(
        tenant,
        nothing,
        cast(Any, account),
        nothing,
        nothing,
        nothing,
        nothing,
        sources,
        recoveries,
        cast(Any, Nothing()),
    )


def _hut(*servings: Serving, wanted: set[str] | None = None) -> Hut:
    clock = LoopClock(START)
    hut = Hut(clock, Pulse(clock), wanted if wanted is not None else {"instance.failed", "alert.opened"})
    hut.watches = watches_of(servings, clock, UTC, hut.pulse, hut.cares, hut.take)
    return hut


def _play(hut: Hut, script: Callable[[], Any]) -> None:
    async def main() -> None:
        async with anyio.create_task_group() as group:
            for watch in hut.watches:
                group.start_soon(watch.run)
            await script()
            group.cancel_scope.cancel()

    run(main())


def test_what_a_poll_brings_is_taken_and_the_source_is_well() -> None:
    source = Source("instances")
    hut = _hut(_serving(_tenant(), Account(), source))
    assert hut.watches[0].obstacle() == "source instances of t has not taken stock yet"

    async def script() -> None:
        await anyio.sleep(1)
        assert [arrival.cursor for arrival in hut.taken] == [{"n": 1}]
        assert hut.watches[0].obstacle() == ""

    _play(hut, script)
    assert hut.pulse.ages() == {}


def test_a_source_that_never_answered_is_an_obstacle_and_one_whose_day_is_spent_is_none() -> None:
    away = _hut(_serving(_tenant(), Account(), Source("instances", iter([Transient("A", "x", "away")] * 100))))
    spent = _hut(_serving(_tenant(), Account(), Source("instances", iter([QuotaSpent("spent")] * 100))))

    def said(hut: Hut, obstacle: str) -> Callable[[], Any]:
        async def script() -> None:
            await anyio.sleep(1)
            assert hut.watches[0].obstacle() == obstacle

        return script

    _play(away, said(away, "source instances of t has not taken stock yet: A: x: away"))
    _play(spent, said(spent, ""))


def test_a_source_that_answers_no_more_is_stale_and_tells_it_once() -> None:
    source = Source("instances", iter([None] + [Transient("A", "x", "away")] * 100))
    hut = _hut(_serving(_tenant(), Account(), source))

    async def script() -> None:
        await anyio.sleep(600)
        assert hut.watches[0].obstacle().startswith("source instances of t is stale: A: x: away")
        kinds = [event.type for arrival in hut.taken for event in arrival.events]
        assert kinds == ["source.stale"]

    _play(hut, script)


def test_what_the_store_does_not_take_is_polled_again() -> None:
    source = Source("instances")
    hut = _hut(_serving(_tenant(), Account(), source))

    async def script() -> None:
        hut.full = True
        await anyio.sleep(30)
        assert "the disk is full" in hut.watches[0].obstacle()
        hut.full = False
        await anyio.sleep(60)
        assert hut.watches[0].obstacle() == ""

    _play(hut, script)


def _stuck_over(hut: Hut, hours: int) -> list[str]:
    found: list[str] = []

    async def script() -> None:
        for _ in range(hours * 60):
            await anyio.sleep(60)
            found.extend(hut.pulse.stuck())

    _play(hut, script)
    return found


def test_a_source_that_rests_idles_or_is_asked_rarely_is_not_stuck() -> None:
    spent = Source("instances")
    account = Account(limit=1000, used=1000)
    assert _stuck_over(_hut(_serving(_tenant(), account, spent)), 24) == []
    idle = _hut(_serving(_tenant(), Account(), Source("alerts")))

    async def lose_its_rules() -> None:
        await anyio.sleep(60)
        idle.wanted.clear()
        for _ in range(24 * 60):
            await anyio.sleep(60)
            assert idle.pulse.stuck() == []

    _play(idle, lose_its_rules)
    rare = _hut(_serving(_tenant(instances=timedelta(hours=6)), Account(), Source("instances")))
    assert _stuck_over(rare, 24) == []
    failing = Source("instances", iter([Transient("A", "x", "away")] * 10_000))
    assert _stuck_over(_hut(_serving(_tenant(), Account(), failing)), 24) == []


def view_of(key: str, status: str = "SUCCESS", project: str = "7") -> InstanceView:
    return InstanceView(Instance(key, status), Node(), project)


def test_recoveries_that_verification_saw_are_told_at_once_and_of_each_instance_the_latest() -> None:
    sightings = Sightings()
    asked: list[tuple[str, list[str]]] = []

    async def arrival(now: datetime, project: str, rows: Mapping[str, Row]) -> Arrival:
        asked.append((project, list(rows)))
        if project == "9":
            raise Transient("ListProjects", "x", "away")
        if project == "10":
            raise ValueError("a mistake of ours")
        return Arrival("instances", "t", seen={key: {} for key in rows if key != "unknown"})

    hut = _hut(_serving(_tenant(), Account(), Source("instances"), recoveries=Recoveries(sightings, arrival)))

    async def script() -> None:
        await anyio.sleep(1)
        hut.taken.clear()
        for view in (
            view_of("a"),
            view_of("b", "RUNNING"),
            view_of("a"),
            view_of("c", project="9"),
            view_of("d", project="10"),
        ):
            sightings.saw(view)
        sightings.saw(view_of("e", project="8"))
        await anyio.sleep(0.01)
        assert asked == [("7", ["a"]), ("9", ["c"]), ("10", ["d"]), ("8", ["e"])]
        assert [list(each.seen) for each in hut.taken] == [["a"], ["e"]]
        hut.full = True
        sightings.saw(view_of("f"))
        await anyio.sleep(0.01)
        hut.full = False
        sightings.saw(view_of("unknown"))
        await anyio.sleep(0.01)
        assert [list(each.seen) for each in hut.taken if each.part is None] == [["a"], ["e"]]

    _play(hut, script)


def test_a_poll_that_hangs_shows() -> None:
    hut = _hut(_serving(_tenant(), Account(), Source("instances", lasts=1e9)))

    async def script() -> None:
        await anyio.sleep(LONGEST_CALL + 59)
        assert hut.pulse.stuck() == []
        await anyio.sleep(2)
        assert [line.split(" has")[0] for line in hut.pulse.stuck()] == [f"loop {loop_of('t', 'instances')}/"]
        assert hut.watches[0].obstacle() != ""

    _play(hut, script)


def test_the_sources_of_all_tenants_of_an_account_divide_its_day() -> None:
    account, other = Account(limit=10_000), Account(limit=10_000)
    first = _serving(_tenant("a"), account, Source("instances"), Source("alerts"), Source("impacts"))
    second = _serving(_tenant("b"), account, Source("instances"), Source("alerts"))
    alone = _serving(_tenant("c"), other, Source("instances"))
    hut = _hut(first, second, alone)

    async def script() -> None:
        await anyio.sleep(1)
        paces = {(watch.tenant, watch.source.name): watch.state().interval_s for watch in hut.watches}
        day = 86_400 - 1000
        # Nobody listens to impacts, so four divide the one account's day.
        assert paces[("a", "impacts")] is None
        assert paces[("a", "instances")] == pytest.approx(day * 4 / 10_000, rel=0.02)
        assert paces[("b", "alerts")] == pytest.approx(day * 4 / 10_000, rel=0.02)
        assert paces[("c", "instances")] == SHORTEST

    _play(hut, script)


@dataclass
class Told:
    """A pacer and a source that are in one state."""

    now: SourceState
    name: str = "alerts"

    def state(self) -> SourceState:
        return self.now


@pytest.mark.parametrize(
    ("state", "reason", "said"),
    [
        ("starting", "", "source alerts of prod has not taken stock yet"),
        ("failing", "down", "source alerts of prod has not taken stock yet: down"),
        ("stale", "down", "source alerts of prod is stale: down"),
        ("stale", "", "source alerts of prod is stale: no good poll for too long"),
        ("resting", "the day's calls for polls are spent", ""),
        ("idle", "no rule listens to it", ""),
        ("ok", "", ""),
    ],
)
def test_a_source_without_stock_or_answers_is_an_obstacle_and_one_that_rests_is_not(
    state: State, reason: str, said: str
) -> None:
    told: Any = Told(SourceState("alerts", state, None, None, reason))
    clock = LoopClock(START)
    watch = Watch("prod", cast(Any, told), cast(Pacer, told), Pulse(clock), _hut().take, clock, Nothing())
    assert watch.obstacle() == said


def _alert(reason: str, project: str = "7") -> Event:
    return Event(
        id=event_id("test", reason, project),
        type="alert.opened",
        time=START + timedelta(seconds=1100),
        tenant="t",
        source="alerts",
        project=Project(project),
        alert=Alert(id="1", reason=reason, unique_key="t_1"),
    )


@dataclass(slots=True)
class Projects(Source):
    """Two projects; each poll notes which and what it was hinted at."""

    seen: list[str] = field(default_factory=list)

    async def parts(self, now: datetime) -> Sequence[Part]:
        return Part("7", "seven"), Part("8", "eight")

    async def poll(self, now: datetime, part: Part) -> Arrival:
        self.seen.append(part.id)
        return Arrival(self.name, "t", calls=1, part=part.id)


@dataclass(slots=True)
class Alerting(Source):
    """Brings one event with its second poll."""

    event: Event | None = None

    async def poll(self, now: datetime, part: Part) -> Arrival:
        self.polls += 1
        events = (self.event,) if self.event and self.polls == 2 else ()
        return Arrival(self.name, "t", events, calls=1, part=part.id)


@pytest.mark.parametrize(("reason", "polled"), [("VDM_BATCH_ERROR", ["7", "8", "7"]), ("VDM_BATCH_FINISH", ["7", "8"])])
def test_an_alert_of_a_failed_run_has_its_project_looked_at_at_once(reason: str, polled: list[str]) -> None:
    projects, alerts = Projects("instances"), Alerting("alerts", event=_alert(reason))
    tenant = _tenant(instances=timedelta(hours=1), alerts=timedelta(minutes=2))
    hut = _hut(_serving(tenant, Account(), projects, alerts))

    async def script() -> None:
        await anyio.sleep(600)
        assert projects.seen == polled
        hinted = [arrival.hinted for arrival in hut.taken if arrival.hinted]
        assert hinted == [frozenset({"t_1"})] * (len(polled) - 2)

    _play(hut, script)


def test_where_a_day_has_no_limit_polls_keep_to_a_small_part_of_the_rate() -> None:
    account = Account(limit=None, pool="1")
    unlimited = _hut(_serving(_tenant(), account, Projects("instances")))
    left = unlimited.watches[0].pacer._planner.left

    async def script() -> None:
        a_day = 0.02 * 50 * 86_400
        assert (left().calls, left().endless) == ({"1": a_day}, frozenset({"1"}))
        account.used = 10_000
        assert left().calls == {"1": a_day - 10_000}
        account.used = 200_000
        assert left().calls == {"1": pytest.approx(0.5 * left().seconds)}

    _play(unlimited, script)
