"""What is posted to `/hooks/NAME`: proven, recorded, and, where it comes from Dataphin, taken for what it tells of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

import structlog

from phinops.arrive.arrival import Arrival
from phinops.arrive.hooks import HookRefused, Proof, receive
from phinops.clock import Clock
from phinops.config import Config, Hook
from phinops.errors import ConfigError, PhinopsError, StoreError
from phinops.event import Event
from phinops.execute.desk import Starter
from phinops.vendor import Message, read_message
from phinops.watch import Watch

log = structlog.get_logger(__name__)


class Doorway:
    """Takes posted messages in. `hooks` are those in force now; `take` records what arrives."""

    def __init__(
        self,
        config: Config,
        hooks: Callable[[], Mapping[str, Hook]],
        watches: Iterable[Watch],
        clock: Clock,
        take: Callable[[Arrival], Awaitable[object]],
        group: Starter,
    ) -> None:
        self._config = config
        self._hooks = hooks
        self._watches = watches
        self._clock = clock
        self._take = take
        self._group = group

    async def hook(self, name: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
        """The HTTP status, 202 when the message is recorded, and the reason otherwise."""
        hook = self._hooks().get(name)
        if hook is None:
            return 404, f"there is no hook «{name}»"
        tenant = hook.tenant or self._config.tenants[0].name
        found = self._receive(name, hook, tenant, headers, body)
        if isinstance(found, HookRefused):
            return found.status, found.reason
        try:
            message = read_message(found.body, self._config.timezone) if hook.format else None
        except ValueError as error:
            return 400, f"not a message of Dataphin's: {error}"
        try:
            await self._take(Arrival("hooks", tenant, (found,)))
        except StoreError as error:
            log.warning("hook.unrecorded", hook=name, reason=str(error))
            return 503, "the store cannot be written"
        if message:
            # Whoever posts need not wait for a poll that is under way; if this ends early, a poll finds the alert.
            self._group.start_soon(self._tell, tenant, message)
        return 202, ""

    def _receive(
        self, name: str, hook: Hook, tenant: str, headers: Mapping[str, str], body: bytes
    ) -> Event | HookRefused:
        now = self._clock.now().astimezone(self._config.timezone)
        try:
            proof = Proof(hook.secret.reveal(), hook.auth, hook.header, hook.id_header)
            return receive(name, proof, headers, body, now, tenant=tenant)
        except (ConfigError, ValueError) as error:
            log.warning("hook.secret", hook=name, reason=str(error))
            return HookRefused(503, "the hook's secret cannot be used")

    async def _tell(self, tenant: str, message: Message) -> None:
        for watch in self._watches:
            if watch.tenant == tenant:
                try:
                    await watch.told(message)
                except PhinopsError as error:
                    log.warning("push.untaken", tenant=tenant, alert=message.alert.id, reason=str(error))
