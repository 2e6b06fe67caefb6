"""WeCom: markdown messages of a group's robot.

The 20 messages a minute, the 4,096 bytes of a markdown text and the 2,048 of a plain one are those of WeCom's page on
group robots; 45009 is its code for too many messages, -1 for a system that is busy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phinops.execute.notify.note import Form, Note, Pace
from phinops.execute.notify.post import Post
from phinops.execute.notify.robot import Codes, Manner, Robot, encoded
from phinops.execute.notify.wording import cut, lines, origin

CODES = Codes("WeCom", "errcode", "errmsg", fast=frozenset({45009}), busy=frozenset({-1}))

MARKDOWN_LIMIT, TEXT_LIMIT = 4096, 2048
"""Bytes of UTF-8 that a message of either kind may have."""

_PACE = Pace(20, 60.0)
_COLOURS = {"info": "info", "warning": "warning", "critical": "warning"}


class WeComChannel:
    """Posts each notice to one robot. Its address holds its key; it has no other secret.

    Mentions are user ids. Only plain texts can mention `all`, so then it sends those.
    """

    def __init__(self, url: str, post: Post, manner: Manner | None = None) -> None:
        self._robot = Robot(url, None, post, CODES)
        self._manner = manner or Manner()
        self.form = Form(_PACE, TEXT_LIMIT if self._manner.everybody else MARKDOWN_LIMIT)

    async def send(self, note: Note) -> None:
        """Delivered when the body says `errcode` 0.

        Raises:
            Undelivered: rate limit (again in a minute), system busy, no answer (again); any other code (not).
        """
        await self._robot.say(self._robot.url, encoded(self._message(note)))

    def _message(self, note: Note) -> Mapping[str, Any]:
        manner = self._manner
        if manner.everybody:
            text = cut("\n".join(lines(note, manner.words)), TEXT_LIMIT)
            return {"msgtype": "text", "text": {"content": text, "mentioned_list": ["@all", *manner.people]}}
        return {"msgtype": "markdown", "markdown": {"content": self._markdown(note)}}

    def _markdown(self, note: Note) -> str:
        words = self._manner.words
        title = f'<font color="{_COLOURS.get(note.severity, "warning")}">{cut(words.headline(note), 400)}</font>'
        links = " · ".join(f"[{words.link(name)}]({url})" for name, url in note.links.items())
        called = " ".join(f"<@{each}>" for each in self._manner.people)
        said = origin(note)
        below = [part for part in (f"> {said}" if said else "", links, called) if part]
        rest = sum(len(part.encode()) + 1 for part in (title, *below))
        return "\n".join([title, cut(note.message, max(0, MARKDOWN_LIMIT - rest)), *below])[:MARKDOWN_LIMIT]
