"""`POST /hooks/NAME`: what others tell, authenticated as Standard Webhooks say.

The signature covers `webhook-id`, `webhook-timestamp` and the body as it came. A message may be sent again: its id
makes the same event, which is then known already.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

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


def receive(
    name: str, secret: str, headers: Mapping[str, str], body: bytes, now: datetime, *, tenant: str
) -> Event | HookRefused:
    """The event `hook.NAME` of an authentic message, or why there is none.

    `secret` is base64, with or without `whsec_`; header names may be in any case. The size of `body` is the caller's
    to bound. A text without a good signature is refused with 401 whatever it says, one that is not JSON with 400.

    Raises:
        ValueError: `secret` is empty or not base64.
    """
    given = {key.lower(): value for key, value in headers.items()}
    message, stamp = given.get("webhook-id", ""), given.get("webhook-timestamp", "")
    if not message or len(message) > MAX_HEADER:
        return HookRefused(401, "webhook-id is missing or too long")
    sent = _read_stamp(stamp)
    if sent is None:
        return HookRefused(401, "webhook-timestamp is missing or not in seconds")
    if abs(now - sent) > TOLERANCE:
        return HookRefused(401, "webhook-timestamp is more than five minutes from now")
    text = _decoded(body)
    if text is None:
        return HookRefused(400, "the body is not JSON that can be kept: not UTF-8")
    if not _is_signed(secret, message, sent, text, given.get("webhook-signature", "")):
        return HookRefused(401, "webhook-signature does not match")
    try:
        document = _parse(text)
    except ValueError as error:
        return HookRefused(400, f"the body is not JSON that can be kept: {error}")
    return Event(
        id=event_id("hooks", tenant, name, message, "received"),
        type=f"hook.{name}",
        time=sent.astimezone(now.tzinfo),
        tenant=tenant,
        source="hooks",
        raw={"webhook-id": message, "webhook-timestamp": stamp},
        body=document,
    )


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
