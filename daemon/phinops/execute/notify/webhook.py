"""Webhooks: a CloudEvents 1.0 envelope, signed as Standard Webhooks say."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import UTC
from urllib.parse import quote

from standardwebhooks.webhooks import Webhook

from phinops.clock import Clock
from phinops.errors import ConfigError
from phinops.event import JsonObject
from phinops.execute.notify.note import Form, Note
from phinops.execute.notify.post import Post

NOTIFICATION = "phinops.notification"
_PREFIX = "whsec_"


class WebhookChannel:
    """Posts each notice to one address. `secret` is `whsec_` and base64, as Standard Webhooks have it.

    Raises:
        ConfigError: the secret is not of that form; the text does not hold it.
    """

    form = Form()

    def __init__(self, url: str, secret: str, post: Post, clock: Clock) -> None:
        self._url = url
        self._signer = Webhook(_key(secret))
        self._post = post
        self._clock = clock

    async def send(self, note: Note) -> None:
        """Delivered at any 2xx.

        Raises:
            Undelivered: 408, 425, 429, 5xx or no answer (to be tried again), any other answer (not).
        """
        body = json.dumps(envelope(note), ensure_ascii=False, separators=(",", ":"))
        now = self._clock.now()
        headers = {
            "content-type": "application/cloudevents+json",
            "webhook-id": note.id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signer.sign(note.id, now.astimezone(UTC), body),
        }
        await self._post.send(self._url, body.encode(), headers)


def envelope(note: Note) -> JsonObject:
    """The notice as a CloudEvent: the same at every try."""
    return {
        "specversion": "1.0",
        "id": note.id,
        "source": f"/phinops/{quote(str(note.event.get('tenant') or ''), safe='')}".rstrip("/"),
        "type": NOTIFICATION,
        "subject": note.rule,
        "time": note.time.isoformat(),
        "datacontenttype": "application/json",
        "data": {
            "rule": note.rule,
            "firing_id": note.firing_id,
            "title": note.title,
            "message": note.message,
            "severity": note.severity,
            "event": note.event,
            "links": dict(note.links),
            **({"approval": note.approval} if note.approval else {}),
        },
    }


def _key(secret: str) -> bytes:
    encoded = secret.strip().removeprefix(_PREFIX)
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except binascii.Error:
        key = b""
    if not key:
        raise ConfigError(f"a webhook's secret is {_PREFIX} followed by base64")
    return key
