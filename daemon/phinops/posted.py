"""What is posted to hooks: let in when its signature fits, and recorded before it is answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from zoneinfo import ZoneInfo

import structlog

from phinops.arrive.arrival import Arrival
from phinops.arrive.hooks import HookRefused, receive
from phinops.clock import Clock
from phinops.config import Hook
from phinops.errors import ConfigError, StoreError

log = structlog.get_logger(__name__)


class Posted:
    """Lets posts in by `take`, as of a tenant; `hooks` are those of the config as it is now."""

    def __init__(
        self,
        tenant: str,
        hooks: Callable[[], Mapping[str, Hook]],
        take: Callable[[Arrival], Awaitable[object]],
        clock: Clock,
        zone: ZoneInfo,
    ) -> None:
        self._tenant = tenant
        self._hooks = hooks
        self._take = take
        self._clock = clock
        self._zone = zone

    async def hook(self, name: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
        """Take a posted message in: the HTTP status, 202 when it is recorded, and the reason otherwise."""
        hook = self._hooks().get(name)
        if hook is None:
            return 404, f"there is no hook «{name}»"
        now = self._clock.now().astimezone(self._zone)
        try:
            found = receive(name, hook.secret.reveal(), headers, body, now, tenant=self._tenant)
            if isinstance(found, HookRefused):
                return found.status, found.reason
            await self._take(Arrival("hooks", self._tenant, (found,)))
        except (ConfigError, ValueError) as error:
            log.warning("hook.secret", hook=name, reason=str(error))
            return 503, "the hook's secret cannot be used"
        except StoreError as error:
            log.warning("hook.unrecorded", hook=name, reason=str(error))
            return 503, "the store cannot be written"
        return 202, ""
