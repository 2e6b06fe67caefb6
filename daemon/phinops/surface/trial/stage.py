"""The real daemon in virtual time, with a made-up Dataphin, moved on step by step."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import anyio

from phinops.answering import Said
from phinops.approval import Approval
from phinops.arrive.arrival import Arrival
from phinops.clock import LoopClock
from phinops.daemon import Daemon
from phinops.decide.language import Language
from phinops.decide.rule import RuleSet
from phinops.event import Event, JsonObject
from phinops.execute.desk import Starter
from phinops.record.chronicle import Chronicle, chronicle
from phinops.record.recorded import page
from phinops.record.sqlite import MEMORY, Store
from phinops.record.timing import Received
from phinops.rulebook import Reload, Rulebook
from phinops.surface.trial.tenant import Tenant
from phinops.surface.trial.terms import Terms
from phinops.surface.trial.wire import Elsewhere, Wire
from phinops.virtual import FastLoop
from phinops.why import Record, gather

AT_ONCE = 0.2
"""Seconds that lie between things that still happen at once: what the machine takes for itself, such as the moment in
which reads wait for company. The shortest pause of rules, verifications and repetitions is longer."""

LONGEST = 60.0
"""Seconds that all that happens at once takes for itself at most."""

DAWN = datetime(1970, 1, 1, tzinfo=UTC)


class StageClock(LoopClock):
    """Never shows a later time than the one that the trial has come to, and unless it is `exact` whole seconds only:
    what the machine takes for itself is not seen.
    """

    def __init__(self, start: datetime, *, exact: bool = False) -> None:
        # What the loop has run for already is none of the trial's time.
        super().__init__(start - timedelta(seconds=asyncio.get_running_loop().time()))
        self.latest = start
        self._exact = exact

    def now(self) -> datetime:
        now = super().now()
        return min(self.latest, now if self._exact else (now + timedelta(milliseconds=500)).replace(microsecond=0))

    @property
    def behind(self) -> float:
        """Seconds until the loop has come to the time that is shown at the latest."""
        return (self.latest - super().now()).total_seconds()


class Stage:
    """A trial under way. Use `on_stage`."""

    def __init__(
        self,
        terms: Terms,
        rules: Sequence[Path],
        mode: str,
        clock: StageClock,
        store: Store,
        group: Starter,
        *,
        agrees: bool = False,
    ) -> None:
        tenant = terms.config.tenants[0]
        self.name, self.zone = tenant.name, terms.config.timezone
        self.clock = clock
        self.tenant = Tenant(self.zone)
        self.wire = Wire(self.tenant, clock, self.zone, tenant.quota.levels, tenant.biz_date_format)
        self.elsewhere = Elsewhere()
        self._terms = terms
        self._config = terms.config_of(rules)
        self._mode = mode
        self._agrees = agrees
        self._store = store
        self._group = group
        self._life: _Life | None = None

    @property
    def now(self) -> datetime:
        """What the clock shows, in the config's zone."""
        return self.clock.now().astimezone(self.zone)

    @property
    def rules(self) -> RuleSet:
        """The rules in force."""
        return self._running.rulebook.in_force.rules

    @property
    def language(self) -> Language:
        """What the rules are evaluated by."""
        return self._terms.language

    async def start(self) -> None:
        """Start the daemon, on whatever the one before it left."""
        self._life = life = _Life(self._terms.rulebook(self._config, self._mode))
        self._group.start_soon(self._live, life)
        await self._still()

    async def kill(self) -> None:
        """Cut the daemon off, wherever it is."""
        life = self._running
        life.scope.cancel()
        await life.ended.wait()

    async def reload(self, rules: Sequence[Path]) -> Reload:
        """Have the daemon read other rule files; what became of it."""
        self._config = self._terms.config_of(rules)
        assert self._running.daemon
        found = await self._running.daemon.reload(self._config)
        await self._still()
        return found

    async def bring(self, event: Event) -> None:
        """Let an event arrive, and happen what happens at once."""
        assert self._running.daemon
        await self._running.daemon.take(Arrival(event.source, event.tenant, (event,)))
        await self._still()

    async def answer(self, approval_id: str, said: Said, by: str, reason: str) -> None:
        """Let somebody answer what people are asked, and happen what happens at once."""
        assert self._running.daemon
        await self._running.daemon.answering.answer(approval_id, said, by=by, via="cli", reason=reason, wait=0.0)
        await self._still()

    async def asked(self) -> list[Approval]:
        """The questions to people that are open, oldest first."""
        assert self._running.daemon
        return await self._running.daemon.answering.open()

    async def go_to(self, moment: datetime) -> None:
        """Let everything happen that is due up to and including the moment."""
        self.clock.latest = max(moment.astimezone(UTC), self.clock.latest)
        await asyncio.sleep(max(0.0, self.clock.behind))
        await self._still()

    async def record(self) -> Chronicle:
        """Everything that is on record by now."""
        return await self._store.read(chronicle)

    async def records(self, events: Sequence[Received]) -> Sequence[Record]:
        """What is on record of each of these events by now, as `explain` reads it."""
        ids = [each.event.id for each in events]
        found = await self._store.read(lambda tx: [gather(tx, id, self.zone) for id in ids])
        return [each for each in found if each]

    async def recorded(self) -> list[JsonObject]:
        """The events by now with what was decided on them, as `record.recorded.page` tells them."""
        found: JsonObject = await self._store.read(lambda tx: page(tx, self.name, DAWN, 0, sys.maxsize))
        events: list[JsonObject] = found["events"]
        return events

    @property
    def _running(self) -> _Life:
        assert self._life
        return self._life

    async def _still(self) -> None:
        # What is due a moment after the time that is shown looks at the clock again and again: it is left to wait.
        with anyio.move_on_after(LONGEST):
            await cast("FastLoop", asyncio.get_running_loop()).still(AT_ONCE)

    async def _live(self, life: _Life) -> None:
        try:
            with life.scope:
                async with (
                    Daemon.open(
                        self._config,
                        clock=self.clock,
                        store=self._store,
                        transport=self.wire,
                        mail=self.elsewhere,
                        rulebook=life.rulebook,
                        polls=False,
                    ) as life.daemon,
                    anyio.create_task_group() as group,
                ):
                    if self._agrees:
                        group.start_soon(life.daemon.answering.agree, "nobody")
                    await life.daemon.run()
                    group.cancel_scope.cancel()
        finally:
            life.ended.set()


@dataclass(slots=True, eq=False)
class _Life:
    """One process of the daemon, from a start to its death."""

    rulebook: Rulebook
    daemon: Daemon | None = None
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    ended: anyio.Event = field(default_factory=anyio.Event)


@asynccontextmanager
async def on_stage(
    terms: Terms, rules: Sequence[Path], mode: str, start: datetime, *, exact: bool = False, agrees: bool = False
) -> AsyncGenerator[Stage]:
    """A stage on which the daemon runs from `start` on; to be used in the loop of `phinops.virtual.run`.

    Its clock shows whole seconds unless it is to be `exact`; somebody who `agrees` says yes to whatever is asked.
    """
    clock = StageClock(start.astimezone(UTC), exact=exact)
    async with Store.open(MEMORY, clock) as store, anyio.create_task_group() as group:
        stage = Stage(terms, rules, mode, clock, store, group, agrees=agrees)
        await stage.start()
        yield stage
        await stage.kill()
