"""DingTalk: text messages of a group's custom robot.

The robot answers HTTP 200 whatever happened; what happened is the `errcode` of the body (DingTalk's pages on custom
robots and on global return codes).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from urllib.parse import parse_qsl, quote, urlsplit

from phinops.clock import Clock
from phinops.errors import ConfigError
from phinops.execute.notify.note import Note, Undelivered
from phinops.execute.notify.post import Post

BUSY = -1  # "system busy": once more in a little while
TOO_FAST = frozenset({130101, 410100})  # more than 20 messages a minute
RATE_WAIT = 60.0
TEXT_LIMIT = 18_000
"""Bytes of text that are sent; a robot refuses messages of about 20,000 and more."""

_MARKS = {"info": "", "warning": "[WARNING] ", "critical": "[CRITICAL] "}


class DingTalkChannel:
    """Posts each notice to one robot. `url` holds its access token; `secret` (SEC...) is for robots that sign.

    Raises:
        ConfigError: the secret is not a robot's; the text does not hold it.
    """

    def __init__(self, url: str, secret: str | None, post: Post, clock: Clock) -> None:
        if secret is not None and not secret.startswith("SEC"):
            raise ConfigError("a DingTalk robot's secret begins with SEC")
        self._url = url
        self._secret = secret
        self._post = post
        self._clock = clock

    async def send(self, note: Note) -> None:
        """Delivered when the body says `errcode` 0.

        Raises:
            Undelivered: rate limit (again in a minute), system busy, no answer (again); any other code (not).
        """
        body = json.dumps({"msgtype": "text", "text": {"content": text_of(note)}}, ensure_ascii=False).encode()
        answer = await self._post.send(self._signed_url(), body, {"content-type": "application/json; charset=utf-8"})
        self._judge(answer.body)

    def _signed_url(self) -> str:
        if self._secret is None:
            return self._url
        millis = int(self._clock.now().timestamp() * 1000)
        joint = "&" if urlsplit(self._url).query else "?"
        return f"{self._url}{joint}timestamp={millis}&sign={signature(self._secret, millis)}"

    def _judge(self, body: bytes) -> None:
        try:
            answer = json.loads(body)
            code, text = int(answer["errcode"]), str(answer.get("errmsg") or "")
        except (KeyError, TypeError, ValueError):
            raise Undelivered("the answer is not one of DingTalk's robot", retry=True) from None
        if code == 0:
            return
        reason = f"errcode {code}: {self._hidden(text)}"
        if code in TOO_FAST:
            raise Undelivered(reason, retry=True, after=RATE_WAIT)
        raise Undelivered(reason, retry=code == BUSY)

    def _hidden(self, text: str) -> str:
        """The service's text, short, without anything of the address or the secret that it might repeat."""
        hidden = text
        for secret in (self._secret or "", *(value for _, value in parse_qsl(urlsplit(self._url).query))):
            hidden = hidden.replace(secret, "***") if secret else hidden
        return hidden[:200]


def signature(secret: str, millis: int) -> str:
    """The `sign` of a robot's address: HMAC-SHA256 of time and secret, base64, quoted for a query."""
    digest = hmac.new(secret.encode(), f"{millis}\n{secret}".encode(), hashlib.sha256).digest()
    return quote(base64.b64encode(digest), safe="")


def text_of(note: Note) -> str:
    """The notice as plain text, cut where a robot would refuse it."""
    whole = "\n".join(_lines(note)).encode()
    if len(whole) <= TEXT_LIMIT:
        return whole.decode()
    return whole[:TEXT_LIMIT].decode(errors="ignore") + "\n…"


def _lines(note: Note) -> Iterator[str]:
    yield _MARKS.get(note.severity, "") + note.title
    yield note.message
    origin = " · ".join(part for part in (note.rule, note.event.get("tenant"), note.firing_id) if part)
    if origin:
        yield origin
    for name, url in note.links.items():
        yield f"{name}: {url}"
