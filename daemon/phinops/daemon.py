"""The daemon: one place opens everything, one task group runs everything, one event stops it."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import anyio
import anyio.abc
import structlog

from phinops.arrive.arrival import Arrival
from phinops.arrive.hooks import HookRefused, receive
from phinops.arrive.schedule import ScheduleSource
from phinops.channels import StoredOutbox, channels_of
from phinops.clock import Clock
from phinops.config import Config, load_config
from phinops.course import Courses
from phinops.decide.language import Language
from phinops.errors import ConfigError, StoreError
from phinops.event import Event, JsonObject
from phinops.execute.act import Actor
from phinops.execute.guard import Ceiling
from phinops.execute.hold import Holds
from phinops.execute.notify.deliver import Deliveries
from phinops.execute.notify.post import Post
from phinops.execute.steps.table import STEPS
from phinops.operator_call import OperatorCalls
from phinops.pipeline import Pipeline, permit_again
from phinops.pulse import Pulse
from phinops.record import journal, lists
from phinops.record.book import Book
from phinops.record.sqlite import Store
from phinops.record.tx import Tx
from phinops.report import Report
from phinops.rulebook import Reload, Rulebook
from phinops.spoken import SpokenWords
from phinops.tenant import Common, Remembered, Serving, limiters, serving
from phinops.watch import watches_of

log = structlog.get_logger(__name__)

Health = tuple[bool, list[str]]

_PROBE_EVERY = 30.0
"""Seconds between two writes that find out whether the store can be written."""

_TELL_AGAIN = 3600.0
"""Seconds before the same ceiling is told again."""

_DRAIN_GRACE = 5.0
"""Seconds beyond the longest time-out that a stop waits for writes that are under way."""


class Crew:
    """A task group that is opened later than those who start tasks in it are made."""

    def __init__(self) -> None:
        self._group: anyio.abc.TaskGroup | None = None

    @asynccontextmanager
    async def working(self) -> AsyncGenerator[None]:
        """Tasks may be started inside; what still runs at the end is cancelled."""
        async with anyio.create_task_group() as group:
            self._group = group
            try:
                yield
            finally:
                self._group = None
                group.cancel_scope.cancel()

    def start_soon(self, func: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> None:
        """Start a task; after the end nothing starts any more."""
        if self._group is not None:
            self._group.start_soon(func, *args)


@dataclass(slots=True)
class _Parts:
    """What `open` has opened."""

    store: Store
    book: Book
    rulebook: Rulebook
    servings: Mapping[str, Serving]
    common: Common
    crew: Crew
    post: Post
    pulse: Pulse


class Daemon:
    """The running service. Make one with `Daemon.open`, then `run` it."""

    def __init__(self, config: Config, clock: Clock, parts: _Parts, language: Language) -> None:
        self._config = config
        self._clock = clock
        self._parts = parts
        self._stop = anyio.Event()
        self._told: dict[str, float] = {}
        self._reloads: Counter[str] = Counter()
        self._deliveries = self._make_deliveries()
        self._redeliver = anyio.Event()
        self.report = Report(clock)
        words = SpokenWords(language, clock)
        hands = {name: each.hands for name, each in parts.servings.items()}
        actor = Actor(parts.book, STEPS, words, hands, clock, Holds(), self._take_own)
        glasses = {name: each.glass for name, each in parts.servings.items()}
        self._courses = Courses(parts.store, actor, words, glasses, clock, parts.crew, permit_again)
        in_force = lambda: parts.rulebook.in_force  # noqa: E731 - asked anew for each arrival
        self._pipeline = Pipeline(parts.store, language, in_force, self._courses, clock, self._tell)
        self._calls = OperatorCalls(parts.store, parts.common)
        self._watches = [
            watch
            for each in parts.servings.values()
            for watch in watches_of(each, clock, config.timezone, parts.pulse, self._wanted, self._take)
        ]
        self._schedules = [self._schedule(name) for name in parts.servings]

    @classmethod
    @asynccontextmanager
    async def open(cls, config: Config, *, clock: Clock, shadow: bool = False) -> AsyncGenerator[Daemon]:
        """Everything opened and the rules loaded; nothing polled yet. What is opened is closed when the context ends.

        Raises:
            ConfigError: a secret cannot be used.
            StoreError: the store cannot be opened; `StoreHeld` when another daemon has it.
        """
        async with AsyncExitStack() as stack:
            store = await stack.enter_async_context(Store.open(config.store.path, clock))
            crew = Crew()
            made: list[Daemon] = []
            common = Common(
                store=store,
                journal=Book(store),
                clock=clock,
                zone=config.timezone,
                ceiling=Ceiling(config.safety.max_writes_per_hour),
                group=crew,
                wanted=lambda: made[0]._wanted(),
                over=lambda tenant, reason: made[0].tell_over(tenant, reason),
            )
            # The limiters first: they leave a second empty from here on, in which the rules can be read.
            limiter_of = await stack.enter_async_context(limiters(config.tenants, common))
            language = Language(config.timezone)
            rulebook = Rulebook(config, language, shadow=shadow)
            servings = {
                tenant.name: await stack.enter_async_context(serving(tenant, limiter_of[tenant.name], common))
                for tenant in config.tenants
            }
            post = await stack.enter_async_context(Post())
            await stack.enter_async_context(crew.working())
            parts = _Parts(store, Book(store), rulebook, servings, common, crew, post, Pulse(clock))
            made.append(cls(config, clock, parts, language))
            log.info("rules.loaded", rules=len(rulebook.in_force.rules), quarantined=rulebook.quarantined)
            yield made[0]

    async def run(self) -> None:
        """Serve until `stop` was called, then let what is under way be answered.

        Raises:
            StoreLost: another process has taken the store over.
        """
        await self._parts.store.write(journal.abandon_operator_calls)
        resumed = await self._courses.resume()
        log.info("daemon.started", resumed=resumed, epoch=self._parts.store.epoch)
        await self._tell_quarantine()
        async with anyio.create_task_group() as loops:
            for watch in self._watches:
                loops.start_soon(watch.run)
            for name, schedule in zip(self._parts.servings, self._schedules, strict=True):
                loops.start_soon(schedule.run, self._polling(schedule, name))
            loops.start_soon(self._deliver)
            loops.start_soon(self._probe_store)
            await self._stop.wait()
            loops.cancel_scope.cancel()
        await self._drain()

    def stop(self) -> None:
        """Ask `run` to end."""
        self._stop.set()

    async def _drain(self) -> None:
        longest = max(each.config.timeout.total_seconds() for each in self._parts.servings.values())
        with anyio.move_on_after(longest + _DRAIN_GRACE):
            async with anyio.create_task_group() as group:
                for each in self._parts.servings.values():
                    group.start_soon(each.desk.drain)
        log.info("daemon.drained")

    # What arrives

    async def _take(self, arrival: Arrival) -> None:
        await self._pipeline.take(arrival)
        self._deliveries.wake()

    async def _take_own(self, event: Event) -> None:
        """An event of the daemon's own, told in the zone of the config as all others are."""
        told = replace(event, time=event.time.astimezone(self._config.timezone))
        await self._take(Arrival(event.source, event.tenant, (told,)))

    def _tell(self, events: Sequence[Event]) -> None:
        self.report.saw(events)

    def _wanted(self) -> frozenset[str]:
        return self._parts.rulebook.in_force.rules.event_types

    def _schedule(self, tenant: str) -> ScheduleSource:
        memory = Remembered(self._parts.store, tenant)
        crons = lambda: {rule.id: rule.cron for rule in self._parts.rulebook.in_force.rules if rule.cron}  # noqa: E731
        return ScheduleSource(tenant, memory, crons, zone=self._config.timezone, clock=self._clock)

    def _polling(self, schedule: ScheduleSource, tenant: str) -> Callable[[datetime], Awaitable[object]]:
        async def once(now: datetime) -> None:
            self._parts.pulse.beat(f"{tenant}/schedule", 120.0)
            await self._take(await schedule.poll(now))

        return once

    async def hook(self, name: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
        """Take a posted message in: the HTTP status, 202 when it is recorded, and the reason otherwise."""
        hook = self._config.hooks.get(name)
        if hook is None:
            return 404, f"there is no hook «{name}»"
        try:
            secret = hook.secret.reveal()
            tenant = self._config.tenants[0].name
            found = receive(
                name, secret, headers, body, self._clock.now().astimezone(self._config.timezone), tenant=tenant
            )
            if isinstance(found, HookRefused):
                return found.status, found.reason
            await self._take(Arrival("hooks", tenant, (found,)))
        except (ConfigError, ValueError) as error:
            log.warning("hook.secret", hook=name, reason=str(error))
            return 503, "the hook's secret cannot be used"
        except StoreError as error:
            log.warning("hook.unrecorded", hook=name, reason=str(error))
            return 503, "the store cannot be written"
        return 202, ""

    # What leaves

    def _make_deliveries(self) -> Deliveries:
        channels = channels_of(self._config.notifiers, self._parts.post, self._clock)
        return Deliveries(StoredOutbox(self._parts.store), channels, self._clock)

    async def _deliver(self) -> None:
        """Deliver notices; after a reload by the new notifiers."""
        while True:
            self._redeliver = anyio.Event()
            async with anyio.create_task_group() as group:
                group.start_soon(self._deliveries.run)
                await self._redeliver.wait()
                group.cancel_scope.cancel()

    async def tell_over(self, tenant: str, reason: str) -> None:
        """Tell every notifier, once an hour, that the ceiling of all rules holds writes back."""
        now = self._clock.monotonic()
        if now - self._told.get(tenant, -_TELL_AGAIN) < _TELL_AGAIN:
            return
        self._told[tenant] = now
        payload: JsonObject = {
            "title": f"phinops holds writes to {tenant} back",
            "message": reason,
            "severity": "critical",
            "rule": "",
            "firing_id": "",
            "event": {},
            "links": {},
        }
        notifiers = tuple(self._config.notifiers)

        def op(tx: Tx) -> None:
            for name in notifiers:
                journal.put_notice(tx, f"msg_{uuid.uuid4().hex}", None, 0, name, payload)

        await self._parts.store.write(op)
        self._deliveries.wake()

    async def call(self, api: str, params: JsonObject, wait: timedelta, tenant: str | None) -> JsonObject:
        """One call of a person's own.

        Raises:
            ValueError: the API, a parameter or the tenant is unknown, or the edition does not have it.
            QuotaSpent, ApiError: as their names say.
        """
        name = tenant or next(iter(self._parts.servings))
        if name not in self._parts.servings:
            raise ValueError(f"there is no tenant «{name}»; there are {', '.join(self._parts.servings)}")
        return await self._calls.call(self._parts.servings[name], api, params, wait)

    # What is in force

    async def reload(self) -> Reload:
        """Read config and rules again. What is sound is in force at once; a broken rule stays as it was last good."""
        try:
            config = load_config(self._config.file) if self._config.file else self._config
            channels_of(config.notifiers, self._parts.post, self._clock)
        except ConfigError as error:
            self._reloads["refused"] += 1
            log.warning("reload.refused", reason=str(error))
            return Reload(False, error.problems, {"refused": str(error)})
        found = self._parts.rulebook.load(config)
        needs = _needs_restart(self._config, config)
        self._config = self._config.model_copy(
            update={"rules": config.rules, "notifiers": config.notifiers, "hooks": config.hooks}
        )
        self._deliveries = self._make_deliveries()
        self._redeliver.set()
        for schedule in self._schedules:
            schedule.changed()
        for watch in self._watches:
            watch.pacer.nudge()
        await self._tell_quarantine()
        self._reloads["accepted" if found.accepted else "refused"] += 1
        log.info("rules.reloaded", accepted=found.accepted, **found.changed)
        return Reload(found.accepted, found.problems, {**found.changed, "restart": needs})

    async def _tell_quarantine(self) -> None:
        events = self._parts.rulebook.quarantine_events(tuple(self._parts.servings), self._clock.now())
        for event in events:
            await self._take_own(event)

    # How it is

    async def _probe_store(self) -> None:
        while True:
            self._parts.pulse.beat("store", _PROBE_EVERY)
            try:
                await self._parts.store.probe()
            except StoreError as error:
                log.warning("store.unwritable", reason=str(error))
            await self._clock.sleep(_PROBE_EVERY)

    def ready(self) -> Health:
        """The store can be written, stock was taken and no source is stale."""
        trouble = self._parts.store.trouble
        reasons = [f"the store cannot be written: {trouble}"] if trouble else []
        reasons += [obstacle for watch in self._watches if (obstacle := watch.obstacle())]
        return not reasons, reasons

    def healthy(self) -> Health:
        """Every loop moves."""
        stuck = self._parts.pulse.stuck()
        return not stuck, stuck

    def status(self) -> JsonObject:
        """What `phinops status --json` prints."""
        ready, reasons = self.ready()
        tenants = [self._tenant_status(each) for each in self._parts.servings.values()]
        return {"ready": ready, "reasons": reasons, "tenants": tenants}

    def _tenant_status(self, each: Serving) -> JsonObject:
        sources = [watch.state() for watch in self._watches if watch.tenant == each.config.name]
        return {
            "name": each.config.name,
            "sources": [
                {
                    "name": state.name,
                    "state": state.state,
                    "last_good": state.last_good.isoformat() if state.last_good else None,
                    "interval_s": state.interval_s,
                    "reason": state.reason,
                }
                for state in sources
            ],
            "quota": [
                {"pool": use.pool, "used": use.used, "limit": use.limit, "reserve": use.reserve}
                for use in each.limiter.usage()
            ],
        }

    def calls_today(self) -> Mapping[int, int]:
        """Today's calls by level, over all accounts."""
        total: Counter[int] = Counter()
        for limiter in {id(each.limiter): each.limiter for each in self._parts.servings.values()}.values():
            total.update(limiter.calls_today())
        return total

    async def counts(self) -> JsonObject:
        """Totals of the store: events, firings, actions by outcome, notices by state."""
        return await self._parts.store.read(journal.counts)

    async def events(self, limit: int, tenant: str = "") -> list[JsonObject]:
        """The newest events, newest first."""
        return await self._parts.store.read(lambda tx: lists.list_events(tx, limit, tenant))

    async def firings(self, limit: int, tenant: str = "") -> list[JsonObject]:
        """The newest decisions, newest first."""
        return await self._parts.store.read(lambda tx: lists.list_firings(tx, limit, tenant))

    async def actions(self, limit: int, tenant: str = "") -> list[JsonObject]:
        """The newest actions, newest first."""
        return await self._parts.store.read(lambda tx: lists.list_actions(tx, limit, tenant))

    def metrics_snapshot(self) -> Mapping[str, list[tuple[dict[str, str], float]]]:
        """Numbers that only the daemon knows; cheap."""
        rulebook = self._parts.rulebook
        ages = self._parts.pulse.ages()
        return {
            "events_total": self.report.by_type(),
            "rules": [
                ({"state": "loaded"}, float(len(rulebook.in_force.rules))),
                ({"state": "quarantined"}, float(rulebook.quarantined)),
            ],
            "reloads_total": [({"result": name}, float(count)) for name, count in self._reloads.items()],
            "loop_age_seconds": [({"loop": loop}, age) for loop, age in ages.items()],
        }


def _needs_restart(before: Config, after: Config) -> list[str]:
    """The parts of the config that differ and are only read at a start."""
    parts = ("timezone", "tenants", "safety", "store", "server")
    return [name for name in parts if getattr(before, name) != getattr(after, name)]
