"""The daemon as a whole: what it is made of is opened here, run here, and stopped here."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import anyio
import structlog

from phinops.answering import Answering
from phinops.arrive.arrival import Arrival
from phinops.arrive.lasting import Asked
from phinops.carryover import carry_over
from phinops.channels import Notices
from phinops.clock import Clock
from phinops.config import Config
from phinops.course import Courses
from phinops.crew import Crew
from phinops.crons import Crons
from phinops.decide.language import Language
from phinops.decide.rule import Cares
from phinops.doorway import Doorway
from phinops.errors import StoreError
from phinops.event import Event, JsonObject
from phinops.execute.act import Actor, Kit
from phinops.execute.bells import Bells
from phinops.execute.brake import Brake
from phinops.execute.hold import Holds
from phinops.execute.notify.post import Post
from phinops.execute.send import Transport
from phinops.execute.steps.table import STEPS
from phinops.execute.web import Web
from phinops.firing import Firing
from phinops.leases import Leases
from phinops.operator_call import OperatorCalls
from phinops.pipeline import Pipeline, Taken
from phinops.pulse import Pulse
from phinops.quota import Quotas
from phinops.record import journal, pausing
from phinops.record.book import Book
from phinops.record.spends import Key
from phinops.record.sqlite import Store
from phinops.recording import InForce, permit_again
from phinops.reloads import Reloads
from phinops.report import Report
from phinops.resolutions import Resolutions
from phinops.retention import Retention
from phinops.rulebook import Reload, Rulebook
from phinops.safeguards import KillSwitch, rails_of, tell_if_open
from phinops.second_look import SecondLooks
from phinops.silencing import Silences
from phinops.spoken import SpokenWords
from phinops.storewatch import StoreWatch
from phinops.telling import Telling
from phinops.tenant import Common, Serving, limiters, serving
from phinops.timers import SPENDER, Timers
from phinops.undo import Undoing
from phinops.vitals import Health, Vitals
from phinops.watch import LONGEST_CALL, watches_of

log = structlog.get_logger(__name__)


_DRAIN_GRACE = 5.0
"""Seconds beyond the longest time-out that a stop waits for writes that are under way."""


@dataclass(frozen=True, slots=True)
class _Parts:
    """What `open` has opened."""

    common: Common
    book: Book
    rulebook: Rulebook
    notices: Notices
    servings: Mapping[str, Serving]
    web: Web
    crew: Crew
    pulse: Pulse
    brake: Brake
    polls: bool

    @property
    def store(self) -> Store:
        return self.common.store


class Daemon(Telling):
    """The running service. Make one with `Daemon.open`, then `run` it."""

    def __init__(self, config: Config, parts: _Parts) -> None:
        super().__init__(parts.store, parts.rulebook.language, config.timezone)
        self._config = config
        self._parts = parts
        self._clock = clock = parts.common.clock
        self._stop = anyio.Event()
        self._left: list[tuple[Firing, Event]] = []
        self.report = Report(clock)
        words = SpokenWords(parts.rulebook.language, clock)
        hands = {name: each.hands for name, each in parts.servings.items()}
        self._bells = Bells()
        self.answering = Answering(parts.store, self._bells, clock, config.timezone)
        kit = Kit(
            parts.book, words, hands, clock, Holds(), self._bells, parts.web, parts.common.rails, parts.brake,
            self._take_own, parts.notices.tell, lambda: parts.notices.names,
        )  # fmt: skip
        actor = Actor(kit, STEPS)
        glasses = {name: each.glass for name, each in parts.servings.items()}
        self._courses = Courses(parts.store, actor, words, glasses, clock, parts.crew, permit_again)
        self._pipeline = Pipeline(
            parts.store, parts.rulebook.language, self._in_force, self._courses, clock, self._tell
        )
        self._reloads = Reloads(config, parts.rulebook, self._pipeline, parts.notices, parts.store, clock)
        self._timers = Timers(
            parts.store,
            self._pipeline,
            {name: each.watched for name, each in parts.servings.items()},
            lambda: _asked(parts.rulebook),
            clock,
            config.timezone,
            lambda silent: parts.pulse.beat(SPENDER, silent),
        )
        self._calls = OperatorCalls(parts.store, parts.common)
        self._leases = Leases(
            parts.store, self._pipeline, self._courses, parts.notices, tuple(parts.servings), clock, config.timezone,
            lambda silent: parts.pulse.beat("leases", silent),
        )  # fmt: skip
        parts.book.on_lease(self._leases.woken)
        self._undoing = Undoing(parts.common, parts.servings, self._pipeline, self._courses)
        polled = parts.servings.values() if parts.polls else ()
        self._watches = watches_of(polled, clock, config.timezone, parts.pulse, self._cares, self.take)
        self._doorway = Doorway(config, lambda: self._reloads.config.hooks, self._watches, clock, self.take, parts.crew)
        self._crons = Crons(
            parts.servings, parts.store, lambda: self._in_force().rules, self.take, clock, config.timezone, parts.pulse
        )
        self._quotas = Quotas(parts.store, parts.servings.values(), clock, config.timezone, parts.pulse, self._take_own)
        everybody = ", ".join(parts.servings)
        self._store_watch = StoreWatch(
            parts.store, lambda alarm: parts.notices.tell(everybody, alarm), self._tell_quarantine, clock, parts.pulse
        )
        settlers = {name: each.settler for name, each in hands.items()}
        self._looks = SecondLooks(parts.store, settlers, STEPS, clock, parts.pulse, parts.notices)
        self._retention = Retention(
            parts.store, config.store, lambda: self._in_force().rules, self._pipeline.forget_sets, clock,
            config.timezone, parts.pulse,
        )  # fmt: skip
        self.resolutions = Resolutions(parts.store, hands, STEPS, self._courses.begin)
        self.kill_switch = KillSwitch(parts.store, parts.brake, config.timezone)
        self.notices = parts.notices
        self.silences = Silences(parts.store, clock, config.timezone)
        self._vitals = Vitals(
            parts.store, tuple(parts.servings.values()), self._watches, parts.pulse, config.timezone,
            self.kill_switch.told,
        )  # fmt: skip

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        config: Config,
        *,
        clock: Clock,
        shadow: bool = False,
        store: Store | None = None,
        transport: Transport | None = None,
        mail: Transport | None = None,
        rulebook: Rulebook | None = None,
        polls: bool = True,
    ) -> AsyncGenerator[Daemon]:
        """Everything opened and the rules loaded; nothing polled yet. What is opened is closed when the context ends.

        A `store` that is given is used instead of the config's and stays open; `transport` carries the calls to
        Dataphin in the network's stead, `mail` those to everybody else; a `rulebook` has read its rules already.
        Without `polls` nothing is asked for changes: what arrives is brought by `take`.

        Raises:
            ConfigError: a secret cannot be used.
            StoreError: the store cannot be opened; `StoreHeld` when another daemon has it.
        """
        async with AsyncExitStack() as stack:
            if store is None:
                store = await stack.enter_async_context(Store.open(config.store.path, clock))
            # The limiters first: they leave a second empty from here on, in which the rules can be read.
            limiter_of = await stack.enter_async_context(limiters(config.tenants, store, clock, config.timezone))
            rules = rulebook or Rulebook(config, Language(config.timezone), shadow=shadow)
            post = await stack.enter_async_context(Post(transport=mail))
            notices = Notices(config.notifiers, store, post, clock, config.server.public_url)
            web = await stack.enter_async_context(Web(transport=mail))
            crew, pulse, rails = Crew(), Pulse(clock), rails_of(config)
            book = Book(
                store,
                notices.wake,
                lambda failed: tell_if_open(failed, rails, crew, notices.tell),
                notices.tell_unrecorded,
            )
            common = Common(
                store=store,
                journal=book,
                clock=clock,
                zone=config.timezone,
                rails=rails,
                group=crew,
                wanted=lambda: rules.in_force.rules.event_types,
                lasting=lambda: _asked(rules),
                tell=notices.tell,
                moves=lambda: pulse.moves(LONGEST_CALL),
                transport=transport,
            )
            servings = {
                tenant.name: await stack.enter_async_context(serving(tenant, limiter_of[tenant.name], common))
                for tenant in config.tenants
            }
            await stack.enter_async_context(crew.working())
            log.info("rules.loaded", rules=len(rules.in_force.rules), quarantined=rules.quarantined)
            brake = Brake(await store.read(pausing.pause_of), config.timezone)
            daemon = cls(config, _Parts(common, book, rules, notices, servings, web, crew, pulse, brake, polls))
            # Read here: once the daemon is in somebody's hands a hook may bring firings, which begin at once.
            await carry_over(store, rules.language, rules.in_force, clock)
            daemon._left = await daemon._courses.left_open()
            await daemon._timers.load()
            await daemon._retention.look()
            yield daemon

    async def run(self) -> None:
        """Serve until `stop` was called, then let what is under way be answered.

        Raises:
            StoreLost: another process has taken the store over.
        """
        await self._parts.store.write(journal.abandon_operator_calls)
        left, self._left = self._left, []
        await self._courses.resume(left)
        log.info("daemon.started", resumed=len(left), epoch=self._parts.store.epoch)
        async with anyio.create_task_group() as loops:
            for watch in self._watches:
                loops.start_soon(watch.run)
            notices = self._parts.notices
            for loop in (
                *self._crons.loops(), self._timers.run, self._leases.run, notices.run, self._store_watch.run,
                self._quotas.run, self._looks.run, self._retention.run,
            ):  # fmt: skip
                loops.start_soon(loop)
            await self._stop.wait()
            loops.cancel_scope.cancel()
        await self._drain()

    def stop(self) -> None:
        """Ask `run` to end."""
        self._vitals.stopping = True
        self._stop.set()

    async def _drain(self) -> None:
        longest = max(each.config.timeout.total_seconds() for each in self._parts.servings.values())
        with anyio.move_on_after(longest + _DRAIN_GRACE):
            async with anyio.create_task_group() as group:
                group.start_soon(self._calls.drain)
                for each in self._parts.servings.values():
                    group.start_soon(each.desk.drain)
        log.info("daemon.drained")

    # What arrives

    async def take(self, arrival: Arrival) -> Taken:
        """Let in what arrives: recorded, decided and begun.

        Raises:
            StoreError: nothing was recorded; the same arrival may be brought again.
        """
        try:
            return await self._timers.take(arrival)
        except StoreError:
            self._store_watch.doubt()
            raise

    async def _take_own(self, event: Event) -> None:
        """An event of the daemon's own, told in the zone of the config as all others are."""
        told = replace(event, time=event.time.astimezone(self._config.timezone))
        await self.take(Arrival(event.source, event.tenant, (told,)))

    def _tell(self, events: Sequence[Event]) -> None:
        self.report.saw(events)
        self._bells.saw(events)
        self._leases.saw(events)

    def _in_force(self) -> InForce:
        """Asked anew for each arrival: a reload puts others in force."""
        return self._parts.rulebook.in_force

    def _cares(self, family: str) -> Cares | None:
        return self._in_force().rules.cares(family)

    async def hook(self, name: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
        """Take a posted message in: the HTTP status, 202 when it is recorded, and the reason otherwise."""
        return await self._doorway.hook(name, headers, body)

    # What leaves

    async def call(
        self,
        api: str,
        params: JsonObject,
        wait: timedelta,
        tenant: str | None,
        *,
        override: bool = False,
        by: str = "api",
    ) -> JsonObject:
        """One call of a person's own; with `override` also on what is protected; `by` is who asks.

        Raises:
            ValueError: the API, a parameter or the tenant is unknown, or the edition does not have it.
            QuotaSpent, ApiError: as their names say.
        """
        name = tenant or next(iter(self._parts.servings))
        if name not in self._parts.servings:
            raise ValueError(f"there is no tenant «{name}»; there are {', '.join(self._parts.servings)}")
        return await self._calls.call(self._parts.servings[name], api, params, wait, override=override, by=by)

    async def undo_preview(self, action_id: str) -> JsonObject:
        """What `undo` would send, with the target read; raises as `Undoing.preview` does."""
        return await self._undoing.preview(action_id)

    async def undo(self, action_id: str, who: str, why: str, wait: timedelta) -> JsonObject:
        """Take an action back for a person; raises as `Undoing.undo` does."""
        return await self._undoing.undo(action_id, who, why, wait)

    # What is in force

    async def reload(self, config: Config | None = None) -> Reload:
        """Read config and rules again. What is sound is in force at once; a broken rule stays as it was last good.

        A `config` that is given is taken in place of what its file says now.
        """
        asked = _asked(self._parts.rulebook)
        found = await self._reloads.reload(config)
        self._store_watch.doubt()
        if "refused" not in found.changed:
            self._rules_changed(more=bool(_asked(self._parts.rulebook) - asked))
        return found

    def _rules_changed(self, *, more: bool) -> None:
        """Sources and timers look at what is asked of them now; `more` says that it is more than before."""
        self._crons.changed()
        for watch in self._watches:
            watch.pacer.nudge(look=more and watch.source.name == "instances")
        self._timers.changed()

    async def _tell_quarantine(self) -> None:
        await self._reloads.tell_quarantine(tuple(self._parts.servings), self._take_own)

    # How it is

    def ready(self) -> Health:
        """The store can be written, stock was taken, no source is stale, and nobody has asked the daemon to stop."""
        return self._vitals.ready()

    def healthy(self) -> Health:
        """Every loop moves."""
        return self._vitals.healthy()

    def status(self) -> JsonObject:
        """What `phinops status --json` prints."""
        return {**self._vitals.status(), "store": self._retention.told()}

    def calls_today(self) -> Mapping[int, int]:
        """Today's calls by level, over all accounts."""
        return self._vitals.calls_today()

    async def quota(self, by: Key | None = None, limit: int = 10, tenant: str = "") -> list[JsonObject]:
        """How every pool of the quota stands, and its `limit` biggest spenders, told apart by `by`.

        Raises:
            StoreError: the store cannot be read.
        """
        return await self._quotas.tell(by, limit, tenant)

    async def quota_samples(self) -> Mapping[str, list[tuple[dict[str, str], float]]]:
        """The numbers of the quota that need the store, to publish.

        Raises:
            StoreError: the store cannot be read.
        """
        return await self._quotas.samples()

    def metrics_snapshot(self) -> Mapping[str, list[tuple[dict[str, str], float]]]:
        """Numbers that only the daemon knows; cheap."""
        rulebook = self._parts.rulebook
        return {
            "events_total": self.report.by_type(),
            "calls_today": [({"level": str(level)}, float(count)) for level, count in self.calls_today().items()],
            "rules": [
                ({"state": "loaded"}, float(len(rulebook.in_force.rules))),
                ({"state": "quarantined"}, float(rulebook.quarantined)),
            ],
            "reloads_total": [({"result": name}, float(count)) for name, count in self._reloads.results.items()],
            "loop_age_seconds": self._vitals.loop_ages(),
            **self._retention.samples(),
        }


def _asked(rulebook: Rulebook) -> frozenset[Asked]:
    """What the rules in force call too long."""
    return frozenset(Asked(*each) for each in rulebook.in_force.rules.lasting)
