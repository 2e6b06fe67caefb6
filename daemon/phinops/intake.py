"""What is posted to `/hooks/NAME`: proven, recorded, and, where it comes from Dataphin, taken for what it tells of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import structlog

from phinops.arrive.arrival import Arrival
from phinops.arrive.hooks import HookRefused, Proof, receive
from phinops.clock import Clock
from phinops.config import Hook
from phinops.errors import ConfigError, PhinopsError, StoreError
from phinops.execute.desk import Starter
from phinops.pipeline import Taken
from phinops.vendor import Message, read_message
from phinops.watch import Watch

log = structlog.get_logger(__name__)

Take = Callable[[Arrival], Awaitable[Taken]]


@dataclass(frozen=True, slots=True)
class Intake:
    """Takes messages. `hooks` are those of the config now in force, `tenant` is whose they are unless they say so."""

    hooks: Callable[[], Mapping[str, Hook]]
    tenant: str
    watches: Iterable[Watch]
    take: Take
    clock: Clock
    zone: ZoneInfo
    group: Starter

    async def post(self, name: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
        """Take a posted message in: the HTTP status, 202 when it is recorded, and the reason otherwise."""
        hook = self.hooks().get(name)
        if hook is None:
            return 404, f"there is no hook «{name}»"
        tenant = hook.tenant or self.tenant
        try:
            proof = Proof(hook.secret.reveal(), hook.auth, hook.header, hook.id_header)
            found = receive(name, proof, headers, body, self.clock.now().astimezone(self.zone), tenant=tenant)
        except (ConfigError, ValueError) as error:
            log.warning("hook.secret", hook=name, reason=str(error))
            return 503, "the hook's secret cannot be used"
        if isinstance(found, HookRefused):
            return found.status, found.reason
        try:
            message = read_message(found.body, self.zone) if hook.format else None
        except ValueError as error:
            return 400, f"not a message of Dataphin's: {error}"
        try:
            await self.take(Arrival("hooks", tenant, (found,)))
        except StoreError as error:
            log.warning("hook.unrecorded", hook=name, reason=str(error))
            return 503, "the store cannot be written"
        if message:
            # Whoever posts need not wait for a poll that is under way; if this ends early, a poll finds the alert.
            self.group.start_soon(self._tell, tenant, message)
        return 202, ""

    async def _tell(self, tenant: str, message: Message) -> None:
        for watch in self.watches:
            if watch.tenant == tenant:
                try:
                    await watch.told(message)
                except PhinopsError as error:
                    log.warning("push.untaken", tenant=tenant, alert=message.alert.id, reason=str(error))
