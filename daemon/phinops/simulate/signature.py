"""Whether a request was signed by who it says: ACS3-HMAC-SHA256, and the old RPC signature with HMAC-SHA1.

Rebuilt here from the published rules and from what the request itself lists as signed; nothing is shared with the
client, so that a mistake there is seen.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote

from phinops.simulate.refusal import Refusal

VERSION = "2023-06-30"

_ALGORITHM = "ACS3-HMAC-SHA256"
_AUTHORIZATION = re.compile(
    rf"{_ALGORITHM} *Credential=(?P<key>[^,]+), *SignedHeaders=(?P<signed>[^,]+), *Signature=(?P<signature>[0-9a-f]+)"
)
_MUST_SIGN = frozenset(
    {
        "host",
        "x-acs-action",
        "x-acs-content-sha256",
        "x-acs-date",
        "x-acs-signature-nonce",
        "x-acs-version",
    }
)

RPC_PARAMETERS = frozenset(
    {
        "AccessKeyId",
        "Action",
        "Format",
        "SecurityToken",
        "Signature",
        "SignatureMethod",
        "SignatureNonce",
        "SignatureType",
        "SignatureVersion",
        "Timestamp",
        "Version",
    }
)
"""What the old signature adds to the query."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came: header names in lower case, the query still encoded."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    def pairs(self) -> list[tuple[str, str]]:
        """The query's parameters."""
        return parse_qsl(self.query, keep_blank_values=True)

    def form(self) -> list[tuple[str, str]]:
        """The body's fields, when it is a form."""
        if "json" in self.headers.get("content-type", ""):
            return []
        return parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request says about itself, before anybody has checked its signature."""

    action: str
    version: str
    key_id: str
    nonce: str
    when: datetime
    signature: str
    signed: tuple[str, ...]
    token: str

    @property
    def acs3(self) -> bool:
        """Whether it is signed in the new way."""
        return bool(self.signed)


def read_claim(request: Request) -> Claim:
    """Who calls what, by either signature.

    Raises:
        Refusal: it is not signed, or lacks what it must have.
    """
    authorization = request.headers.get("authorization")
    if authorization is None:
        return _rpc_claim(dict(request.pairs()))
    return _acs3_claim(request.headers, authorization)


def check_signature(request: Request, claim: Claim, secret: str) -> None:
    """Compare the signature with the one that `secret` gives.

    Raises:
        Refusal: they differ; the message has the string that was signed here, as the gateway's does.
    """
    to_sign = _acs3_string(request, claim) if claim.acs3 else _rpc_string(request)
    expected = _acs3_signature(to_sign, secret) if claim.acs3 else _rpc_signature(to_sign, secret)
    if not hmac.compare_digest(expected.encode(), claim.signature.encode()):
        message = f"Specified signature is not matched with our calculation. server string to sign is: {to_sign}"
        raise Refusal("SignatureDoesNotMatch", message, reason="signature")


def _incomplete(message: str) -> Refusal:
    return Refusal("IncompleteSignature", message, reason="signature")


def _acs3_claim(headers: Mapping[str, str], authorization: str) -> Claim:
    match = _AUTHORIZATION.fullmatch(authorization.strip())
    if match is None:
        raise _incomplete(f"The request signature does not conform to {_ALGORITHM}")
    signed = tuple(match["signed"].split(";"))
    unsigned = sorted(_MUST_SIGN.difference(signed))
    if unsigned:
        raise _incomplete(f"These headers must be signed: {', '.join(unsigned)}")
    absent = [name for name in signed if name not in headers]
    if absent:
        raise _incomplete(f"The signed headers {', '.join(absent)} did not arrive")
    return Claim(
        action=headers["x-acs-action"],
        version=headers["x-acs-version"],
        key_id=match["key"],
        nonce=headers["x-acs-signature-nonce"],
        when=_moment(headers["x-acs-date"]),
        signature=match["signature"],
        signed=signed,
        token=headers.get("x-acs-security-token", ""),
    )


def _rpc_claim(query: Mapping[str, str]) -> Claim:
    needed = ("AccessKeyId", "Action", "Signature", "SignatureMethod", "SignatureNonce", "Timestamp", "Version")
    for name in needed:
        if not query.get(name):
            raise Refusal(f"Missing{name}", f"{name} is mandatory for this action.", reason="signature")
    if query["SignatureMethod"] != "HMAC-SHA1":
        raise Refusal("InvalidSignatureMethod", "SignatureMethod must be HMAC-SHA1", reason="signature")
    return Claim(
        action=query["Action"],
        version=query["Version"],
        key_id=query["AccessKeyId"],
        nonce=query["SignatureNonce"],
        when=_moment(query["Timestamp"]),
        signature=query["Signature"],
        signed=(),
        token=query.get("SecurityToken", ""),
    )


def _moment(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        message = "Specified time stamp or date value is not well formatted."
        raise Refusal("InvalidTimeStamp.Format", message, reason="clock") from error


def _encoded(text: str) -> str:
    return quote(text, safe="-_.~")


def _acs3_string(request: Request, claim: Claim) -> str:
    digest = hashlib.sha256(request.body).hexdigest()
    if digest != request.headers["x-acs-content-sha256"]:
        raise Refusal("SignatureDoesNotMatch", "x-acs-content-sha256 is not the body's", reason="signature")
    query = "&".join(f"{_encoded(name)}={_encoded(value)}" for name, value in sorted(request.pairs()))
    headers = "".join(f"{name}:{request.headers[name].strip()}\n" for name in sorted(claim.signed))
    canonical = f"POST\n/\n{query}\n{headers}\n{';'.join(claim.signed)}\n{digest}"
    return f"{_ALGORITHM}\n{hashlib.sha256(canonical.encode()).hexdigest()}"


def _acs3_signature(to_sign: str, secret: str) -> str:
    return hmac.new(secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()


def _rpc_string(request: Request) -> str:
    unsigned: Iterable[tuple[str, str]] = (pair for pair in request.pairs() if pair[0] != "Signature")
    pairs = sorted([*unsigned, *request.form()])
    return "POST&%2F&" + _encoded("&".join(f"{_encoded(name)}={_encoded(value)}" for name, value in pairs))


def _rpc_signature(to_sign: str, secret: str) -> str:
    digest = hmac.new(f"{secret}&".encode(), to_sign.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()
