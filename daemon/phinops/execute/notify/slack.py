"""Slack: messages of an incoming webhook.

The one message a second, the 40,000 characters of a text and the answers are those of Slack's pages on incoming
webhooks and rate limits: a message was taken when the body says `ok`.
"""

from __future__ import annotations

from phinops.execute.notify.note import Form, Note, Pace, Undelivered
from phinops.execute.notify.post import Post
from phinops.execute.notify.robot import JSON, Manner, encoded, hidden
from phinops.execute.notify.wording import cut, origin

ROOM = 30_000
"""Bytes of text that are sent; Slack cuts off what goes beyond 40,000 characters."""

FORM = Form(Pace(60, 60.0, gap=1.0), ROOM)


class SlackChannel:
    """Posts each notice to one webhook. Mentions are members' ids, or `all` for everybody in the channel."""

    form = FORM

    def __init__(self, url: str, post: Post, manner: Manner | None = None) -> None:
        self._url = url
        self._post = post
        self._manner = manner or Manner()

    async def send(self, note: Note) -> None:
        """Delivered when the body says `ok`.

        Raises:
            Undelivered: rate limit (again when Slack says), no answer (again); any other answer (not).
        """
        answer = await self._post.send(self._url, encoded({"text": self._text(note)}), JSON)
        said = answer.body.decode(errors="replace").strip()
        if said != "ok":
            raise Undelivered(f"Slack answered «{hidden(said, self._url)}» and not ok", retry=not said)

    def _text(self, note: Note) -> str:
        words = self._manner.words
        links = " · ".join(f"<{url}|{_plain(words.link(name))}>" for name, url in note.links.items())
        called = " ".join("<!channel>" if each == "all" else f"<@{each}>" for each in self._manner.mentions)
        below = [part for part in (_plain(origin(note)), links, called) if part]
        rest = sum(len(part.encode()) + 1 for part in below) + 600
        text = cut(_plain(note.message), ROOM - rest)
        return "\n".join([f"*{_plain(cut(words.headline(note), 400))}*", text, *below])


def _plain(text: str) -> str:
    """Text in which nothing is an order to Slack: these three characters are all that it reads."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
