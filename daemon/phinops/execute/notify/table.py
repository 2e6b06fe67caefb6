"""Every type of notifier by its name in the config."""

from __future__ import annotations

from phinops.clock import Clock
from phinops.errors import ConfigError
from phinops.execute.notify.dingtalk import DingTalkChannel
from phinops.execute.notify.note import Channel
from phinops.execute.notify.post import Post
from phinops.execute.notify.webhook import WebhookChannel

CHANNELS = ("webhook", "dingtalk")


def open_channel(kind: str, url: str, secret: str | None, post: Post, clock: Clock) -> Channel:
    """The channel of one notifier.

    Raises:
        ConfigError: the type is unknown, or the secret is not what it takes.
    """
    match kind:
        case "webhook":
            if secret is None:
                raise ConfigError("a webhook is signed: it needs a secret (whsec_...)")
            return WebhookChannel(url, secret, post, clock)
        case "dingtalk":
            return DingTalkChannel(url, secret, post, clock)
        case _:
            raise ConfigError(f"there is no notifier type {kind!r}: it is one of {', '.join(CHANNELS)}")
