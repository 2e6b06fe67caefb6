"""`POST /hooks/NAME`: what others tell, and how they prove who they are.

Standard Webhooks sign `webhook-id`, `webhook-timestamp` and the body as it came. Others sign the body alone (`hmac`)
or send the secret itself (`bearer`): their messages bear no time, so an old one is told from a new one only by its id.
A message may be sent again: its id makes the same event, which is then known already. A message without an id is known
by its text, for a day.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from standardwebhooks import Webhook

from phinops.event import Event, event_id

TOLERANCE = timedelta(minutes=5)
"""How far a message's timestamp may be from now, either way."""

MAX_DEPTH = 64
"""How deep objects and lists may lie in each other."""

MAX_HEADER = 512


@dataclass(frozen=True, slots=True)
class HookRefused:
    """Why a message is not taken: the HTTP status to answer, and a sentence that reveals nothing secret."""

    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class Proof:
    """How a message proves who sent it: `secret` is that of a signature, or the token itself.

    `header` bears the signature or the token; a token stands in Authorization where none is named. `id_header` bears
    the message's id, if the sender gives one.
    """

    secret: str
    kind: Literal["standard", "hmac", "bearer"] = "standard"
    header: str | None = None
    id_header: str | None = None


@dataclass(frozen=True, slots=True)
class _Proven:
    """An authentic message: its id, when it was sent, and its headers that are kept."""

    id: str
    sent: datetime
    kept: Mapping[str, str]


def receive(
    name: str, proof: Proof, headers: Mapping[str, str], body: bytes, now: datetime, *, tenant: str
) -> Event | HookRefused:
    """The event `hook.NAME` of an authentic message, or why there is none.

    The secret of Standard Webhooks is base64, with or without `whsec_`; header names may be in any case. The size of
    `body` is the caller's to bound. A text without a good proof is refused with 401 whatever it says, one that is not
    JSON with 400.

    Raises:
        ValueError: the secret of Standard Webhooks is empty or not base64.
    """
    given = {key.lower(): value for key, value in headers.items()}
    text = _decoded(body)
    if text is None:
        return HookRefused(400, "the body is not JSON that can be kept: not UTF-8")
    proven = _PROOFS[proof.kind](proof, given, text, now)
    if isinstance(proven, HookRefused):
        return proven
    try:
        document = _parse(text)
    except ValueError as error:
        return HookRefused(400, f"the body is not JSON that can be kept: {error}")
    return Event(
        id=event_id("hooks", tenant, name, proven.id, "received"),
        type=f"hook.{name}",
        time=proven.sent.astimezone(now.tzinfo),
        tenant=tenant,
        source="hooks",
        raw=proven.kept,
        body=document,
    )


def _standard(proof: Proof, given: Mapping[str, str], text: str, now: datetime) -> _Proven | HookRefused:
    message, stamp = given.get("webhook-id", ""), given.get("webhook-timestamp", "")
    if not message or len(message) > MAX_HEADER:
        return HookRefused(401, "webhook-id is missing or too long")
    sent = _read_stamp(stamp)
    if sent is None:
        return HookRefused(401, "webhook-timestamp is missing or not in seconds")
    if abs(now - sent) > TOLERANCE:
        return HookRefused(401, "webhook-timestamp is more than five minutes from now")
    if not _is_signed(proof.secret, message, sent, text, given.get("webhook-signature", "")):
        return HookRefused(401, "webhook-signature does not match")
    return _Proven(message, sent, {"webhook-id": message, "webhook-timestamp": stamp})


def _hmac(proof: Proof, given: Mapping[str, str], text: str, now: datetime) -> _Proven | HookRefused:
    name = proof.header or ""
    digest = hmac.new(proof.secret.encode(), text.encode(), hashlib.sha256).digest()
    said = given.get(name.lower(), "").strip()[:MAX_HEADER].removeprefix("sha256=")
    fits = [
        hmac.compare_digest(said.lower().encode(), digest.hex().encode()),
        hmac.compare_digest(said.encode(), base64.b64encode(digest)),
    ]
    if not any(fits):
        return HookRefused(401, f"the signature in {name} does not match, or is missing")
    return _named(proof, given, text, now)


def _bearer(proof: Proof, given: Mapping[str, str], text: str, now: datetime) -> _Proven | HookRefused:
    said = given.get((proof.header or "authorization").lower(), "").strip()
    if not proof.header:
        scheme, _, said = said.partition(" ")
        said = said.strip() if scheme.lower() == "bearer" else ""
    if not hmac.compare_digest(said.encode(), proof.secret.encode()):
        return HookRefused(401, f"the token in {proof.header or 'Authorization'} does not match, or is missing")
    return _named(proof, given, text, now)


def _named(proof: Proof, given: Mapping[str, str], text: str, now: datetime) -> _Proven | HookRefused:
    """The message by the id that its sender gave, else by its text and the day."""
    if proof.id_header:
        message = given.get(proof.id_header.lower(), "")
        if not message or len(message) > MAX_HEADER:
            return HookRefused(400, f"{proof.id_header}, which names the message, is missing or too long")
        return _Proven(message, now, {proof.id_header.lower(): message})
    return _Proven(f"{now.date()} {hashlib.sha256(text.encode()).hexdigest()}", now, {})


_PROOFS: Mapping[str, Callable[[Proof, Mapping[str, str], str, datetime], _Proven | HookRefused]] = {
    "standard": _standard,
    "hmac": _hmac,
    "bearer": _bearer,
}


def _read_stamp(stamp: str) -> datetime | None:
    if not stamp.isdecimal() or len(stamp) > 11:
        return None
    return datetime.fromtimestamp(int(stamp), UTC)


def _decoded(body: bytes) -> str | None:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def _is_signed(secret: str, message: str, sent: datetime, text: str, signatures: str) -> bool:
    # The library's own `verify` asks the machine what time it is; its signature is all that is needed.
    wanted = Webhook(secret).sign(message, sent, text).encode()
    return any(hmac.compare_digest(wanted, one.encode()) for one in signatures[:4096].split())


def _parse(text: str) -> Any:
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
        # A lone half of a surrogate pair passes as JSON and cannot be stored.
        json.dumps(document, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError(f"nested deeper than {MAX_DEPTH}") from None
    except UnicodeEncodeError:
        raise ValueError("half a surrogate pair") from None
    if _is_deeper(document, MAX_DEPTH):
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
    return document


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _is_deeper(document: Any, depth: int) -> bool:
    inner = _containers([document])
    for _ in range(depth):
        inner = _containers(part for item in inner for part in (item.values() if isinstance(item, dict) else item))
    return bool(inner)


def _containers(parts: Iterable[Any]) -> list[Any]:
    return [part for part in parts if isinstance(part, dict | list)]
