"""The wire: the only module through which anything reaches Dataphin.

Every try takes a turn of the limiter, a new nonce and the date of now. Reads are tried again with growing, jittered
pauses; a write goes out once, and once more only where Dataphin refused our clock or our key before doing anything.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta, tzinfo
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
import httpx
import structlog

from phinops import __version__
from phinops.catalog.catalog import ApiSpec, Catalog, Edition
from phinops.catalog.quotas import level_of
from phinops.clock import Clock
from phinops.errors import Ambiguous, ApiError, ConfigError, Malformed, Refused, Throttled, Transient
from phinops.event import JsonObject
from phinops.execute.answers import CATCH_ALL, CLOCK_CODES, LARGEST, Answer, judge
from phinops.execute.keys import Keys, key_pairs
from phinops.execute.limit import Limiter, Priority, Turn
from phinops.execute.request import Params, Placed, admitted, placed
from phinops.execute.sign import SIGNERS, KeyPair, Signature, Signed, Stamp, Unsigned
from phinops.execute.slots import IN_FLIGHT

log = structlog.get_logger(__name__)

Transport = httpx.AsyncBaseTransport
"""What carries requests, under a name for those who may not import httpx."""

TRIES = 4
"""How often a read goes out at most."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 20.0

# Below the 5 s after which common servers drop an idle connection: a request must not meet one being closed.
_KEEP_ALIVE = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a tenant is reached, and as what. `timeout_s`: a whole request, in the machine's seconds.

    `zone` is that of times written into parameters. With a `ca_file` its authorities are the only ones trusted.
    """

    url: str
    op_tenant_id: int | str
    edition: Edition
    env: str = "PROD"
    timeout_s: float = 10.0
    ca_file: Path | None = None
    proxy: str | None = field(default=None, repr=False)
    signature: Signature = "acs3"
    level_overrides: Mapping[str, int] = field(default_factory=dict)
    zone: tzinfo | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A call that succeeded: the whole answer, and how many of the machine's seconds it took."""

    api: str
    body: JsonObject
    request_id: str
    status: int
    elapsed_s: float


@dataclass(slots=True)
class _Call:
    """One call over all its tries. `corrected`: what was put right meanwhile, each once."""

    spec: ApiSpec
    level: int
    placed: Placed
    priority: Priority
    attempt: int = 0
    corrected: set[str] = field(default_factory=set)

    @property
    def reads(self) -> bool:
        return self.spec.reads


class Client:
    """Calls one tenant. Use as an async context manager.

    Requests go out by `transport` instead of the network when one is given; it is closed with the client. It must tell
    the trace in a request's extensions when it sends it, as httpcore does: what was not sent is not counted.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        keys: Keys,
        limiter: Limiter,
        catalog: Catalog,
        clock: Clock,
        transport: Transport | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._keys = keys
        self._limiter = limiter
        self._catalog = catalog
        self._clock = clock
        self._transport = transport
        self._url = httpx.URL(endpoint.url)
        self._host = self._url.netloc.decode()
        self._pairs: dict[bool, KeyPair] = {}
        self._skew = timedelta()
        self._offset: timedelta | None = None
        self._http: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        """Raises ConfigError when the endpoint, the CA file or a key cannot be used."""
        if self._url.scheme not in ("https", "http") or not self._url.host or self._url.path not in ("", "/"):
            raise ConfigError(f"endpoint {self._endpoint.url}: write https://HOST or https://HOST:PORT")
        self._pairs = await asyncio.to_thread(key_pairs, self._keys)
        self._http = httpx.AsyncClient(
            verify=await asyncio.to_thread(_tls, self._url.scheme, self._endpoint.ca_file),
            http1=True,
            http2=False,
            transport=self._transport,
            proxy=self._endpoint.proxy,
            trust_env=False,
            # One deadline, ours, covers the whole request.
            timeout=None,
            limits=httpx.Limits(
                max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT, keepalive_expiry=_KEEP_ALIVE
            ),
            headers={"user-agent": f"phinops/{__version__}", "accept": "application/json"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()
        self._http = None

    @property
    def _open(self) -> httpx.AsyncClient:
        if self._http is None:
            raise RuntimeError("the client is not open: use it as an async context manager")
        return self._http

    async def read(self, api: str, params: Params, *, priority: Priority, deadline: float | None = None) -> Reply:
        """Ask, again if need be. No try begins after `deadline`, on the clock's monotonic seconds.

        Raises:
            UnknownApi: there is no such API. ValueError: it writes.
            QuotaSpent: no turn came in time, or the day has no call for this priority.
            Throttled, Transient: still so after the last try.
            Refused, Forbidden: Dataphin said no; or the edition lacks the API, or `params` are wrong: nothing was sent.
            Malformed: the answer cannot be understood.
            StoreError: the call could not be counted.
        """
        spec = self._catalog.require(api)
        if not spec.reads:
            raise ValueError(f"{api} writes: it goes through Client.write")
        call = self._call(spec, params, priority)
        while True:
            try:
                return await self._ask(call, priority, deadline)
            except (Throttled, Transient) as error:
                call.attempt += 1
                pause = _pause(call.attempt)
                if call.attempt >= _tries(error) or self._late(deadline, pause):
                    raise
                log.info("call.again", api=api, code=error.code, request_id=error.request_id, attempt=call.attempt)
            await self._clock.sleep(pause)

    async def write(
        self,
        api: str,
        prepare: Callable[[], Awaitable[Params | None]],
        *,
        priority: Priority = Priority.WRITE,
        deadline: float | None = None,
    ) -> Reply | None:
        """Wait for a turn, let `prepare` commit the intent and give the parameters, and send them at once, once.

        When `prepare` gives None nothing is sent, and None returned. What `prepare` raises passes through. `deadline`,
        on the clock's monotonic seconds, is that of the turn. An API that reads is taken too, and sent once.

        Raises:
            UnknownApi: there is no such API.
            QuotaSpent, StoreError: as for `read`; nothing was done.
            Throttled, Transient: known not to have been done.
            Refused, Forbidden: Dataphin said no; or the edition lacks the API, or the parameters are wrong.
            Malformed: an API that reads gave an answer that cannot be understood.
            Ambiguous: it may have happened; read before anything else.
        """
        spec = self._catalog.require(api)
        admitted(spec, self._endpoint.edition)
        async with self._limiter.turn(self._level(spec), priority, deadline, reads=spec.reads, api=spec.name) as turn:
            params = await prepare()
            if params is None:
                return None
            call = self._call(spec, params, priority)
            try:
                return await self._exchange(call, turn)
            except Refused as error:
                if not await self._correct(call, error):
                    raise
        # Refused for our clock or key, thus not done. The intent must not wait long for its second turn.
        soon = self._clock.monotonic() + self._endpoint.timeout_s * self._clock.speed
        return await self._ask(call, priority, soon)

    async def _ask(self, call: _Call, priority: Priority, deadline: float | None) -> Reply:
        """One try, and another for each thing that can be put right once."""
        while True:
            try:
                async with self._limiter.turn(
                    call.level, priority, deadline, reads=call.reads, api=call.spec.name
                ) as turn:
                    return await self._exchange(call, turn)
            except Refused as error:
                if not await self._correct(call, error):
                    raise

    def _call(self, spec: ApiSpec, params: Params, priority: Priority) -> _Call:
        admitted(spec, self._endpoint.edition)
        defaults = {"OpTenantId": self._endpoint.op_tenant_id, "Env": self._endpoint.env}
        return _Call(spec, self._level(spec), placed(spec, params, defaults, self._endpoint.zone), priority)

    def _level(self, spec: ApiSpec) -> int:
        return level_of(spec, self._endpoint.level_overrides)

    def _late(self, deadline: float | None, pause: float) -> bool:
        return deadline is not None and self._clock.monotonic() + pause >= deadline

    async def _correct(self, call: _Call, error: Refused) -> bool:
        """Whether something was put right for which another try, the only one, makes sense."""
        if error.code in CLOCK_CODES:
            wrong = "clock"
        elif error.code.startswith(("InvalidAccessKeyId", "SignatureDoesNotMatch")):
            # Also the latter: of a pair in two files only one may have been new when both were read.
            wrong = "key"
        else:
            return False
        if wrong in call.corrected:
            return False
        call.corrected.add(wrong)
        call.attempt += 1
        log.warning("call.corrected", api=call.spec.name, wrong=wrong, code=error.code, skew=str(self._skew))
        return wrong == "clock" or await self._keys_changed()

    async def _keys_changed(self) -> bool:
        before = self._pairs
        try:
            self._pairs = await asyncio.to_thread(key_pairs, self._keys)
        except ConfigError as error:
            # The daemon stays up with the key it has, and its calls say that it is refused.
            log.warning("keys.unreadable", reason=str(error))
        return self._pairs != before

    async def _exchange(self, call: _Call, turn: Turn) -> Reply:
        """Send one try and judge what comes back."""
        began = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._endpoint.timeout_s):
                answer = await self._post(call, turn)
        except TimeoutError as error:
            raise _lost(call, turn, "phinops.Timeout", f"no answer in {self._endpoint.timeout_s:g} s") from error
        except httpx.RequestError as error:
            code = "phinops.Connection" if turn.was_sent else "phinops.Connect"
            raise _lost(call, turn, code, str(error) or type(error).__name__) from error
        self._learn(call, answer)
        body = judge(call.spec.name, answer, reads=call.reads)
        elapsed = self._clock.real(self._clock.monotonic() - began)
        return Reply(call.spec.name, body, str(body.get("RequestId", "")), answer.status, elapsed)

    def _signed(self, call: _Call) -> Signed:
        headers = {"x-acs-retry-attempts": str(call.attempt)} if call.attempt else {}
        unsigned = Unsigned(call.spec.name, self._host, call.placed.query, call.placed.form, headers)
        stamp = Stamp(self._clock.now() + self._skew, secrets.token_hex(16))
        return SIGNERS[self._endpoint.signature](unsigned, self._pairs[call.reads], stamp)

    async def _post(self, call: _Call, turn: Turn) -> Answer:
        signed = self._signed(call)
        tracing = _Tracing(turn)
        request = self._open.build_request(
            "POST",
            self._url.copy_with(raw_path=b"/?" + signed.query.encode()),
            headers=dict(signed.headers),
            content=signed.body,
            extensions={"trace": tracing, "priority": call.priority.name},
        )
        try:
            response = await self._open.send(request, stream=True)
        except BaseException:
            await tracing.close()
            raise
        try:
            # What has an answer has arrived, whatever becomes of the rest of the answer.
            turn.answered()
            body = await _whole(response)
        finally:
            await response.aclose()
        turn.answered()
        if len(body) > LARGEST:
            kind: type[ApiError] = Malformed if call.reads else Ambiguous
            raise kind(call.spec.name, "phinops.TooLarge", f"the answer has more than {LARGEST} bytes")
        return Answer.of(response.status_code, response.headers, body).hiding(
            pair.secret for pair in self._pairs.values()
        )

    @property
    def clock_offset(self) -> timedelta | None:
        """How far Dataphin's clock was ahead of ours at its last answer, to a second; None before the first."""
        return self._offset

    def _learn(self, call: _Call, answer: Answer) -> None:
        """Tell the limiter how the call fared, and take the server's clock where it refused ours."""
        if answer.throttled or (answer.status == 503 and answer.wait is not None):
            self._limiter.throttled(call.level, answer.wait)
            log.warning("call.throttled", api=call.spec.name, level=call.level, code=answer.code, wait=answer.wait)
        elif answer.status < 500:
            self._limiter.served(call.level)
        if answer.time is not None:
            self._offset = answer.time - self._clock.now()
        if answer.code in CLOCK_CODES and answer.time is not None:
            self._skew = answer.time - self._clock.now()


class _Tracing:
    """Follows a request down to its bytes, which httpx alone would not tell."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._socket: Any = None
        self._half_open: Any = None

    async def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            self._socket = info["return_value"]
        elif event.endswith(".start_tls.started"):
            self._half_open = self._socket
        elif event.endswith(".start_tls.complete"):
            self._half_open = None
        # A proxy's CONNECT goes out the same way before it.
        elif event == "http11.send_request_headers.started" and info["request"].method == b"POST":
            self._turn.sent()

    async def close(self) -> None:
        """Close the connection whose TLS handshake was given up: httpcore 1.0 leaves it to the collector."""
        if self._half_open is not None:
            with anyio.CancelScope(shield=True):
                await self._half_open.aclose()


async def _whole(response: httpx.Response) -> bytes:
    """The body; of one larger than LARGEST a little more than that."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.aiter_bytes():
        chunks.append(chunk)
        size += len(chunk)
        if size > LARGEST:
            break
    return b"".join(chunks)


def _lost(call: _Call, turn: Turn, code: str, message: str) -> ApiError:
    """No answer came. A write may have happened once the first of its bytes could have gone."""
    kind: type[ApiError] = Transient if call.reads or not turn.was_sent else Ambiguous
    return kind(call.spec.name, code, message)


def _tries(error: ApiError) -> int:
    return 2 if error.code == CATCH_ALL else TRIES


def _pause(attempt: int) -> float:
    """Doubling, and each spread over its upper half, so that callers who failed together do not come together."""
    whole = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (attempt - 1))
    return random.uniform(whole / 2, whole)


def _tls(scheme: str, ca_file: Path | None) -> ssl.SSLContext:
    if scheme == "http":
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca_file is None:
        return httpx.create_ssl_context(trust_env=False)
    try:
        context = ssl.create_default_context(cafile=str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"ca_file {ca_file}: {error}") from error
    # Python 3.13 refuses private authorities that lack extensions which all other clients can do without.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
