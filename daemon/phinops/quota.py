"""The quota day of every account: what is left of it, who spent it, and the events of its end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

import anyio
import structlog

from phinops.clock import Clock
from phinops.errors import StoreError, StoreLost
from phinops.event import Event, JsonObject, QuotaState, event_id
from phinops.execute.limit import Limiter, PoolUse
from phinops.forecast import Forecast, forecast, seconds_left
from phinops.pulse import Pulse
from phinops.record import spends
from phinops.record.spends import Key
from phinops.record.sqlite import Store
from phinops.record.tx import Snapshot
from phinops.tenant import Serving

log = structlog.get_logger(__name__)

FLUSH_EVERY = 30.0
"""Seconds after which it is written who spent what, if no lease has done so before."""

LATE = 3600.0
"""In the last so many seconds of a quota day it is no news that its calls come to an end."""

Samples = dict[str, list[tuple[dict[str, str], float]]]


@dataclass(frozen=True, slots=True)
class Account:
    """Tenants that share a limiter, by name."""

    limiter: Limiter
    tenants: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Pool:
    """How one pool stands now."""

    use: PoolUse
    forecast: Forecast

    @property
    def spent(self) -> bool:
        return _is_spent(self.use)


class Quotas:
    """Tells how the quota stands, and keeps the record of who spent it. `take` records an event of the daemon's own."""

    def __init__(
        self,
        store: Store,
        servings: Iterable[Serving],
        clock: Clock,
        zone: tzinfo,
        pulse: Pulse,
        take: Callable[[Event], Awaitable[None]],
    ) -> None:
        self._store = store
        self._accounts = _accounts(servings)
        self._clock = clock
        self._zone = zone
        self._pulse = pulse
        self._take = take
        self._woken = anyio.Event()
        self._told: set[tuple[str, str, str, str]] = set()
        self._pruned = ""
        for account in self._accounts:
            account.limiter.listen(self._wake)

    async def run(self) -> None:
        """Write who spent what, and tell the events of the quota, until cancelled.

        Raises:
            StoreLost: another process has taken the store over.
        """
        while True:
            self._pulse.beat("quota", FLUSH_EVERY)
            self._woken = anyio.Event()
            try:
                await self._round()
            except StoreLost:
                raise
            except StoreError as error:
                # Nothing is lost: what was not written or told is the next time.
                log.debug("quota.unrecorded", reason=str(error))
            with anyio.move_on_after(self._clock.real(FLUSH_EVERY)):
                await self._woken.wait()

    async def tell(self, by: Key | None = None, limit: int = 10, tenant: str = "") -> list[JsonObject]:
        """Every pool, of one tenant's account or of all, with its biggest spenders: what `phinops quota --json` prints.

        Raises:
            StoreError: the store cannot be read.
        """
        found: list[JsonObject] = []
        for account in self._accounts:
            if tenant and tenant not in account.tenants:
                continue
            for pool in await self._pools(account):
                found.append(self._shown(account, tenant, pool, await self._spenders(account, pool, by, limit), by))
        return found

    async def samples(self) -> Samples:
        """The numbers of `/metrics` that the store has to be asked for.

        Raises:
            StoreError: the store cannot be read.
        """
        out: Samples = {}
        calls: dict[tuple[str, int], int] = {}
        for account in self._accounts:
            day = account.limiter.today()
            _add_rates(out, account)
            for pool in await self._pools(account):
                for tenant in account.tenants:
                    _add_samples(out, {"tenant": tenant, "pool": pool.use.pool}, pool)
            spent = await self._store.read(lambda tx: spends.by_source(tx, account.limiter.account, day))  # noqa: B023
            for place, count in spent.items():
                calls[place] = calls.get(place, 0) + count
        out["calls_by_source"] = [
            ({"source": source, "level": str(level)}, float(count)) for (source, level), count in sorted(calls.items())
        ]
        return out

    def _wake(self) -> None:
        self._woken.set()

    async def _round(self) -> None:
        for account in self._accounts:
            await account.limiter.flush()
        for account in self._accounts:
            await self._tell_events(account)
        today = str(self._accounts[0].limiter.today()) if self._accounts else ""
        if today != self._pruned:
            await self._store.write(spends.prune)
            self._pruned = today

    async def _tell_events(self, account: Account) -> None:
        day = str(account.limiter.today())
        self._told = {told for told in self._told if told[0] not in account.tenants or told[2] == day}
        news = [
            (tenant, use.pool, day, kind)
            for use in account.limiter.usage()
            for kind in self._kinds(use)
            for tenant in account.tenants
        ]
        news = [each for each in news if each not in self._told]
        if not news:
            return
        pools = {pool.use.pool: pool for pool in await self._pools(account)}
        for told in news:
            await self._take(self._event(*told, pools[told[1]]))
            self._told.add(told)

    def _kinds(self, use: PoolUse) -> Iterator[str]:
        """The events that have happened to a pool."""
        if use.limit is None:
            return
        now = self._clock.now().astimezone(self._zone)
        if use.limit - use.used <= use.reserve and seconds_left(now) > LATE:
            yield "quota.low"
        if _is_spent(use):
            yield "quota.exhausted"

    def _event(self, tenant: str, name: str, day: str, kind: str, pool: _Pool) -> Event:
        found = pool.forecast
        return Event(
            id=event_id("quota", tenant, name, day, kind),
            type=kind,
            time=self._clock.now(),
            tenant=tenant,
            source="quota",
            quota=QuotaState(name, day, found.used, found.limit, found.left, found.reserve, found.runs_out),
        )

    async def _pools(self, account: Account) -> Sequence[_Pool]:
        try:
            await account.limiter.flush()
        except StoreError as error:
            # What is in the store can be told all the same.
            log.debug("quota.unrecorded", reason=str(error))
        now = self._clock.now().astimezone(self._zone)
        before = (now.astimezone(UTC) - timedelta(hours=1)).astimezone(self._zone)

        def hours(tx: Snapshot) -> list[Mapping[int, int]]:
            return [spends.in_hour(tx, account.limiter.account, each.date(), each.hour) for each in (now, before)]

        this, last = await self._store.read(hours)
        return [self._pool(use, now, this, last) for use in account.limiter.usage()]

    def _pool(self, use: PoolUse, now: datetime, this: Mapping[int, int], last: Mapping[int, int]) -> _Pool:
        levels = _levels(use)
        found = forecast(
            used=use.used,
            limit=use.limit,
            reserve=use.reserve,
            this_hour=sum(this.get(level, 0) for level in levels),
            last_hour=sum(last.get(level, 0) for level in levels),
            now=now,
            zone=self._zone,
        )
        return _Pool(use, found)

    async def _spenders(self, account: Account, pool: _Pool, by: Key | None, limit: int) -> list[spends.Spent]:
        limiter = account.limiter
        return await self._store.read(
            lambda tx: spends.biggest(tx, limiter.account, limiter.today(), _levels(pool.use), by, limit)
        )

    def _shown(
        self, account: Account, tenant: str, pool: _Pool, spenders: Sequence[spends.Spent], by: Key | None
    ) -> JsonObject:
        found = pool.forecast
        return {
            "tenant": tenant or account.tenants[0],
            "tenants": list(account.tenants),
            "pool": pool.use.pool,
            "day": str(account.limiter.today()),
            "used": found.used,
            "left": found.left,
            "limit": found.limit,
            "reserve": None if found.limit is None else found.reserve,
            "spent": pool.spent,
            "pace_per_hour": round(found.pace, 1),
            "runs_out": found.runs_out.isoformat() if found.runs_out else None,
            "resets": found.resets.isoformat(),
            "spenders": [spends.shown(each, by) for each in spenders],
        }


def _levels(use: PoolUse) -> list[int]:
    return [int(level) for level in use.pool.split("+")]


def _is_spent(use: PoolUse) -> bool:
    """None is left, or Dataphin answers as if none were."""
    return use.spent or (use.limit is not None and use.used >= use.limit)


def _accounts(servings: Iterable[Serving]) -> tuple[Account, ...]:
    found: dict[int, tuple[Limiter, list[str]]] = {}
    for each in servings:
        found.setdefault(id(each.limiter), (each.limiter, []))[1].append(each.config.name)
    return tuple(Account(limiter, tuple(names)) for limiter, names in found.values())


def _add_samples(out: Samples, labels: dict[str, str], pool: _Pool) -> None:
    found = pool.forecast
    numbers = {
        "quota_left": found.left,
        "quota_spent": float(pool.spent),
        "quota_calls_per_hour": found.pace,
        "quota_runs_out_timestamp_seconds": found.runs_out.timestamp() if found.runs_out else None,
    }
    for name, value in numbers.items():
        if value is not None:
            out.setdefault(name, []).append((labels, float(value)))


def _add_rates(out: Samples, account: Account) -> None:
    for rate in account.limiter.rates():
        for tenant in account.tenants:
            labels = {"tenant": tenant, "pool": rate.pool}
            out.setdefault("rate_limit_calls_per_second", []).append((labels, rate.limit))
            out.setdefault("rate_allowed_calls_per_second", []).append((labels, rate.allowed))
