"""What the robots of group chats have in common: an address that is a secret, and answers whose body has a code.

Such a robot answers HTTP 200 whatever happened; what happened is the code in the body.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from phinops.execute.notify.note import Undelivered
from phinops.execute.notify.post import Post
from phinops.execute.notify.wording import WORDINGS, Language, Wording

JSON = {"content-type": "application/json; charset=utf-8"}

ALL = "all"
"""The mention of everybody in the group."""

_TOLD = 200
"""Characters of a service's own text that are told."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How the messages of a notifier speak: in which language, and whom they mention."""

    language: Language = "en"
    mentions: tuple[str, ...] = ()

    @property
    def words(self) -> Wording:
        """The fixed words."""
        return WORDINGS[self.language]

    @property
    def everybody(self) -> bool:
        """Whether all of the group are mentioned."""
        return ALL in self.mentions

    @property
    def people(self) -> tuple[str, ...]:
        """Those who are mentioned one by one."""
        return tuple(each for each in self.mentions if each != ALL)


@dataclass(frozen=True, slots=True)
class Codes:
    """What the codes in a service's answers mean: `fast` is too many messages, `busy` once more in a while.

    `wait` are the seconds after which it takes messages again; every other code but 0 is a refusal for good.
    """

    service: str
    key: str
    text: str
    fast: Collection[int]
    busy: Collection[int] = frozenset()
    wait: float = 60.0


def encoded(message: Mapping[str, Any]) -> bytes:
    """The body of a message."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


class Robot:
    """One robot of a group, at its address."""

    def __init__(self, url: str, secret: str | None, post: Post, codes: Codes) -> None:
        self.url = url
        self.secret = secret
        self._post = post
        self._codes = codes

    async def say(self, url: str, body: bytes) -> None:
        """Post the body; delivered when the answer's code is 0.

        Raises:
            Undelivered: too fast (again after the service's wait), busy or no answer (again), any other code (not).
        """
        answer = await self._post.send(url, body, JSON)
        codes = self._codes
        try:
            document = json.loads(answer.body)
            code, text = int(document[codes.key]), str(document.get(codes.text) or "")
        except (KeyError, TypeError, ValueError):
            raise Undelivered(f"the answer is not one of {codes.service}'s robot", retry=True) from None
        if code == 0:
            return
        reason = f"{codes.key} {code}: {self.hidden(text)}"
        if code in codes.fast:
            raise Undelivered(reason, retry=True, after=codes.wait)
        raise Undelivered(reason, retry=code in codes.busy)

    def hidden(self, text: str) -> str:
        """The service's text, short, without anything of the address or the secret that it might repeat."""
        return hidden(text, self.url, self.secret)


def hidden(text: str, url: str, secret: str | None = None) -> str:
    """The text, short, without anything of an address or a secret that it might repeat."""
    parts = urlsplit(url)
    last = parts.path.rstrip("/").rpartition("/")[2]
    for each in (secret or "", url, last if len(last) > 8 else "", *(value for _, value in parse_qsl(parts.query))):
        text = text.replace(each, "***") if each else text
    return text[:_TOLD]
