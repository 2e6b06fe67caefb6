"""Other rules, put in force while the daemon runs: read, what waits carried over, and what was left out told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import structlog

from phinops.carryover import Carried, carry_over
from phinops.channels import Notices
from phinops.clock import Clock
from phinops.config import Config, load_config
from phinops.errors import ConfigError, StoreError
from phinops.event import Event
from phinops.pipeline import Pipeline
from phinops.record.sqlite import Store
from phinops.rulebook import Reload, Rulebook

log = structlog.get_logger(__name__)


class Reloads:
    """Holds the config as it was last read. `results` counts reloads that were accepted and refused."""

    def __init__(
        self, config: Config, rulebook: Rulebook, pipeline: Pipeline, notices: Notices, store: Store, clock: Clock
    ) -> None:
        self.config = config
        self.results: Counter[str] = Counter()
        self._rulebook = rulebook
        self._pipeline = pipeline
        self._notices = notices
        self._store = store
        self._clock = clock
        self._untold = True

    async def reload(self, config: Config | None = None) -> Reload:
        """Read config and rules again. What is sound is in force at once; a broken rule stays as it was last good.

        A `config` that is given is taken in place of what its file says now. A reload that gives a reason under
        `refused` of its `changed` has changed nothing.
        """
        try:
            config = config or (load_config(self.config.file) if self.config.file else self.config)
            self._notices.replace(config.notifiers)
        except ConfigError as error:
            return self._refuse(str(error), Reload(False, error.problems, {"refused": str(error)}))
        try:
            found, carried = await self._put_in_force(config)
        except StoreError as error:
            self._notices.replace(self.config.notifiers)
            return self._refuse(str(error), Reload(False, (), {"refused": f"nothing was changed: {error}"}))
        needs = _needs_restart(self.config, config)
        self.config = self.config.model_copy(
            update={"rules": config.rules, "notifiers": config.notifiers, "hooks": config.hooks}
        )
        self._untold = True
        self.results["accepted" if found.accepted else "refused"] += 1
        names = {name: found.changed[name] for name in ("added", "removed", "changed")}
        log.info("rules.reloaded", accepted=found.accepted, **names, diff=list(map(str, found.diff)))
        return replace(found, changed={**found.changed, "restart": needs, "carried": carried.to_json()})

    def _refuse(self, reason: str, answer: Reload) -> Reload:
        self.results["refused"] += 1
        log.warning("reload.refused", reason=reason)
        return answer

    async def _put_in_force(self, config: Config) -> tuple[Reload, Carried]:
        """Read the rules and put them in force, with what waits carried over, as if at one moment."""
        async with self._pipeline.halted():
            edition = self._rulebook.read(config)
            carried, outcome = await carry_over(self._store, self._rulebook.language, edition.in_force, self._clock)
            self._rulebook.put_in_force(edition)
        self._pipeline.go_on(outcome)
        return edition.reload, carried

    async def tell_quarantine(self, tenants: Sequence[str], take: Callable[[Event], Awaitable[None]]) -> None:
        """Tell once of each reading of the rules what it left out.

        Raises:
            StoreError: not all of it could be told; it is told anew next time, and each is the same event as before.
        """
        if not self._untold:
            return
        self._untold = False
        try:
            for event in self._rulebook.quarantine_events(tenants, self._clock.now()):
                await take(event)
        except StoreError:
            self._untold = True
            raise


def _needs_restart(before: Config, after: Config) -> list[str]:
    """The parts of the config that differ and are only read at a start."""
    parts = ("timezone", "tenants", "safety", "store", "server")
    return [name for name in parts if getattr(before, name) != getattr(after, name)]
