"""Telling people: the step writes nothing to Dataphin, its notice goes to the outbox."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from phinops.catalog.catalog import nearest
from phinops.execute.steps.bare import BareStep
from phinops.execute.steps.kind import Path, Setting, Step
from phinops.execute.steps.values import Params, Text, is_template

SEVERITIES = ("info", "warning", "critical")
"""From the least to the most severe."""


def _severity(value: str) -> str:
    if not is_template(value) and value not in SEVERITIES:
        near = nearest(value, SEVERITIES)
        cure = f"did you mean «{near}»?" if near else f"it is one of {', '.join(SEVERITIES)}"
        raise ValueError(f"cannot be «{value}»: {cure}")
    return value


def _one_is_a_list(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _each_once(value: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value))


Recipients = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    Field(min_length=1),
    BeforeValidator(_one_is_a_list),
    AfterValidator(_each_once),
]
"""Notifiers by name, each once: one stands for itself."""


class NotifyParams(Params):
    """`to` is a notifier or a list of them; a missing `title` is the rule's id."""

    to: Recipients
    message: Text
    title: Text | None = None
    severity: Annotated[str, AfterValidator(_severity)] = "warning"


@dataclass(frozen=True, slots=True)
class NotifyStep(BareStep):
    """The step `notify`."""

    name: str = "notify"
    params: type[BaseModel] = NotifyParams

    def problems(self, params: NotifyParams, setting: Setting) -> list[tuple[Path, str]]:
        return [(("to",), each) for each in unknown_notifiers(params.to, setting)]


NOTIFY: Step = NotifyStep()


def unknown_notifiers(names: Iterable[str], setting: Setting) -> list[str]:
    """What is wrong with each of these that the config does not have; nothing where there is no config."""
    known = setting.notifiers
    if known is None:
        return []
    return [_unknown(name, known) for name in names if not is_template(name) and name not in known]


def _unknown(name: str, known: Collection[str]) -> str:
    near = nearest(name, sorted(known))
    if near:
        return f"there is no notifier «{name}»: did you mean «{near}»?"
    if known:
        return f"there is no notifier «{name}»: the config has {', '.join(sorted(known))}"
    return f"there is no notifier «{name}»: the config has none; a table [notifiers.{name}] makes it one"
