"""Everything that serves one tenant: its client, its eyes, its hands and its sources."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import anyio
import structlog

from phinops.arrive.arrival import Arrival, Part
from phinops.arrive.lasting import Asked
from phinops.arrive.poll.alerts import AlertSource
from phinops.arrive.poll.impacts import ImpactSource
from phinops.arrive.poll.instances import InstanceSource
from phinops.arrive.projects import ProjectList, data_service_projects, tenant_projects
from phinops.arrive.ration import CHECKS, LISTS, rationed
from phinops.catalog.catalog import load_catalog
from phinops.catalog.quotas import level_of, plan_for
from phinops.clock import Clock
from phinops.config import Tenant
from phinops.decide.replies import PROBES
from phinops.errors import StoreError
from phinops.execute.carry import Hands
from phinops.execute.desk import Alarm, Desk, Starter
from phinops.execute.fresh import Eyes, Glass
from phinops.execute.guard import Rails
from phinops.execute.identity import Identities
from phinops.execute.journal import Journal
from phinops.execute.limit import Limiter, PoolUse, Priority
from phinops.execute.lineage import Lineage
from phinops.execute.look import Look
from phinops.execute.own_reruns import OwnReruns
from phinops.execute.runtimes import RunTimes
from phinops.execute.send import Client, Endpoint, Transport
from phinops.execute.settle import Settler
from phinops.execute.steps.kind import InstanceView
from phinops.lookout import CountedReads, Recoveries, Sightings, Watched
from phinops.record import history
from phinops.record.ledger import StoreLedger
from phinops.record.sqlite import Store
from phinops.remembered import KeptProjects, Remembered

log = structlog.get_logger(__name__)

POLL_WITHIN = 300.0
"""Seconds that a call of a poll waits for its turn: the source rests when the service asks for a longer pause."""


LEARNED_FROM, MOST_LEARNED = timedelta(days=7), 500
"""How far back, and how many, recoveries tell a start how long runs take."""

READ_BACK = ("ListInstances", "GetPhysicalInstance", "ListNodes")
"""What verifications read."""


class Source(Protocol):
    """One polled source of a tenant."""

    name: str

    async def parts(self, now: datetime) -> Sequence[Part]:
        """What there is to poll. Raises PhinopsError."""
        ...

    async def poll(self, now: datetime, part: Part) -> Arrival:
        """What changed in a part since its last arrival that was committed. Raises PhinopsError: nothing moved."""
        ...


@dataclass(frozen=True, slots=True)
class Keys:
    """The tenant's key pairs, read anew each time: a file may have been replaced."""

    tenant: Tenant

    def read(self) -> tuple[str, str]:
        return self.tenant.access_key_id.reveal(), self.tenant.access_key_secret.reveal()

    def write(self) -> tuple[str, str]:
        own = self.tenant.write_access_key_id, self.tenant.write_access_key_secret
        if own[0] is None or own[1] is None:
            return self.read()
        return own[0].reveal(), own[1].reveal()


@dataclass(frozen=True, slots=True)
class Reads:
    """The client, for reading at one priority."""

    client: Client
    priority: Priority

    async def read(self, api: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        return (await self.client.read(api, params, priority=self.priority)).body


@dataclass(frozen=True, slots=True)
class PollReads:
    """The client, for one polled source: a turn that does not come soon is given up, and every call is told."""

    client: Client
    priority: Priority
    clock: Clock
    moves: Callable[[], None]

    async def read(self, api: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        self.moves()
        deadline = self.clock.monotonic() + POLL_WITHIN
        return (await self.client.read(api, params, priority=self.priority, deadline=deadline)).body


@dataclass(frozen=True, slots=True)
class Serving:
    """One tenant, being served."""

    config: Tenant
    client: Client
    limiter: Limiter
    desk: Desk
    hands: Hands
    glass: Glass
    watched: Watched
    sources: tuple[Source, ...]
    recoveries: Recoveries
    past: Remembered


@dataclass(frozen=True, slots=True)
class Common:
    """What all tenants share.

    `wanted` are the event types that rules look at, `lasting` what they call too long. `tell` hears of a tenant and
    what people must know of it, `moves` of every call that a source makes. `transport` carries calls in the network's
    stead.
    """

    store: Store
    journal: Journal
    clock: Clock
    zone: ZoneInfo
    rails: Rails
    group: Starter
    wanted: Callable[[], frozenset[str]]
    lasting: Callable[[], Collection[Asked]]
    tell: Callable[[str, Alarm], Coroutine[Any, Any, None]]
    moves: Callable[[], None]
    transport: Transport | None = None


@asynccontextmanager
async def limiters(
    tenants: Sequence[Tenant], store: Store, clock: Clock, zone: ZoneInfo
) -> AsyncGenerator[Mapping[str, Limiter]]:
    """One limiter for each account, by tenant name: tenants of one account share its quota.

    Tenants are of one account when their config says so or when their key is the same. The ledger goes by the name in
    the config, so that a new key does not begin a new day.
    """
    by_key: dict[tuple[str, str], Limiter] = {}
    found: dict[str, Limiter] = {}
    opened: list[Limiter] = []
    try:
        for tenant in tenants:
            named = ("account", tenant.account)
            key = ("key", tenant.quota.account or f"{tenant.access_key_id.reveal()} {tenant.endpoint.rstrip('/')}")
            limiter = by_key.get(named) or by_key.get(key)
            if limiter is None:
                limiter = _limiter(tenant, tenants, StoreLedger(store), clock, zone)
                await limiter.open()
                opened.append(limiter)
            by_key[named] = by_key[key] = found[tenant.name] = limiter
        yield found
    finally:
        with anyio.CancelScope(shield=True):
            for limiter in opened:
                await _close(limiter)


async def _close(limiter: Limiter) -> None:
    try:
        await limiter.close()
    except StoreError as error:
        # What is not given back stays counted: too many rather than too few.
        log.warning("limiter.unclosed", reason=str(error))


def _limiter(tenant: Tenant, tenants: Collection[Tenant], ledger: StoreLedger, clock: Clock, zone: ZoneInfo) -> Limiter:
    quota = tenant.quota
    longest = max(each.timeout.total_seconds() for each in tenants)
    return Limiter(
        tenant.account,
        plan_for(tenant.edition, quota.qps, quota.daily),
        ledger,
        clock,
        share=quota.share,
        action_reserve=quota.action_reserve,
        timeout=longest,
        zone=zone,
    )


@asynccontextmanager
async def serving(config: Tenant, limiter: Limiter, common: Common) -> AsyncGenerator[Serving]:
    """The tenant, reachable until the context ends.

    Raises:
        ConfigError: a key cannot be used, or the CA file.
    """
    endpoint = Endpoint(
        url=config.endpoint,
        op_tenant_id=config.op_tenant_id,
        edition=config.edition,
        env=config.env,
        timeout_s=config.timeout.total_seconds(),
        ca_file=config.ca_file,
        proxy=config.proxy,
        signature=config.signature,
        level_overrides=config.quota.levels,
        zone=common.zone,
    )
    async with Client(endpoint, Keys(config), limiter, load_catalog(), common.clock, common.transport) as client:
        run_times, sightings = await _run_times(common, config.name), Sightings()

        def saw(view: InstanceView) -> None:
            run_times.saw(view.instance)
            sightings.saw(view)

        verifying = _look(client, Priority.VERIFY, config, common, saw)
        deciding = _look(client, Priority.DECIDE, config, common)

        async def tell(alarm: Alarm) -> None:
            await common.tell(config.name, alarm)

        projects, served = _projects(config, client, common)
        names = [each for each in (projects, served) if each]
        identities = Identities(common.rails.protected, deciding, names, common.clock)
        desk = Desk(
            client, common.journal, common.rails, common.clock, common.group, tell, common.zone, identities.of
        )  # fmt: skip
        quiet, levels = config.settle_after.total_seconds(), _levels_of(READ_BACK, config)

        def left() -> int | None:
            return calls_left(limiter.usage(), levels)

        own = config.auto_rerun
        own_reruns = OwnReruns(own.times, own.every) if own else None
        settler = Settler(verifying, common.journal, common.clock, quiet, left, run_times)
        read = Reads(client, Priority.DECIDE).read
        window = config.sources.impacts.window
        glass = Glass(deciding, read, common.clock, common.zone, window)
        watching = Glass(verifying, Reads(client, Priority.VERIFY).read, common.clock, common.zone, window)
        instances, sources = _sources(config, client, common, settler, projects, served)
        eyes, lineage = Eyes(glass, watching, left), Lineage(deciding, common.clock)
        hands = Hands(desk, settler, deciding, read, eyes, lineage, own_reruns)
        yield Serving(
            config,
            client,
            limiter,
            desk,
            hands,
            glass,
            _watched(client, limiter, config, common),
            sources,
            Recoveries(sightings, instances.recovered),
            Remembered(common.store, config.name),
        )


def _watched(client: Client, limiter: Limiter, config: Tenant, common: Common) -> Watched:
    counted, levels = CountedReads(Reads(client, Priority.DECIDE).read), _levels_of(READ_BACK, config)
    eyes = Look(counted.read, common.zone, biz_date_format=config.biz_date_format)

    def spare() -> bool:
        left = calls_left(
            (replace(use, limit=use.limit and use.limit - use.reserve) for use in limiter.usage()), levels
        )
        return left is None or left > 0

    return Watched(eyes, rationed(config, CHECKS, common.clock), lambda: counted.made, spare)


def calls_left(pools: Iterable[PoolUse], levels: Collection[int]) -> int | None:
    """How many calls the day has left for these levels, the reserve for actions included; None: no limit."""
    names = {str(level) for level in levels}
    left = [
        0 if pool.spent else max(0, pool.limit - pool.used)
        for pool in pools
        if pool.limit is not None and names & set(pool.pool.split("+"))
    ]
    return min(left, default=None)


def _levels_of(apis: Iterable[str], config: Tenant) -> frozenset[int]:
    catalog = load_catalog()
    return frozenset(level_of(catalog.require(api), config.quota.levels) for api in apis)


def _look(
    client: Client,
    priority: Priority,
    config: Tenant,
    common: Common,
    saw: Callable[[InstanceView], None] = lambda _: None,
) -> Look:
    read, dates = Reads(client, priority).read, config.biz_date_format
    return Look(read, common.zone, biz_date_format=dates, saw=saw, judge=PROBES.holds)


async def _run_times(common: Common, tenant: str) -> RunTimes:
    """How long runs took that are on record as recoveries. Raises StoreError."""
    since = common.clock.now() - LEARNED_FROM
    found = RunTimes()
    for event in await common.store.read(lambda tx: history.recoveries(tx, tenant, since, MOST_LEARNED)):
        if event.instance:
            found.saw(event.instance)
    return found


def _projects(config: Tenant, client: Client, common: Common) -> tuple[ProjectList, ProjectList | None]:
    """The projects of the tenant, and those of its data service."""
    polls = PollReads(client, Priority.POLL, common.clock, common.moves)
    projects = tenant_projects(
        polls, config.projects, config.env, KeptProjects(common.store, f"projects/{config.name}")
    )
    if not config.served_projects:
        return projects, None
    kept = KeptProjects(common.store, f"data service projects/{config.name}")
    return projects, data_service_projects(polls, config.served_projects, kept)


def _sources(
    config: Tenant,
    client: Client,
    common: Common,
    settler: Settler,
    projects: ProjectList,
    served: ProjectList | None,
) -> tuple[InstanceSource, tuple[Source, ...]]:
    """The source of instances, and all sources."""
    memory = Remembered(common.store, config.name)
    alerts, polls = (
        PollReads(client, priority, common.clock, common.moves) for priority in (Priority.ALERTS, Priority.POLL)
    )
    lookback = config.sources.lookback
    instances = InstanceSource(
        config.name,
        polls,
        memory,
        projects,
        common.wanted,
        zone=common.zone,
        lasting=common.lasting,
        followed=settler.followed,
        ration=rationed(config, LISTS, common.clock),
        biz_date_format=config.biz_date_format,
        lookback=lookback,
    )
    sources: list[Source] = [
        AlertSource(config.name, alerts, memory, projects, zone=common.zone, lookback=lookback, served=served),
        instances,
    ]
    if served:
        window = config.sources.impacts.window
        sources.append(
            ImpactSource(config.name, polls, memory, served, zone=common.zone, window=window, lookback=lookback)
        )
    return instances, tuple(sources)
