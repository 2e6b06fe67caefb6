"""The simulator as a whole: a tenant, the gate before it, the faults around it, and the port it listens on."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import format_datetime
from pathlib import Path
from random import Random
from typing import Any

import structlog

from phinops.catalog.catalog import load_catalog
from phinops.catalog.quotas import QuotaPlan, plan_for
from phinops.clock import Clock
from phinops.errors import ConfigError
from phinops.simulate.answers import answer
from phinops.simulate.answers.call import Call, Payload
from phinops.simulate.arguments import read_arguments
from phinops.simulate.build import build_tenant
from phinops.simulate.faults import Fault, Faults
from phinops.simulate.gate import Caller, Gate, Key, Quota, throttle_headers
from phinops.simulate.refusal import Refusal
from phinops.simulate.scenario import Edition, QuotaSpec, Scenario, overridden
from phinops.simulate.scenariofile import load_scenario
from phinops.simulate.signature import RPC_PARAMETERS, Request
from phinops.simulate.tenant import Tenant
from phinops.simulate.wire import Answer, Connection

log = structlog.get_logger(__name__)

CONTROL = "/_simulator"
"""GET here gives the counters as JSON; it takes no signature and no quota."""

_REMEMBERED = 500_000
_QUOTA_REASONS = ("rate", "day")
_HTML = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request: `at` is the monotonic time of the tenant's clock when all of it had arrived.

    `reason` is "" for a call that passed the gate, else the word it is counted under in `Simulator.refusals`. What
    the tenant answered, or which fault struck, is not in it.
    """

    api: str
    level: int
    at: float
    accepted: bool
    reason: str = ""


class Simulator:
    """A Dataphin tenant that answers HTTP.

    Attributes:
        tenant: its whole state, for tests to look at and to change.
        faults: what goes wrong on purpose.
        calls: calls that passed the gate, by level.
        refusals: calls that did not pass, by reason: rate, day, signature, nonce, clock, key, edition, permission,
            parameters, user, api, request; and what the tenant itself refused: business.
        arrivals: every request, oldest first; the half million newest.
        crashes: mistakes of the simulator itself, each answered as HTTP 500.
    """

    def __init__(self, tenant: Tenant, gate: Gate, faults: Faults, key: Key, read_only: Key) -> None:
        self.tenant = tenant
        self.gate = gate
        self.faults = faults
        self.edition = gate.edition
        self.op_tenant_id = tenant.id
        self.access_key_id = key.id
        self.access_key_secret = key.secret
        self.read_only_key = read_only
        self.url = ""
        self.calls: Counter[int] = Counter()
        self.refusals: Counter[str] = Counter()
        self.arrivals: deque[Arrival] = deque(maxlen=_REMEMBERED)
        self.crashes: list[Exception] = []
        self._requests = 0
        self._open = tenant.clock.monotonic()

    @property
    def refused(self) -> int:
        """Calls that the quota refused; faults on purpose are not among them."""
        return sum(self.refusals[reason] for reason in _QUOTA_REASONS)

    @property
    def endpoint(self) -> str:
        """Host and port, as the official SDK wants it."""
        return self.url.removeprefix("http://")

    def counters(self) -> dict[str, Any]:
        """What GET on `CONTROL` gives."""
        self.tenant.settle()
        return {
            "calls": {str(level): count for level, count in sorted(self.calls.items())},
            "refused": self.refused,
            "refusals": dict(self.refusals),
            "faults": dict(self.faults.struck),
            "reruns": dict(self.tenant.reruns),
            "effects": len(self.tenant.effects),
            "failed": len(self.tenant.failed()),
            "paused_nodes": [node.id for node in self.tenant.paused_nodes()],
        }

    def handle(self, request: Request) -> Answer:
        """Answer one request."""
        if request.method == "GET" and request.path == CONTROL:
            return Answer(200, {"content-type": "application/json"}, _encoded(self.counters()))
        self._requests += 1
        try:
            return self._call(request)
        except Refusal as refusal:
            return self._refused(refusal)
        except Exception as error:  # the supervisor of all calls: a mistake here must not look like a reset
            log.exception("simulator.crashed")
            self.crashes.append(error)
            return self._error(500, "InternalError", f"the simulator failed: {error!r}")

    def _call(self, request: Request) -> Answer:
        at = self.tenant.clock.monotonic()
        api, level = "", 0
        try:
            claim, key = self.gate.identify(request)
            api = claim.action
            caller = self.gate.admit(claim, key)
            level = caller.level
        except Refusal as refusal:
            self.arrivals.append(Arrival(api, level or self._level(api), at, False, refusal.reason))
            raise
        self.calls[level] += 1
        self.arrivals.append(Arrival(api, level, at, True))
        fault = self.faults.strike(api, at - self._open, after=False)
        if fault is not None:
            return self._failed(fault)
        payload = self._work(request, caller)
        fault = self.faults.strike(api, at - self._open, after=True)
        done = self._done(payload)
        return done if fault is None else self._failed(fault, done)

    def _level(self, api: str) -> int:
        spec = self.gate.catalog.get(api)
        return self.gate.quota.level(spec) if spec else 0

    def _work(self, request: Request, caller: Caller) -> Payload:
        query = dict(request.pairs())
        if "authorization" not in request.headers:
            query = {name: value for name, value in query.items() if name not in RPC_PARAMETERS}
        arguments = read_arguments(caller.spec, query, _form(request))
        if arguments.get("OpTenantId", self.op_tenant_id) != self.op_tenant_id:
            message = f"the account does not belong to tenant {arguments['OpTenantId']}"
            raise Refusal("DPN.Filter.UserInOtherTenants", message, reason="user")
        if arguments.get("OpUserId") not in (None, caller.user.id):
            message = "OpUserId is not the owner of the access key."
            raise Refusal("Dataphin.OpenAPI.Forbidden", message, status=403, reason="user")
        self.tenant.settle()
        return answer(caller.spec, Call(caller.spec.name, arguments, self.tenant, caller.user))

    def _done(self, payload: Payload) -> Answer:
        envelope = {"Code": "OK", "HttpStatusCode": 200, "Message": "successful", "Success": True}
        return self._json(200, {**envelope, **payload})

    def _refused(self, refusal: Refusal) -> Answer:
        self.refusals[refusal.reason] += 1
        business = refusal.code.startswith(("DPN.", "Dataphin.OpenAPI.BadRequest"))
        status = 200 if business and self.tenant.quirks.errors == "body" else refusal.status
        return self._error(status, refusal.code, refusal.message, refusal.headers)

    def _failed(self, fault: Fault, done: Answer | None = None) -> Answer:
        kind = fault.kind.removesuffix("_after")
        if kind == "slow" and done is not None:
            return Answer(done.status, done.headers, done.body, delay=fault.seconds)
        if kind in ("hang", "reset"):
            return Answer(cut="silent" if kind == "hang" else "reset")
        if kind == "html":
            return Answer(502, {"content-type": "text/html", "date": self._date()}, _HTML)
        if kind == "throttle":
            style = fault.headers or self.tenant.quirks.throttle_headers
            message = fault.message or "Request was denied due to user flow control."
            headers = throttle_headers(style, fault.seconds or 1.0)
            return self._error(fault.status or 400, fault.code or "Throttling.User", message, headers)
        if kind == "refuse":
            code, message = fault.code or "DPN.Commons.InternalError", fault.message or "internal error"
            status = 200 if self.tenant.quirks.errors == "body" else 400
            return self._error(fault.status or status, code, message)
        status, code = _STATUS[kind]
        return self._error(status, code, fault.message or "the call could not be carried out")

    def _error(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Answer:
        # The gateway's own errors have another envelope than the service's (the error centre's samples).
        body: Payload = {"Code": code, "Message": message}
        if code.startswith(("DPN.", "Dataphin")):
            body |= {"HttpStatusCode": status, "Success": False}
        else:
            body |= {"HostId": self.endpoint, "Recommend": ""}
        return self._json(status, body, headers)

    def _json(self, status: int, body: Payload, headers: Mapping[str, str] | None = None) -> Answer:
        request_id = f"{self.tenant.id:08X}-0000-4000-8000-{self._requests:012X}"
        common = {
            "content-type": "application/json;charset=utf-8",
            "date": self._date(),
            "x-acs-request-id": request_id,
        }
        return Answer(status, {**common, **(headers or {})}, _encoded({"RequestId": request_id, **body}))

    def _date(self) -> str:
        return format_datetime(self.tenant.clock.now(), usegmt=True)


_STATUS: Mapping[str, tuple[int, str]] = {
    "error": (500, "InternalError"),
    "unavailable": (503, "ServiceUnavailable"),
    "bad_gateway": (502, "Dataphin.OpenAPI.BadGateway"),
}


def _encoded(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _form(request: Request) -> dict[str, Any]:
    if "json" not in request.headers.get("content-type", ""):
        return dict(request.form())
    try:
        body = json.loads(request.body or b"{}")
    except ValueError as error:
        raise Refusal("Dataphin.OpenAPI.BadRequest", f"the body is not JSON: {error}", reason="parameters") from error
    if not isinstance(body, dict):
        raise Refusal("Dataphin.OpenAPI.BadRequest", "the body is no object", reason="parameters")
    return body


def make_simulator(
    scenario: str | Path | Scenario,
    *,
    clock: Clock,
    edition: Edition | None = None,
    seed: int = 1,
    overrides: Mapping[str, Any] | None = None,
) -> Simulator:
    """A simulator that listens nowhere yet: `handle` answers requests.

    Raises:
        ConfigError: the scenario does not exist or has mistakes.
    """
    plan_of = _read(scenario, overrides)
    chosen: Edition = edition or plan_of.edition
    tenant = build_tenant(plan_of, clock, seed)
    quota = Quota(_plan(chosen, plan_of.quotas), plan_of.quotas.levels, clock, tenant.calendar, tenant.quirks)
    gate = Gate(load_catalog(), chosen, quota, clock)
    faults = Faults(Random(seed))
    for spec in plan_of.faults.values():
        faults.add(Fault(**{item: getattr(spec, item) for item in type(spec).model_fields}))
    key, read_only = (_make_key(tenant, writes=writes) for writes in (True, False))
    gate.keys = {key.id: key, read_only.id: read_only}
    return Simulator(tenant, gate, faults, key, read_only)


def _read(scenario: str | Path | Scenario, overrides: Mapping[str, Any] | None) -> Scenario:
    if not isinstance(scenario, Scenario):
        return load_scenario(scenario, overrides)
    if not overrides:
        return scenario
    document = scenario.model_dump(mode="json", exclude_unset=True)
    return Scenario.model_validate(overridden(document, overrides))


def _plan(edition: Edition, quotas: QuotaSpec) -> QuotaPlan:
    if edition == "private" and quotas.qps is None:
        return QuotaPlan({}, quotas.daily or {})
    try:
        return plan_for(edition, quotas.qps, quotas.daily)
    except ValueError as error:
        raise ConfigError(f"the scenario's quotas: {error}") from error


def _make_key(tenant: Tenant, *, writes: bool) -> Key:
    letters = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"
    text = "".join(tenant.random.choices(letters, k=46))
    return Key(f"LTAI5t{text[:16]}", text[16:], tenant.user("phinops"), writes)


@asynccontextmanager
async def serve(
    scenario: str | Path | Scenario = "default",
    *,
    clock: Clock,
    edition: Edition | None = None,
    seed: int = 1,
    port: int = 0,
    host: str = "127.0.0.1",
    overrides: Mapping[str, Any] | None = None,
) -> AsyncGenerator[Simulator]:
    """A simulator that listens on `host`; port 0 takes a free one. Its connections are reset at the end.

    Raises:
        ConfigError: the scenario does not exist or has mistakes.
        OSError: the port is taken.
    """
    simulator = make_simulator(scenario, clock=clock, edition=edition, seed=seed, overrides=overrides)
    connections: set[Connection] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(simulator.handle, connections), host, port)
    simulator.url = "http://{}:{}".format(*server.sockets[0].getsockname()[:2])
    try:
        yield simulator
    finally:
        server.close()
        for connection in tuple(connections):
            connection.abort()
        await server.wait_closed()
