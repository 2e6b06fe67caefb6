"""A notifier's table: the type of its channel, its address, and how it speaks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from phinops.config.fields import Mistake, Model, Word, did_you_mean, refuse
from phinops.config.secret import Secret


def _one_or_several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


NotifierType = Literal["webhook", "dingtalk", "feishu", "wecom", "slack", "email", "apprise"]

_KEYS_OF: Mapping[str, Collection[str]] = {
    "secret": ("webhook", "dingtalk", "feishu", "email"),
    "mentions": ("dingtalk", "feishu", "wecom", "slack"),
    "from": ("email",),
    "to": ("email",),
    "username": ("email",),
}
"""Keys of a notifier that only some types have."""


class Notifier(Model):
    """A channel that rules send notices to. What dies on it goes to `fallback`.

    `from`, `to` and `username` are for email, whose `secret` is the password of `username`.
    """

    type: NotifierType
    url: Secret
    secret: Secret | None = None
    language: Literal["en", "zh"] = "en"
    mentions: tuple[str, ...] = ()
    sender: str = Field(default="", alias="from")
    to: Annotated[tuple[str, ...], BeforeValidator(_one_or_several)] = ()
    username: str | None = None
    fallback: Word | None = None

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        refuse(_notifier_mistakes(self))
        return self


def _notifier_mistakes(notifier: Notifier) -> Iterator[Mistake]:
    if notifier.type == "webhook" and notifier.secret is None:
        yield (), 'a webhook is signed: give it a `secret` (whsec_...), such as { env = "NAME" }'
    given = {each.alias or name: getattr(notifier, name) for name, each in Notifier.model_fields.items()}
    for key, types in _KEYS_OF.items():
        if given[key] and notifier.type not in types:
            yield (key,), f"a notifier of type {notifier.type} has no `{key}`: it is for {', '.join(types)}"
    if notifier.type == "email":
        yield from _mail_mistakes(notifier)


def _mail_mistakes(notifier: Notifier) -> Iterator[Mistake]:
    for key, addresses in (("from", (notifier.sender,)), ("to", notifier.to or ("",))):
        for address in addresses:
            if not address:
                yield (), f"email needs `{key}`: an address"
            elif "@" not in address:
                yield (key,), f"«{address}» is no address"
    if (notifier.username is None) != (notifier.secret is None):
        yield (), "`username` and `secret`, its password, come together"


def fallback_mistakes(notifiers: Mapping[str, Notifier]) -> Iterator[Mistake]:
    """Fallbacks that are no notifier, or lead round in a circle."""
    for name, notifier in notifiers.items():
        place = ("notifiers", name, "fallback")
        if notifier.fallback is not None and notifier.fallback not in notifiers:
            near = did_you_mean(notifier.fallback, notifiers)
            yield place, f"there is no notifier «{notifier.fallback}»{near}"
            continue
        way = [name]
        while (following := notifiers[way[-1]].fallback) and following in notifiers and following not in way:
            way.append(following)
        if following == name:
            yield place, f"leads back to itself: {' -> '.join([*way, name])}"
