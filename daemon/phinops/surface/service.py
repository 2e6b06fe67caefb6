"""What the surface needs of the daemon, and nothing more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Any, Literal, Protocol

from phinops.answering import Answering
from phinops.event import JsonObject
from phinops.problem import Problem
from phinops.record.audit import Wanted

Health = tuple[bool, list[str]]
"""Whether it is so, and if not the reasons."""

Samples = Mapping[str, Iterable[tuple[Mapping[str, str], float]]]
"""Numbers to publish: a name of `metrics.FAMILIES`, and for each combination of its labels the value now."""


QuotaKey = Literal["api", "source", "rule", "firing"]
"""What the spenders of the quota may be told apart by."""


class Reloaded(Protocol):
    """What became of a reload: when it was not accepted, something has a mistake and stays as it was."""

    @property
    def accepted(self) -> bool:
        """Whether nothing that was read has a mistake."""
        ...

    @property
    def problems(self) -> Sequence[Problem]:
        """Every mistake and warning."""
        ...

    @property
    def changed(self) -> Mapping[str, Any]:
        """Rules by id that were added, removed or changed, and what needs a restart."""
        ...


ResolveAs = Literal["done", "absent", "abandon"]
"""What a person may say of a write of unknown fate."""


class Resolving(Protocol):
    """Decides what became of writes whose fate could not be read."""

    async def look(self, action_id: str) -> JsonObject | None:
        """What is known of a write, and how its target looks now if its fate is not known; None: there is none.

        Raises:
            StoreError: the store cannot be read.
        """
        ...

    async def resolve(self, action_id: str, answer: ResolveAs, by: str, reason: str) -> JsonObject | None:
        """Record what a person says of it, and let what waited for that go on; None: there is no such write.

        Raises:
            NotUnknown: it does not have to be decided, or somebody else just did.
            StoreError: it could not be recorded.
        """
        ...


class KillSwitch(Protocol):
    """Whether any write may leave. What is asked for is recorded with who asked, and survives restarts.

    Raises:
        StoreError: it could not be recorded, and nothing has changed.
    """

    async def pause(self, by: str, reason: str) -> JsonObject:
        """Lets no write leave; `{at, by, reason}` of who did so first."""
        ...

    async def resume(self, by: str) -> JsonObject | None:
        """Lets writes leave again; the pause that is over, or None when there was none."""
        ...


class Silencing(Protocol):
    """What persons silence. Raises StoreError: the store does not work."""

    async def add(self, parts: Mapping[str, str], ends: datetime, *, author: str, reason: str) -> JsonObject:
        """Silence from now on. Raises ValueError: something is missing or out of bounds."""
        ...

    async def end(self, silence_id: str, *, by: str) -> bool:
        """End it now; False when there is none of that id that is not over yet."""
        ...

    async def listed(self, limit: int, *, ended: bool = False) -> list[JsonObject]:
        """The newest first; with `ended` also those that are over."""
        ...


class Telling(Protocol):
    """What people were told. Raises StoreError: the store does not work."""

    async def listed(self, limit: int, zone: tzinfo, *, state: str = "", notifier: str = "") -> list[JsonObject]:
        """The newest notices, newest first, in one state or in any, for one notifier or for all."""
        ...

    async def send_again(self, by: str, id: str = "") -> list[str]:
        """Try what is dead once more, the one or all; those that are on their way again."""
        ...


class Service(Protocol):
    """The running daemon, as the API, the metrics and the hooks see it."""

    @property
    def resolutions(self) -> Resolving:
        """Decides by hand what reading could not settle."""
        ...

    @property
    def notices(self) -> Telling:
        """What people were told."""
        ...

    @property
    def zone(self) -> tzinfo:
        """In which times are told."""
        ...

    @property
    def silences(self) -> Silencing:
        """What persons silence."""
        ...

    @property
    def kill_switch(self) -> KillSwitch:
        """What `pause` and `resume` move."""
        ...

    def status(self) -> JsonObject:
        """`{ready, reasons, paused, tenants: [{name, sources, quota}], store}` as `phinops status --json` prints it."""
        ...

    def ready(self) -> Health:
        """Whether it may be relied on: a store that takes writes, a first look by every source, none of them stale."""
        ...

    def healthy(self) -> Health:
        """Every loop moves."""
        ...

    async def events(self, limit: int, tenant: str = "") -> list[JsonObject]:
        """The newest events of one tenant, or without a name of all, newest first."""
        ...

    async def firings(self, limit: int, tenant: str = "") -> list[JsonObject]:
        """The newest decisions, newest first."""
        ...

    async def actions(self, limit: int, tenant: str = "") -> list[JsonObject]:
        """The newest actions, newest first."""
        ...

    async def leases(self, limit: int, tenant: str = "") -> list[JsonObject]:
        """The newest leases of pauses, newest first."""
        ...

    async def undo_preview(self, action_id: str) -> JsonObject:
        """What `undo` would send: `{action, step, api, params, target, project_id, tenant, rule}`.

        Raises:
            LookupError: no such action is on record.
            NotUndone: it cannot be taken back; the text says why.
            QuotaSpent, ApiError: its target cannot be read.
        """
        ...

    async def undo(self, action_id: str, who: str, why: str, wait: timedelta) -> JsonObject:
        """Takes an action back, and waits so long for the end.

        `{action, firing_id, state, reason, undone_by, outcome}`; `outcome` is "" while it is under way.

        Raises:
            LookupError, NotUndone: as `undo_preview`.
        """
        ...

    async def recorded(self, tenant: str, since: datetime, after: int, limit: int) -> JsonObject:
        """`{newest, pruned, next, events}`: events of a tenant as they arrived, with the decisions on them.

        Raises:
            StoreError: the store cannot be read.
        """
        ...

    async def audit(self, wanted: Wanted, after: int, limit: int) -> JsonObject:
        """`{next, lines}`: lines of the audit, oldest first, after the number `after`.

        Raises:
            StoreError: the store cannot be read.
        """
        ...

    async def backup(self) -> str:
        """Makes a copy of the store as it is now; the path of its file, which whoever asked deletes.

        Raises:
            StoreError: there is no room for it, or the store is damaged.
        """
        ...

    async def explain(self, name: str, rule: str = "") -> list[JsonObject] | None:
        """Why each rule did what it did about an event, named by its id or a firing's; None when it is not on record.

        Raises:
            StoreError: the store cannot be read.
        """
        ...

    @property
    def answering(self) -> Answering:
        """What people are asked, and their answers."""
        ...

    async def quota(self, by: QuotaKey | None = None, limit: int = 10, tenant: str = "") -> list[JsonObject]:
        """How every pool of the quota stands, with its biggest spenders, as `phinops quota --json` prints it.

        Raises:
            StoreError: the store cannot be read.
        """
        ...

    async def quota_samples(self) -> Samples:
        """The numbers of the quota that need the store, to publish.

        Raises:
            StoreError: the store cannot be read.
        """
        ...

    async def counts(self) -> JsonObject:
        """Totals of the store: `{events, firings, actions: {OUTCOME: n}, notices: {STATE: n}, open, doubled,
        leases}`.

        Raises:
            StoreError: the store cannot be read.
        """
        ...

    async def reload(self) -> Reloaded:
        """Reads config and rules again; what is broken stays as it was last good."""
        ...

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
        """One call through the limiter and the ledger; the service's own reply. `override`: also on what is
        protected; `by` is who asks.

        Raises:
            ValueError: the API, a parameter or the tenant is unknown, or the edition does not have it.
            QuotaSpent, ApiError: as their names say.
        """
        ...

    async def hook(self, name: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
        """Takes an authenticated message in: an HTTP status (202 when accepted) and the reason otherwise."""
        ...

    def metrics_snapshot(self) -> Samples:
        """The numbers to publish now; cheap, and safe to read from another thread once returned."""
        ...
