"""`inputs` of a blueprint, and the values that rules give to them: declared by type, checked where they stand."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from phinops.decide.blueprintmodel import InputModel
from phinops.decide.document import Node
from phinops.decide.findings import Findings, did_you_mean, listed
from phinops.decide.inputs import InputValue, unknown_input, written
from phinops.decide.mistakes import InNode, validated
from phinops.decide.model import IDENTIFIER, RESERVED
from phinops.decide.strict import shown
from phinops.durations import parse_duration
from phinops.errors import PhinopsError

Notifiers = Collection[str] | None
Place = tuple[int, int]

NOWHERE: Place = (0, 0)
"""The place of what was made up: a mistake there is nobody's."""

_MEASURED = ("int", "float", "duration")
_LARGEST = 2**63 - 1


class WrongInput(PhinopsError):
    """The value is none for the input; the text follows on the input's name."""


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a blueprint. `type` is "" where its declaration is broken; without a `default` it needs a value."""

    name: str
    type: str = ""
    description: str = ""
    default: InputValue = None
    place: Place = NOWHERE
    least: Any = None
    most: Any = None
    choices: tuple[Any, ...] = ()

    def value(self, raw: Any, notifiers: Notifiers) -> InputValue:
        """What is written as a value of the input.

        Raises:
            WrongInput: it is not of the type or not within the bounds; the text follows on the input's name.
        """
        found: Any = _of_type(self.type, raw, notifiers)
        if self.choices and found not in self.choices:
            known = [str(written(each)) for each in self.choices]
            near = did_you_mean(str(raw), known) or f": it is one of {', '.join(known)}"
            raise WrongInput(f"cannot be «{raw}»{near}")
        if self.least is not None and found < self.least:
            raise WrongInput(f"must be at least {written(self.least)}, not {raw}")
        if self.most is not None and found > self.most:
            raise WrongInput(f"must be at most {written(self.most)}, not {raw}")
        value: InputValue = found
        return value


@dataclass(frozen=True, slots=True)
class Filled:
    """A value of an input and where it comes from; `place` is None where mistakes belong to where it is put."""

    value: InputValue
    place: Place | None

    def node(self, instead_of: Node) -> Node:
        """The value as it would stand in the file in place of the node."""
        place = instead_of.place if self.place is None else self.place
        plain = written(self.value)
        if isinstance(plain, list):
            plain = [_scalar(item, place, instead_of) for item in plain]
        return _scalar(plain, place, instead_of)


def _scalar(value: Any, place: Place, instead_of: Node) -> Node:
    # A folded block is known by its place alone, and so is this.
    return Node(value, *place, instead_of.start, instead_of.end, ">")


def read_inputs(node: Node | None, notifiers: Notifiers, findings: Findings) -> dict[str, Input]:
    """The inputs below the key `inputs`, by name; mistakes in them are reported."""
    if node is None or node.value is None:
        return {}
    if not isinstance(node.value, dict):
        findings.error("bad-value", node.place, "«inputs» must be a mapping of names, each with its type")
        return {}
    for name, key in node.keys.items():
        if not IDENTIFIER.fullmatch(name) or name in RESERVED:
            message = f"«{name}» must be letters, digits and `_` and no word of CEL: conditions say inputs.NAME"
            findings.error("bad-value", key.place, message)
    return {name: _read_input(name, item, notifiers, findings) for name, item in node.value.items()}


def _read_input(name: str, node: Node, notifiers: Notifiers, findings: Findings) -> Input:
    if not isinstance(node.value, dict):
        message = f"«{name}» must be a mapping with its type, such as {{ type: string }}"
        findings.error("bad-value", node.place, message)
        return Input(name)
    model = validated(InputModel, node.plain(), InNode(node), findings)
    if model is None:
        return Input(name)
    reader = _Reader(node, model.type, notifiers, findings)
    bare = Input(
        name,
        model.type,
        model.description,
        least=reader.bound("min"),
        most=reader.bound("max"),
        choices=reader.choices(),
    )
    default = node.child("default")
    if default is None:
        return bare
    value = reader.read("default", default, lambda raw: bare.value(raw, notifiers))
    return replace(bare, default=value, place=default.place) if value is not None else Input(name)


@dataclass(frozen=True, slots=True)
class _Reader:
    """The declaration of one input."""

    node: Node
    type: str
    notifiers: Notifiers
    findings: Findings

    def read(self, key: str, node: Node, parse: Callable[[Any], InputValue]) -> InputValue:
        try:
            return parse(node.plain())
        except WrongInput as error:
            self.findings.error("bad-value", node.place, f"«{key}» {error}")
            return None

    def bound(self, key: str) -> InputValue:
        node = self.node.child(key)
        if node is None:
            return None
        if self.type not in _MEASURED:
            message = f"«{key}» is for {', '.join(_MEASURED)}, and this is a {self.type}"
            self.findings.error("bad-value", self.node.keys[key].place, message)
            return None
        return self.read(key, node, lambda raw: _of_type(self.type, raw, None))

    def choices(self) -> tuple[InputValue, ...]:
        node = self.node.child("choices")
        items = node.value if node else ()
        found = [self.read("choices", item, lambda raw: _of_type(self.type, raw, self.notifiers)) for item in items]
        return tuple(each for each in found if each is not None)


def _of_type(kind: str, raw: Any, notifiers: Notifiers) -> Any:
    if raw is None:
        raise WrongInput("has no value")
    return _TYPES[kind](raw, notifiers)


def _string(raw: Any, notifiers: Notifiers) -> str:
    if not isinstance(raw, str):
        raise WrongInput(f"must be text, not {shown(raw)}{': put it in quotes' if _is_plain(raw) else ''}")
    return raw


def _int(raw: Any, notifiers: Notifiers) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int):
        raise WrongInput(f"must be a whole number, not {shown(raw)}")
    if abs(raw) > _LARGEST:
        raise WrongInput(f"must be a whole number of at most {_LARGEST}, not {raw}")
    return raw


def _float(raw: Any, notifiers: Notifiers) -> float:
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise WrongInput(f"must be a number, not {shown(raw)}")
    return float(raw)


def _bool(raw: Any, notifiers: Notifiers) -> bool:
    if not isinstance(raw, bool):
        raise WrongInput(f"must be true or false, not {shown(raw)}")
    return raw


def _duration(raw: Any, notifiers: Notifiers) -> timedelta:
    try:
        return parse_duration(raw)
    except ValueError:
        raise WrongInput(f"must be a duration such as 90s, 15m or 2d, not {shown(raw)}") from None
    except OverflowError:
        raise WrongInput(f"{shown(raw)} is longer than any calendar") from None


def _list(raw: Any, notifiers: Notifiers) -> list[str]:
    if not isinstance(raw, list):
        raise WrongInput(f"must be a list of texts, not {shown(raw)}")
    for item in raw:
        if not isinstance(item, str):
            raise WrongInput(f"must be a list of texts, and {shown(item)} is none")
    return raw


def _notifier(raw: Any, notifiers: Notifiers) -> str:
    name = _string(raw, notifiers)
    if notifiers is not None and name not in notifiers:
        near = did_you_mean(name, notifiers) or f": the config has {listed(notifiers) or 'none'}"
        raise WrongInput(f"names no notifier of the config, «{name}»{near}")
    return name


_TYPES: Mapping[str, Callable[[Any, Notifiers], Any]] = {
    "string": _string, "int": _int, "float": _float, "bool": _bool, "duration": _duration, "list": _list,
    "notifier": _notifier,
}  # fmt: skip


def _is_plain(raw: Any) -> bool:
    return not isinstance(raw, dict | list)


# Values that fit wherever one of the type may: `count` takes no less than 2, `within` no more than a day.
_STAND_INS: Mapping[str, InputValue] = {"int": 2, "float": 1.0, "bool": True, "duration": timedelta(hours=1)}


def stand_in(declared: Input) -> Filled:
    """A value to check the blueprint with. Where any text would do, nothing that follows from this one is a mistake."""
    if declared.default is not None:
        # A text may be wrong where it is put; of a number it is the place that is wrong for it.
        return Filled(declared.default, None if declared.type in _STAND_INS else declared.place)
    if declared.choices:
        return Filled(declared.choices[0], None)
    if declared.type in _STAND_INS:
        return Filled(_within(_STAND_INS[declared.type], declared), None)
    return Filled({"": None, "list": ["x"]}.get(declared.type, "x"), NOWHERE)


def _within(value: Any, declared: Input) -> Any:
    if declared.least is not None:
        value = max(value, declared.least)
    return value if declared.most is None else min(value, declared.most)


def fill(
    inputs: Mapping[str, Input], given: Node | None, at: Place, notifiers: Notifiers, findings: Findings
) -> dict[str, Filled]:
    """A value for each input that has one: given below `with`, or its default, which then stands `at` the rule's `use`.

    What is missing, unknown or wrong is reported at its place.
    """
    if given and given.value is not None and not isinstance(given.value, dict):
        return {}  # a mistake that is told elsewhere
    entries: Mapping[str, Node] = given.value if given and given.value else {}
    for name in entries:
        if name not in inputs and given:
            findings.error("blueprint-input", given.keys[name].place, unknown_input(name, inputs))
    missing = given.place if entries and given else at
    # Where a declaration is broken, any value will do.
    sound = (each for each in inputs.values() if each.type)
    found = {each.name: _filled(each, entries.get(each.name), at, missing, notifiers, findings) for each in sound}
    return {name: filled for name, filled in found.items() if filled}


def _filled(
    declared: Input, node: Node | None, at: Place, missing: Place, notifiers: Notifiers, findings: Findings
) -> Filled | None:
    if node is not None:
        try:
            return Filled(declared.value(node.plain(), notifiers), node.place)
        except WrongInput as error:
            findings.error("blueprint-input", node.place, f"«{declared.name}» {error}")
            return None
    if declared.default is not None:
        return Filled(declared.default, at)
    what = f": {declared.description}" if declared.description else f", a {declared.type}"
    findings.error("blueprint-input", missing, f"«{declared.name}» is missing{what}")
    return None
