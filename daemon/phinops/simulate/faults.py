"""Faults on purpose: by API, so often, so likely, from when until when."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase
from random import Random
from typing import Literal, get_args

from phinops.catalog.catalog import is_read
from phinops.errors import ConfigError

Kind = Literal[
    "throttle",  # refused before the work, with `headers`, to come back after `seconds`
    "refuse",  # refused before the work with `code`, `message` and `status` (0: as business errors are)
    "error",  # HTTP 500 InternalError before the work
    "unavailable",  # HTTP 503 ServiceUnavailable before the work
    "bad_gateway",  # HTTP 502 Dataphin.OpenAPI.BadGateway, not done
    "bad_gateway_after",  # the same, after it was done
    "html",  # HTTP 502 with a page of HTML, not done
    "html_after",  # the same, after it was done
    "hang",  # never answered, not done
    "hang_after",  # never answered, but done
    "reset",  # the connection is reset, not done
    "reset_after",  # the connection is reset, but done
    "slow",  # done at once, answered `seconds` of the machine's clock later
]
KINDS: frozenset[str] = frozenset(get_args(Kind))
AFTER = frozenset({"bad_gateway_after", "html_after", "hang_after", "reset_after", "slow"})
"""These strike when the work is done; a call that was refused for itself spends none of them."""


@dataclass(slots=True, eq=False)
class Fault:
    """One fault. `api` may hold `*`; `count` None is no end; `after` and `until` are clock seconds since the start."""

    kind: Kind
    api: str = "*"
    only: Literal["reads", "writes"] | None = None
    count: int | None = None
    probability: float = 1.0
    after: float = 0.0
    until: float | None = None
    seconds: float = 0.0
    code: str = ""
    message: str = ""
    status: int = 0
    headers: Literal["acs", "ratelimit", "none"] | None = None
    struck: int = 0

    def fits(self, api: str, since_start: float) -> bool:
        """Whether it may strike that call now; chance aside."""
        if self.count is not None and self.struck >= self.count:
            return False
        if since_start < self.after or (self.until is not None and since_start >= self.until):
            return False
        if self.only is not None and (self.only == "reads") != is_read(api):
            return False
        return fnmatchcase(api, self.api)


class Faults:
    """The faults of one simulator, first added first asked. `struck` counts by kind."""

    def __init__(self, random: Random) -> None:
        self.struck: Counter[str] = Counter()
        self._faults: list[Fault] = []
        self._random = random

    def add(self, fault: Fault) -> Fault:
        """Let `fault` strike from now on.

        Raises:
            ConfigError: there is no such kind.
        """
        if fault.kind not in KINDS:
            raise ConfigError(f"«{fault.kind}» is no kind of fault: choose one of {', '.join(sorted(KINDS))}")
        self._faults.append(fault)
        return fault

    def remove(self, fault: Fault) -> None:
        """Let `fault` strike no more; one that is gone already is fine."""
        if fault in self._faults:
            self._faults.remove(fault)

    def clear(self) -> None:
        """No more faults."""
        self._faults.clear()

    def strike(self, api: str, since_start: float, *, after: bool) -> Fault | None:
        """The fault that strikes this call before the work, or after it; it is counted."""
        for fault in self._faults:
            if (fault.kind in AFTER) is not after or not fault.fits(api, since_start):
                continue
            if fault.probability < 1.0 and self._random.random() >= fault.probability:
                continue
            fault.struck += 1
            self.struck[fault.kind] += 1
            return fault
        return None
