"""`on` over several events: `{ event, count, within }`, `{ all, within }` and `{ event, absent, within }`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pydantic import BaseModel

from phinops.catalog.catalog import nearest
from phinops.decide.document import Node
from phinops.decide.findings import Findings
from phinops.decide.lasting import FORMS, alone
from phinops.decide.mistakes import InNode, validated
from phinops.decide.model import AbsentModel, AllModel, CountModel
from phinops.decide.pattern import Kind, Pattern
from phinops.event import SCHEDULE

TypeMistake = Callable[[Node], tuple[str, str] | None]
"""Code and message of what is wrong with the name of an event type, or None."""

_MODELS: Mapping[Kind, type[BaseModel]] = {"all": AllModel, "count": CountModel, "absent": AbsentModel}


def kind_of(node: Node) -> Kind | None:
    """Which correlation a mapping after `on` is meant to be, misspelt keys allowed for; None for anything else."""
    for kind in _MODELS:
        if kind in node.value:
            return kind
    if "event" not in node.value:
        return None
    near = {nearest(key, ("count", "absent")) for key in node.value if key not in ("event", "within")}
    return next((kind for kind in _MODELS if kind in near), None)


def read_correlation(node: Node, kind: Kind, findings: Findings, mistake: TypeMistake) -> Pattern | None:
    """The pattern that the mapping says, or None and its mistakes reported."""
    before = findings.errors
    model = validated(_MODELS[kind], node.plain(), InNode(node), findings)
    for each in _type_nodes(node):
        _check_type(each, findings, mistake)
    _check_distinct(node, kind, findings)
    if findings.errors > before:
        return None
    match model:
        case CountModel():
            return Pattern("count", (model.event,), model.within, model.count)
        case AllModel():
            return Pattern("all", tuple(model.all), model.within)
        case AbsentModel():
            return Pattern("absent", (model.event, model.absent), model.within)
    return None


def _type_nodes(node: Node) -> list[Node]:
    """Every node that names an event type; what is no text at all the model has told."""
    every = node.child("all")
    listed = every.value if every and isinstance(every.value, list) else ()
    found = (node.child("event"), node.child("absent"), *listed)
    return [each for each in found if each is not None and isinstance(each.value, str)]


def _check_type(node: Node, findings: Findings, mistake: TypeMistake) -> None:
    found = ("bad-value", alone(node.value)) if node.value in FORMS else mistake(node)
    if found:
        findings.error(found[0], node.place, found[1])
    elif node.value == SCHEDULE:
        message = "schedule.fired comes from one rule's own schedule: it cannot be counted or waited for with others"
        findings.error("bad-value", node.place, message)


def _check_distinct(node: Node, kind: Kind, findings: Findings) -> None:
    seen: set[str] = set()
    for each in _type_nodes(node) if kind != "count" else ():
        if each.value in seen:
            same = f"«{each.value}» stands there twice"
            cure = "its absence cannot follow from itself" if kind == "absent" else "to count it say event and count"
            findings.error("same-event", each.place, f"{same}: {cure}")
        seen.add(each.value)
