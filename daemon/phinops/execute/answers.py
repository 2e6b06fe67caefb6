"""What an answer means, sorted by what can be done about it.

Dataphin's own (from its SDK, its documents, and behaviour seen on private deployments):

- Success is a 2xx, `Success` true and `Code` "OK". A 200 can say no.
- Throttling comes with any status, most often 400: its code is what tells. 429 is throttling too. 503 is overload: a
  read may be asked again; for a write it says nothing about whether the back end was reached, so it may have happened.
- `Dataphin.OpenAPI.BadGateway` and `DPN.TaskScheduler.Api.RequestError` come when one part of Dataphin got no good
  answer of another in time: of a write nobody knows whether it was done.
- `DPN.Commons.InternalError` is a catch-all, often for a bad parameter: a read is tried once more at most. With a 4xx
  a write is refused; with anything else it may have happened.
- A nonce is new at every try. When the gateway has seen it, something on the way sent the request twice and the first
  copy arrived: the write may have happened.
- An answer that is not JSON comes from something in between, which cannot tell what became of a write.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from phinops.errors import Ambiguous, ApiError, Forbidden, Malformed, Refused, Throttled, Transient
from phinops.event import JsonObject

LARGEST = 64 * 1024 * 1024
"""Bytes of an answer; more is refused unread."""

CATCH_ALL = "DPN.Commons.InternalError"

CLOCK_CODES = frozenset({"InvalidTimeStamp.Expired", "IllegalTimestamp"})
"""Refusals of our clock: more than 15 minutes off."""

_LOST_INSIDE = frozenset({"Dataphin.OpenAPI.BadGateway", "DPN.TaskScheduler.Api.RequestError", "SignatureNonceUsed"})

_OWNER = "the OpenAPI is not open to the key's owner, or OpUserId is not that owner: leave it out"
_KEY = "the AccessKey is unknown, inactive or its secret is wrong; a private deployment takes only its own keys"
_HINTS: Mapping[str, str] = {
    "Dataphin.OpenAPI.Forbidden": _OWNER,
    "DataphinOpenApiForbidden": _OWNER,
    "DPN.Filter.NoPermission": "the key's owner lacks a role in the Dataphin project; RAM policies do not give it",
    "DPN.OP.NoPermission": "the key's owner lacks a role in the Dataphin project; RAM policies do not give it",
    "DPN.Filter.UserInOtherTenants": "the key's owner belongs to another tenant than op_tenant_id",
    "DPN.Oltp.MgmtSys.NoAuthorized": "the key's owner lacks a role in the data service project",
    "DPN.TaskScheduler.Tenant.InvalidTenantId": "the tenant has expired or was not opened",
    "SignatureDoesNotMatch": _KEY,
    "InvalidAccessKeyId.NotFound": _KEY,
    "InvalidAccessKeyId.Inactive": _KEY,
}

_LACKS_RIGHT = re.compile(
    r"Forbidden(\..+)?|NoPermission|InvalidAccessKeyId(\..+)?|SignatureDoesNotMatch"
    r"|Dataphin\.OpenAPI\.Forbidden|DataphinOpenApiForbidden"
    r"|DPN\.(Filter|OP)\.NoPermission|DPN\.Filter\.UserInOtherTenants|DPN\.Oltp\.MgmtSys\.NoAuthorized"
)

# These come with 403 in some products.
_NO_MATTER_OF_RIGHT = ("Invalid", "Unsupported")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came over the wire, its envelope read as far as it could be.

    `headers` are found by lower-case name. `document` is None where the body is not JSON; the texts are then "", and
    `start` is how the body begins.
    """

    status: int
    headers: Mapping[str, str]
    document: object = field(repr=False)
    code: str
    message: str
    request_id: str
    success: object
    start: str = field(repr=False)

    @classmethod
    def of(cls, status: int, headers: Mapping[str, str], body: bytes) -> Answer:
        """The answer with these headers, found by lower-case name, and this body, JSON or not. Never raises."""
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            document = None
        envelope = document if isinstance(document, dict) else {}
        code, message, request_id = (_text(envelope.get(name)) for name in ("Code", "Message", "RequestId"))
        start = "" if document is not None else body[:2000].decode(errors="replace")
        return cls(status, headers, document, code, message, request_id, envelope.get("Success"), start)

    def hiding(self, secrets: Iterable[str]) -> Answer:
        """The same without these texts in what people may come to see: some services quote what was signed."""
        message, start = self.message, self.start
        for secret in secrets:
            message, start = message.replace(secret, "***"), start.replace(secret, "***")
        return replace(self, message=message, start=start)

    @property
    def throttled(self) -> bool:
        """Whether Dataphin held the call back for its rate or its day."""
        return self.code.startswith("Throttling") or self.status == 429

    @property
    def wait(self) -> float | None:
        """The seconds to wait that it names, or None.

        `x-acs-retry-after` is in milliseconds (SDK); so is TimeLeft in the `x-ratelimit-` headers of older gateways.
        A plain Retry-After, in seconds or as a date, is nowhere documented and honoured if it comes.
        """
        milliseconds = _number(self.headers.get("x-acs-retry-after"))
        if milliseconds is not None:
            return milliseconds / 1000
        for name in ("x-ratelimit-user-api", "x-ratelimit-user"):
            parts = dict(re.findall(r"(\w+):(\d+)", self.headers.get(name, "")))
            if parts.get("Remain", "0") == "0" and "TimeLeft" in parts:
                return int(parts["TimeLeft"]) / 1000
        plain = self.headers.get("retry-after")
        until = _date(plain)
        return max(0.0, (until - self.time).total_seconds()) if until and self.time else _number(plain)

    @property
    def time(self) -> datetime | None:
        """The server's clock, from the Date header, or None."""
        return _date(self.headers.get("date"))


def judge(api: str, answer: Answer, *, reads: bool) -> JsonObject:
    """The answer's document, when the call succeeded. `reads`: asking again changes nothing.

    Raises:
        Throttled, Transient: not done, worth another try.
        Refused, Forbidden: not done, and not worth one.
        Malformed: a read whose answer cannot be understood.
        Ambiguous: a write that may have happened.
    """
    if answer.throttled:
        raise _throttled(api, answer)
    if 300 <= answer.status < 400:
        where = answer.headers.get("location", "nowhere")
        raise Refused(api, "phinops.Redirect", f"the endpoint redirects to {where}", status=answer.status)
    if not isinstance(answer.document, dict):
        raise _unreadable(api, answer, reads=reads)
    if 200 <= answer.status < 300 and answer.success is not False:
        if answer.success is True and answer.code == "OK":
            return answer.document
        kind: type[ApiError] = Malformed if reads else Ambiguous
        raise _error(
            kind, api, answer, "phinops.Envelope", "the answer says neither that it worked nor that it did not"
        )
    raise _failure(api, answer, reads=reads)


def _throttled(api: str, answer: Answer) -> Throttled:
    return Throttled(
        api,
        answer.code or "phinops.Throttled",
        answer.message or f"HTTP {answer.status}",
        request_id=answer.request_id,
        status=answer.status,
        retry_after=answer.wait,
    )


def _unreadable(api: str, answer: Answer, *, reads: bool) -> ApiError:
    """An answer that is no JSON object: an error page of something in between, or no Dataphin at all."""
    if answer.document is not None:
        kind: type[ApiError] = Malformed if reads else Ambiguous
        return _error(kind, api, answer, "phinops.NotAnObject", "the answer is JSON, but not an object")
    message = f"HTTP {answer.status} with an answer that is not JSON: {answer.start.strip()[:80]!r}"
    return _error(Transient if reads else Ambiguous, api, answer, "phinops.NotJson", message)


def _failure(api: str, answer: Answer, *, reads: bool) -> ApiError:
    kind = _kind(answer, reads=reads)
    if answer.status == 503 and kind is Transient:
        return _throttled(api, answer)
    message = answer.message or f"HTTP {answer.status}"
    hint = _HINTS.get(answer.code, "")
    return _error(kind, api, answer, "phinops.NoCode", f"{message} ({hint})" if hint else message)


def _kind(answer: Answer, *, reads: bool) -> type[ApiError]:
    code, status = answer.code, answer.status
    may_have_happened: type[ApiError] = Transient if reads else Ambiguous
    if code in _LOST_INSIDE or status >= 500 or status == 408:
        return may_have_happened
    if code == CATCH_ALL:
        return may_have_happened if reads or status < 400 else Refused
    if not code and answer.success is not False:
        return Refused if reads else Ambiguous
    if status < 400 and _inner_status(answer) >= 500 and not code.startswith("DPN."):
        return may_have_happened
    named = _LACKS_RIGHT.fullmatch(code) or (status == 403 and not code.startswith(_NO_MATTER_OF_RIGHT))
    return Forbidden if named else Refused


def _inner_status(answer: Answer) -> int:
    """The back end's own status, which a gateway may hide behind a 200. Business codes tell more than it does."""
    inner = answer.document.get("HttpStatusCode") if isinstance(answer.document, dict) else None
    return inner if isinstance(inner, int) else 0


def _error(kind: type[ApiError], api: str, answer: Answer, otherwise: str, message: str) -> ApiError:
    """`otherwise`: the code where the answer has none that names a failure."""
    code = answer.code if answer.code not in ("", "OK") else otherwise
    return kind(api, code, message, request_id=answer.request_id, status=answer.status)


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _number(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"\s*\d{1,12}(\.\d+)?\s*", text) else None


def _date(text: str | None) -> datetime | None:
    try:
        when = parsedate_to_datetime(text or "")
    except (ValueError, OverflowError):
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)
