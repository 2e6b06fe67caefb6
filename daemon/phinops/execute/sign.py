"""The two signatures that Dataphin's gateway takes, as pure functions.

`acs3` (ACS3-HMAC-SHA256) is what the current SDKs send; `rpc_v1` (HMAC-SHA1 over query and form) is what some
private deployments insist on. Both give the whole request as it must travel, so that nothing is encoded twice.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, TypeAlias
from urllib.parse import quote, quote_plus

VERSION = "2023-06-30"
"""The version of the dataphin-public OpenAPI that the catalog describes."""

Signature = Literal["acs3", "rpc_v1"]

_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An AccessKey. Its secret shows in no repr; `token` is that of temporary credentials, else ""."""

    id: str
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Stamp:
    """What makes one try unlike any other: the gateway refuses an old `at` and a `nonce` that it has seen."""

    at: datetime
    nonce: str

    @property
    def text(self) -> str:
        """The time as both signatures want it: UTC, `yyyy-MM-ddTHH:mm:ssZ`."""
        return f"{self.at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


@dataclass(frozen=True, slots=True)
class Unsigned:
    """One call before signing: `host` with its port unless that is the scheme's own, values unencoded.

    `headers` are more headers, by lower-case name; those that begin with `x-acs-` are signed.
    """

    api: str
    host: str
    query: Mapping[str, str]
    form: Mapping[str, str]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Signed:
    """One call as it travels: POST to `/?` + `query`, with these headers and body."""

    query: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes


Signer: TypeAlias = Callable[[Unsigned, KeyPair, Stamp], Signed]


def compact(value: object) -> str:
    """A struct or list as the JSON of one form field: no spaces, text unescaped, keys in order as the SDK has them."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False)


def encoded(text: str) -> str:
    """RFC 3986: everything but letters, digits, `-`, `.`, `_` and `~` becomes %XX."""
    return quote(text, safe="-._~")


def acs3(call: Unsigned, key: KeyPair, stamp: Stamp) -> Signed:
    """The call with an ACS3-HMAC-SHA256 signature over host, content-type and every x-acs- header.

    The SDK also signs user-agent and accept; the gateway rebuilds from the names that are listed, so leaving out
    what a proxy on the way may rewrite is as valid, and safer.
    """
    body = _form_body(call.form)
    headers = {
        **call.headers,
        "host": call.host,
        "x-acs-version": VERSION,
        "x-acs-action": call.api,
        "x-acs-date": stamp.text,
        "x-acs-signature-nonce": stamp.nonce,
        "x-acs-content-sha256": hashlib.sha256(body).hexdigest(),
        **({"content-type": _FORM} if body else {}),
        **({"x-acs-accesskey-id": key.id, "x-acs-security-token": key.token} if key.token else {}),
    }
    signed = [name for name in headers if name in ("host", "content-type") or name.startswith("x-acs-")]
    query = canonical_query(call.query)
    authorization = acs3_authorization(query, {name: headers[name] for name in signed}, key)
    return Signed(query, {**headers, "authorization": authorization}, body)


def acs3_authorization(query: str, headers: Mapping[str, str], key: KeyPair) -> str:
    """The Authorization header over exactly these lower-case headers, x-acs-content-sha256 being one of them."""
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name].strip()}\n" for name in sorted(headers))
    canonical = f"POST\n/\n{query}\n{lines}\n{names}\n{headers['x-acs-content-sha256']}"
    to_sign = f"ACS3-HMAC-SHA256\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.new(key.secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()
    return f"ACS3-HMAC-SHA256 Credential={key.id},SignedHeaders={names},Signature={signature}"


def rpc_v1(call: Unsigned, key: KeyPair, stamp: Stamp) -> Signed:
    """The call with the older HMAC-SHA1 signature over query and form fields, itself a query parameter."""
    query = {
        **call.query,
        "Action": call.api,
        "Version": VERSION,
        "Format": "json",
        "Timestamp": stamp.text,
        "SignatureNonce": stamp.nonce,
        "SignatureMethod": "HMAC-SHA1",
        "SignatureVersion": "1.0",
        "AccessKeyId": key.id,
        **({"SecurityToken": key.token} if key.token else {}),
    }
    to_sign = f"POST&%2F&{encoded(canonical_query({**query, **call.form}))}"
    digest = hmac.new(f"{key.secret}&".encode(), to_sign.encode(), hashlib.sha1).digest()
    query["Signature"] = base64.b64encode(digest).decode()
    body = _form_body(call.form)
    headers = {
        **call.headers,
        "host": call.host,
        "x-acs-version": VERSION,
        "x-acs-action": call.api,
        **({"content-type": _FORM} if body else {}),
    }
    return Signed(canonical_query(query), headers, body)


SIGNERS: Mapping[str, Signer] = {"acs3": acs3, "rpc_v1": rpc_v1}
"""By the config's `signature`."""


def canonical_query(query: Mapping[str, str]) -> str:
    """`k=v` sorted by name, each percent-encoded, joined by `&`: what is signed and what is sent."""
    return "&".join(f"{encoded(name)}={encoded(query[name])}" for name in sorted(query))


def _form_body(form: Mapping[str, str]) -> bytes:
    return "&".join(f"{quote_plus(name)}={quote_plus(form[name])}" for name in sorted(form)).encode()
