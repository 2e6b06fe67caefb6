"""Asking the simulator without a socket: a clock that a test turns by hand, and requests signed from the rules."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, quote_plus

from phinops.catalog.catalog import load_catalog
from phinops.simulate import Simulator, make_simulator
from phinops.simulate.signature import Request
from phinops.simulate.wire import Answer

MORNING = datetime(2026, 1, 5, 1, 30, tzinfo=UTC)
"""Half past nine in Shanghai: the night's work is done."""

RETAIL, FINANCE, LOCKED, SERVICE = 131001, 131002, 131009, 102102
"""The projects of the scenario `quiet`."""

_nonces = itertools.count(1)


class HandClock:
    """A clock that stands still until a test turns it."""

    speed = 1.0

    def __init__(self, start: datetime = MORNING) -> None:
        self._start = start
        self.elapsed = 0.0

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.elapsed)

    def monotonic(self) -> float:
        return self.elapsed

    async def sleep(self, seconds: float) -> None:
        self.elapsed += max(0.0, seconds)

    def real(self, seconds: float) -> float:
        return seconds

    def turn(self, seconds: float) -> None:
        self.elapsed += seconds


@dataclass(frozen=True, slots=True)
class Said:
    """What the simulator said."""

    status: int
    headers: Mapping[str, str]
    body: Any
    cut: str = ""

    @property
    def code(self) -> str:
        return str(self.body["Code"])


@dataclass(slots=True)
class Desk:
    """A simulator, its clock, and the key to ask with."""

    simulator: Simulator
    clock: HandClock

    def ask(self, api: str, **parameters: Any) -> Said:
        """One call. OpTenantId is filled in; what the catalog calls a struct travels as a form field."""
        return said(self.simulator.handle(self.request(api, parameters)))

    def request(self, api: str, parameters: Mapping[str, Any], **changes: str) -> Request:
        """The signed request of one call; `changes` replace headers (underscores stand for dashes) after signing."""
        spec = load_catalog().get(api)
        forms = {each.name for each in spec.parameters if each.location == "form"} if spec else set()
        given = {"OpTenantId": self.simulator.op_tenant_id, **parameters}
        query = {name: str(value) for name, value in given.items() if name not in forms}
        form = {name: json.dumps(value) for name, value in given.items() if name in forms}
        key = (self.simulator.access_key_id, self.simulator.access_key_secret)
        request = signed(api, query, form, key, self.clock.now())
        headers = {name.replace("_", "-"): value for name, value in changes.items()}
        return Request("POST", "/", request.query, {**request.headers, **headers}, request.body)


def said(answer: Answer) -> Said:
    body = json.loads(answer.body) if answer.body.startswith(b"{") else answer.body.decode()
    return Said(answer.status, answer.headers, body, answer.cut)


def signed(
    api: str, query: Mapping[str, str], form: Mapping[str, str], key: tuple[str, str], when: datetime
) -> Request:
    """A request in the new signature, which signs what must be signed and no more."""
    body = "&".join(f"{name}={quote_plus(value)}" for name, value in sorted(form.items())).encode()
    encoded = "&".join(f"{quote(name)}={quote(value, safe='-_.~')}" for name, value in sorted(query.items()))
    headers = {
        "host": "127.0.0.1",
        "x-acs-action": api,
        "x-acs-content-sha256": hashlib.sha256(body).hexdigest(),
        "x-acs-date": when.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "x-acs-signature-nonce": f"nonce-{next(_nonces)}",
        "x-acs-version": "2023-06-30",
    }
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    names = ";".join(headers)
    canonical = f"POST\n/\n{encoded}\n{lines}\n{names}\n{headers['x-acs-content-sha256']}"
    to_sign = f"ACS3-HMAC-SHA256\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.new(key[1].encode(), to_sign.encode(), hashlib.sha256).hexdigest()
    authorization = f"ACS3-HMAC-SHA256 Credential={key[0]},SignedHeaders={names},Signature={signature}"
    return Request("POST", "/", encoded, {**headers, "authorization": authorization}, body)


def desk(scenario: str = "quiet", **arguments: Any) -> Desk:
    """A simulator of that scenario on a clock that stands still."""
    clock = HandClock()
    return Desk(make_simulator(scenario, clock=clock, **arguments), clock)


UNHURRIED = {"quotas": {"qps": {"1+2+3": 1_000_000}}}
"""Overrides for tests that ask a lot at the same moment."""
