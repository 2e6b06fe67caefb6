"""Feishu, and Lark abroad: cards of a group's custom robot.

Signature, the 100 messages a minute and 5 a second, the 20 kB of a body and the codes are those of Feishu's page on
custom robots; 11232 is its code for too many messages, 9499 for a request that it cannot read.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from phinops.clock import Clock
from phinops.execute.notify.note import Form, Note, Pace
from phinops.execute.notify.post import Post
from phinops.execute.notify.robot import Codes, Manner, Robot, encoded
from phinops.execute.notify.wording import fitted, origin

CODES = Codes("Feishu", "code", "msg", fast=frozenset({11232}), wait=60.0)

BODY_LIMIT = 19_000
"""Bytes of a message that are sent; 20 kB is the most that a robot takes."""

FORM = Form(Pace(100, 60.0, gap=0.25), room=15_000)

_COLOURS = {"info": "blue", "warning": "orange", "critical": "red"}


class FeishuChannel:
    """Posts each notice to one robot as a card. `secret` is for robots that verify signatures.

    Mentions are open ids or user ids, or `all`.
    """

    form = FORM

    def __init__(self, url: str, secret: str | None, post: Post, clock: Clock, manner: Manner | None = None) -> None:
        self._robot = Robot(url, secret, post, CODES)
        self._clock = clock
        self._manner = manner or Manner()

    async def send(self, note: Note) -> None:
        """Delivered when the body says `code` 0.

        Raises:
            Undelivered: rate limit (again in a minute), no answer (again); any other code (not).
        """
        body = fitted(lambda text: encoded(self._message(note, text)), note.message, BODY_LIMIT)
        await self._robot.say(self._robot.url, body)

    def _message(self, note: Note, text: str) -> Mapping[str, Any]:
        card = {"msg_type": "interactive", "card": self._card(note, text)}
        secret = self._robot.secret
        if secret is None:
            return card
        seconds = int(self._clock.now().timestamp())
        return {"timestamp": str(seconds), "sign": signature(secret, seconds), **card}

    def _card(self, note: Note, text: str) -> Mapping[str, Any]:
        words = self._manner.words
        called = " ".join(f"<at id={each}></at>" for each in self._manner.mentions)
        parts = [{"tag": "markdown", "content": each} for each in (text, called) if each]
        if said := origin(note):
            parts.append({"tag": "markdown", "content": f"<font color='grey'>{said}</font>"})
        elements: list[Mapping[str, Any]] = [*parts]
        if note.links:
            elements.append(
                {"tag": "action", "actions": [_button(words.link(k), url) for k, url in note.links.items()]}
            )
        title = {"tag": "plain_text", "content": words.headline(note)[:200]}
        header = {"title": title, "template": _COLOURS.get(note.severity, "orange")}
        return {"config": {"wide_screen_mode": True}, "header": header, "elements": elements}


def _button(name: str, url: str) -> Mapping[str, Any]:
    return {"tag": "button", "text": {"tag": "plain_text", "content": name}, "type": "default", "url": url}


def signature(secret: str, seconds: int) -> str:
    """The `sign` of a message: HMAC-SHA256 of nothing under time and secret, base64."""
    digest = hmac.new(f"{seconds}\n{secret}".encode(), b"", hashlib.sha256).digest()
    return base64.b64encode(digest).decode()
