"""Every type of notifier by its name in the config."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from phinops.clock import Clock
from phinops.errors import ConfigError
from phinops.execute.notify.dingtalk import DingTalkChannel
from phinops.execute.notify.elsewhere import AppriseChannel
from phinops.execute.notify.feishu import FeishuChannel
from phinops.execute.notify.mail import Envelope, MailChannel
from phinops.execute.notify.note import Channel
from phinops.execute.notify.post import Post
from phinops.execute.notify.robot import Manner
from phinops.execute.notify.slack import SlackChannel
from phinops.execute.notify.webhook import WebhookChannel
from phinops.execute.notify.wecom import WeComChannel


@dataclass(frozen=True, slots=True)
class Wanted:
    """One notifier of the config, its secrets read. `envelope` is for email."""

    url: str
    secret: str | None = None
    manner: Manner = field(default_factory=Manner)
    envelope: Envelope | None = None


def _webhook(wanted: Wanted, post: Post, clock: Clock) -> Channel:
    if wanted.secret is None:
        raise ConfigError("a webhook is signed: it needs a secret (whsec_...)")
    return WebhookChannel(wanted.url, wanted.secret, post, clock)


def _mail(wanted: Wanted, _post: Post, _clock: Clock) -> Channel:
    if wanted.envelope is None:
        raise ConfigError("email needs `from` and `to`")
    return MailChannel(wanted.url, wanted.secret, wanted.envelope, wanted.manner)


CHANNELS: Mapping[str, Callable[[Wanted, Post, Clock], Channel]] = {
    "webhook": _webhook,
    "dingtalk": lambda wanted, post, clock: DingTalkChannel(wanted.url, wanted.secret, post, clock, wanted.manner),
    "feishu": lambda wanted, post, clock: FeishuChannel(wanted.url, wanted.secret, post, clock, wanted.manner),
    "wecom": lambda wanted, post, _: WeComChannel(wanted.url, post, wanted.manner),
    "slack": lambda wanted, post, _: SlackChannel(wanted.url, post, wanted.manner),
    "email": _mail,
    "apprise": lambda wanted, _post, _clock: AppriseChannel(wanted.url, wanted.manner),
}


def open_channel(kind: str, wanted: Wanted, post: Post, clock: Clock) -> Channel:
    """The channel of one notifier.

    Raises:
        ConfigError: the type is unknown, or the secret or the address is not what it takes.
    """
    if kind not in CHANNELS:
        raise ConfigError(f"there is no notifier type {kind!r}: it is one of {', '.join(CHANNELS)}")
    return CHANNELS[kind](wanted, post, clock)
