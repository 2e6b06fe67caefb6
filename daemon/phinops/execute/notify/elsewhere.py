"""Whatever else Apprise reaches, where it is installed: the extra `apprise`."""

from __future__ import annotations

import logging
from typing import Any

import anyio.to_thread

from phinops.errors import ConfigError
from phinops.execute.notify.note import Form, Note, Undelivered
from phinops.execute.notify.robot import Manner
from phinops.execute.notify.wording import lines

_KINDS = {"info": "info", "warning": "warning", "critical": "failure"}


class AppriseChannel:
    """Hands each notice to Apprise. `url` is one of its addresses, such as `tgram://TOKEN/CHAT`.

    Apprise tells only whether it worked. Some of its services answer 200 with an error in the body, which it takes for
    success: for DingTalk, Feishu, WeCom and Slack use the types of their own.

    Raises:
        ConfigError: Apprise is not installed, or does not know the address.
    """

    form = Form()

    def __init__(self, url: str, manner: Manner | None = None) -> None:
        self._way = _way(url)
        self._manner = manner or Manner()

    async def send(self, note: Note) -> None:
        """Delivered when Apprise says so.

        Raises:
            Undelivered: it says no (again).
        """
        words = self._manner.words
        title, text = words.headline(note), "\n".join(list(lines(note, words))[1:])
        kind = _KINDS.get(note.severity, "warning")
        if not await anyio.to_thread.run_sync(lambda: self._way.notify(body=text, title=title, notify_type=kind)):
            raise Undelivered("Apprise could not deliver it", retry=True)


def _way(url: str) -> Any:
    try:
        import apprise  # an extra: most installations have none
    except ImportError:
        raise ConfigError("notifiers of type apprise need Apprise: pip install 'phinops[apprise]'") from None
    # Its log tells addresses, which are secrets.
    logging.getLogger("apprise").setLevel(logging.CRITICAL)
    way = apprise.Apprise()
    if not way.add(url):
        raise ConfigError("its url is none of Apprise's addresses")
    return way
