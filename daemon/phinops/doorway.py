"""What others post: a message to a hook of the config, checked and handed on as an event."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import structlog

from phinops.arrive.arrival import Arrival
from phinops.arrive.hooks import HookRefused, receive
from phinops.clock import Clock
from phinops.config import Config, Hook
from phinops.errors import ConfigError, StoreError

log = structlog.get_logger(__name__)


class Doorway:
    """Takes posted messages in. `hooks` are those in force now; `take` records what arrives."""

    def __init__(
        self,
        config: Config,
        hooks: Callable[[], Mapping[str, Hook]],
        clock: Clock,
        take: Callable[[Arrival], Awaitable[object]],
    ) -> None:
        self._config = config
        self._hooks = hooks
        self._clock = clock
        self._take = take

    async def hook(self, name: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
        """The HTTP status, 202 when the message is recorded, and the reason otherwise."""
        hook = self._hooks().get(name)
        if hook is None:
            return 404, f"there is no hook «{name}»"
        try:
            secret = hook.secret.reveal()
            tenant = self._config.tenants[0].name
            now = self._clock.now().astimezone(self._config.timezone)
            found = receive(name, secret, headers, body, now, tenant=tenant)
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
