"""What stands before the tenant: key, clock, signature, nonce, API, quota, edition, caller, in this order."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from phinops.catalog.catalog import ApiSpec, Catalog, Edition, is_read
from phinops.catalog.quotas import QuotaPlan, allowed, level_of
from phinops.clock import Clock
from phinops.simulate.calendar import Calendar
from phinops.simulate.model import User
from phinops.simulate.quirks import Quirks
from phinops.simulate.refusal import Refusal
from phinops.simulate.signature import VERSION, Claim, Request, check_signature, read_claim

CLOCK_TOLERANCE = 900.0
"""Seconds that a request's date may be off; as long is its nonce remembered, both ways."""


@dataclass(slots=True)
class Key:
    """A key pair of the account. One that is not `writes` has the read-only policy."""

    id: str
    secret: str
    user: User
    writes: bool = True
    active: bool = True


@dataclass(slots=True)
class Quota:
    """Calls by rolling second and by day, as an exact count: a refused call uses nothing.

    In no half-open second of the clock are more calls accepted than the pool's rate allows: a call at time t is
    refused when the rate's number of calls was accepted in (t - 1, t].
    """

    plan: QuotaPlan
    levels: Mapping[str, int]
    clock: Clock
    calendar: Calendar
    quirks: Quirks
    used: Counter[str] = field(default_factory=Counter)
    _day: date | None = None
    _recent: dict[str, deque[float]] = field(default_factory=dict)

    def level(self, spec: ApiSpec) -> int:
        """The level whose quota a call of the API uses."""
        return level_of(spec, self.levels)

    def take(self, spec: ApiSpec) -> None:
        """Let one call through.

        Raises:
            Refusal: its second or its day is full.
        """
        level = self.level(spec)
        now = self.clock.monotonic()
        rate_pool, day_pool = self.plan.rate_pool(level), self.plan.day_pool(level)
        recent = self._recent.setdefault(rate_pool or "", deque())
        if rate_pool is not None:
            while recent and recent[0] <= now - 1.0:
                recent.popleft()
            if len(recent) >= self.plan.rates[rate_pool]:
                raise self._throttled("user flow control", "rate", recent[0] + 1.0 - now)
        self._turn_day()
        if day_pool is not None and self.used[day_pool] >= self.plan.days[day_pool]:
            raise self._throttled("the daily quota of the user", "day", None)
        if rate_pool is not None:
            recent.append(now)
        if day_pool is not None:
            self.used[day_pool] += 1

    def spend_day(self, pool: str, left: int = 0) -> None:
        """Leave `left` calls of the day to `pool`."""
        self._turn_day()
        self.used[pool] = self.plan.days[pool] - left

    def _turn_day(self) -> None:
        today = self.calendar.date_of(self.clock.now().timestamp())
        if self._day is None or today > self._day:
            self._day = today
            self.used.clear()

    def _throttled(self, what: str, reason: str, wait: float | None) -> Refusal:
        headers = throttle_headers(self.quirks.throttle_headers, wait)
        message = f"Request was denied due to {what}."
        return Refusal("Throttling.User", message, reason=reason, headers=headers)


def throttle_headers(style: str, wait: float | None) -> dict[str, str]:
    """How a refused call says when to come back, in clock seconds; not at all when it does not know."""
    if style == "none" or wait is None:
        return {}
    milliseconds = max(1, math.ceil(wait * 1000))
    if style == "acs":
        return {"x-acs-retry-after": str(milliseconds)}
    return {"x-ratelimit-user-api": f"Limit:1,Remain:0,TimeLeft:{milliseconds},Reset:{milliseconds}"}


@dataclass(frozen=True, slots=True)
class Caller:
    """A call that may pass, and whose it is."""

    spec: ApiSpec
    user: User
    level: int


class Gate:
    """Lets calls through, or says why not."""

    def __init__(self, catalog: Catalog, edition: Edition, quota: Quota, clock: Clock) -> None:
        self.catalog = catalog
        self.edition = edition
        self.quota = quota
        self.clock = clock
        self.keys: dict[str, Key] = {}
        self._nonces: dict[str, float] = {}
        self._oldest: deque[tuple[float, str]] = deque()

    def identify(self, request: Request) -> tuple[Claim, Key]:
        """Who calls.

        Raises:
            Refusal: the key, the date, the signature or the nonce is not good.
        """
        if request.method != "POST" or request.path != "/":
            raise Refusal("UnsupportedHTTPMethod", "This API takes POST / only.", reason="request")
        claim = read_claim(request)
        key = self._key(claim)
        self._check_clock(claim)
        check_signature(request, claim, key.secret)
        self._check_nonce(claim)
        return claim, key

    def admit(self, claim: Claim, key: Key) -> Caller:
        """Whether that caller may make that call now.

        Raises:
            Refusal: no such API, not with this key, not now, or not in this edition.
        """
        spec = self.catalog.get(claim.action)
        if spec is None or claim.version != VERSION:
            message = f"Specified api {claim.action} {claim.version} is not found."
            raise Refusal("InvalidApi.NotFound", message, status=404, reason="api")
        if claim.token:
            raise Refusal("NoPermission", "RAM roles cannot call the OpenAPI.", status=403, reason="permission")
        if not key.writes and not is_read(spec.name):
            message = f"User not authorized to operate on the specified resource: dataphin:{spec.name}"
            raise Refusal("Forbidden.RAM", message, status=403, reason="permission")
        self.quota.take(spec)
        if not allowed(spec, self.edition):
            message = f"{spec.name} needs the {spec.edition} edition, this tenant has {self.edition}."
            raise Refusal("DataphinOpenApiForbidden", message, status=403, reason="edition")
        return Caller(spec, key.user, self.quota.level(spec))

    def _key(self, claim: Claim) -> Key:
        key = self.keys.get(claim.key_id)
        if key is None:
            message = "Specified access key is not found."
            raise Refusal("InvalidAccessKeyId.NotFound", message, status=404, reason="key")
        if not key.active:
            raise Refusal("InvalidAccessKeyId.Inactive", "Specified access key is disabled.", reason="key")
        return key

    def _check_clock(self, claim: Claim) -> None:
        skew = (self.clock.now() - claim.when).total_seconds()
        if abs(skew) > CLOCK_TOLERANCE:
            message = "Specified time stamp or date value is expired."
            raise Refusal("InvalidTimeStamp.Expired", message, reason="clock")

    def _check_nonce(self, claim: Claim) -> None:
        now = self.clock.monotonic()
        while self._oldest and self._oldest[0][0] < now - 2 * CLOCK_TOLERANCE:
            self._nonces.pop(self._oldest.popleft()[1], None)
        if not claim.nonce or claim.nonce in self._nonces:
            message = "Specified signature nonce was used already."
            raise Refusal("SignatureNonceUsed", message, reason="nonce")
        self._nonces[claim.nonce] = now
        self._oldest.append((now, claim.nonce))
