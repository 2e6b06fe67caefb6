"""DingTalk: markdown messages and action cards of a group's custom robot.

Signature, kinds of message, the 20 messages a minute and the 20,000 bytes are those of DingTalk's pages on custom
robots; codes are those of its page on global return codes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from phinops.clock import Clock
from phinops.errors import ConfigError
from phinops.execute.notify.note import Form, Note, Pace
from phinops.execute.notify.post import Post
from phinops.execute.notify.robot import Codes, Manner, Robot, encoded
from phinops.execute.notify.wording import fitted, origin

CODES = Codes("DingTalk", "errcode", "errmsg", fast=frozenset({130101, 410100}), busy=frozenset({-1}))

BODY_LIMIT = 19_000
"""Bytes of a message that are sent; a robot refuses those of 20,000 and more."""

FORM = Form(Pace(20, 60.0), room=16_000)

_MOBILE = re.compile(r"(\+\d{1,4}-)?\d{6,15}")


class DingTalkChannel:
    """Posts each notice to one robot. `url` holds its access token; `secret` (SEC...) is for robots that sign.

    A notice with links is an action card with buttons. Cards mention nobody, so where somebody is to be mentioned (a
    mobile number, a user's id, or `all`) it is a markdown message with its links in the text.

    Raises:
        ConfigError: the secret is not a robot's; the text does not hold it.
    """

    form = FORM

    def __init__(self, url: str, secret: str | None, post: Post, clock: Clock, manner: Manner | None = None) -> None:
        if secret is not None and not secret.startswith("SEC"):
            raise ConfigError("a DingTalk robot's secret begins with SEC")
        self._robot = Robot(url, secret, post, CODES)
        self._clock = clock
        self._manner = manner or Manner()

    async def send(self, note: Note) -> None:
        """Delivered when the body says `errcode` 0.

        Raises:
            Undelivered: rate limit (again in a minute), system busy, no answer (again); any other code (not).
        """
        body = fitted(lambda text: encoded(self._message(note, text)), note.message, BODY_LIMIT)
        await self._robot.say(self._signed_url(), body)

    def _signed_url(self) -> str:
        url, secret = self._robot.url, self._robot.secret
        if secret is None:
            return url
        millis = int(self._clock.now().timestamp() * 1000)
        joint = "&" if urlsplit(url).query else "?"
        return f"{url}{joint}timestamp={millis}&sign={signature(secret, millis)}"

    def _message(self, note: Note, text: str) -> Mapping[str, Any]:
        words, manner = self._manner.words, self._manner
        title = words.headline(note)[:200]
        said = markdown(title, text, origin(note))
        if note.links and not manner.mentions:
            buttons = [{"title": words.link(name), "actionURL": url} for name, url in note.links.items()]
            card = {"title": title, "text": said, "btnOrientation": "1", "btns": buttons}
            return {"msgtype": "actionCard", "actionCard": card}
        links = [f"[{words.link(name)}]({url})" for name, url in note.links.items()]
        mobiles = [each for each in manner.people if _MOBILE.fullmatch(each)]
        users = [each for each in manner.people if each not in mobiles]
        # Who is mentioned must stand in the text as well.
        called = " ".join(f"@{each}" for each in manner.people)
        whole = "\n\n".join(part for part in (said, " · ".join(links), called) if part)
        mentioned = {"atMobiles": mobiles, "atUserIds": users, "isAtAll": manner.everybody}
        return {"msgtype": "markdown", "markdown": {"title": title, "text": whole}, "at": mentioned}


def signature(secret: str, millis: int) -> str:
    """The `sign` of a robot's address: HMAC-SHA256 of time and secret, base64, quoted for a query."""
    digest = hmac.new(secret.encode(), f"{millis}\n{secret}".encode(), hashlib.sha256).digest()
    return quote(base64.b64encode(digest), safe="")


def markdown(title: str, text: str, said_by: str) -> str:
    """A notice in DingTalk's markdown, in which only an empty line ends a line."""
    parts = [f"### {title}", text.replace("\n", "\n\n"), f"> {said_by}" if said_by else ""]
    return "\n\n".join(part for part in parts if part)
