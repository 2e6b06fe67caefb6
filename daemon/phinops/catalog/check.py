"""Whether the parameters of a call are right, found out before anything is sent.

Names, types and required parameters are checked as deep as the catalog describes them. People, YAML and
templates spell values in several ways: digits stand for an integer, an integer for text, "true" for a boolean,
a time for either; `convert` gives each the shape that Dataphin wants.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from typing import TypeAlias

from phinops.catalog.catalog import ApiSpec, Parameter, nearest

Path: TypeAlias = tuple[str | int, ...]

GIVEN = frozenset({"OpTenantId", "Env", "OpUserId"})
"""What phinops fills in, or leaves out, by itself; stating it is allowed, and never required."""

_INTEGER = re.compile(r"-?[0-9]{1,19}")
_INT64 = range(-(2**63), 2**63)
_NUMBER = re.compile(r"-?[0-9]{1,19}(\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class ParameterProblem:
    """One mistake. `path` leads to the value from the parameters' root.

    The path of a missing parameter ends in its own name, which is not there.
    """

    path: Path
    message: str


def problems_of(
    spec: ApiSpec,
    params: Mapping[str, object],
    *,
    given: frozenset[str] = GIVEN,
    templates: bool = False,
) -> list[ParameterProblem]:
    """Everything wrong with `params` as parameters of `spec`; empty when they may be sent.

    `given` are top-level names that need not be there. With `templates` a text holding `{{` or `{%` passes
    as a value of any type: what it becomes is checked when it is known. None stands for a parameter left out.
    """
    return list(_Check(templates).members(spec.name, spec.parameters, params, (), given))


def convert(spec: ApiSpec, params: Mapping[str, object], zone: tzinfo | None = None) -> dict[str, object]:
    """`params` as Dataphin wants them, ready for JSON, after `problems_of` found nothing wrong.

    Values of None are left out. A time becomes `yyyy-MM-dd HH:mm:ss` in `zone` (without one, in its own), and
    milliseconds since 1970 where an integer is wanted; a date becomes `yyyy-MM-dd`.
    """
    return _converted_object(spec.parameters, params, zone)


class _Check:
    """One walk through parameters; each method gives the problems of one kind of value."""

    def __init__(self, templates: bool) -> None:
        self._templates = templates

    def members(
        self,
        owner: str,
        known: Sequence[Parameter],
        value: Mapping[str, object],
        path: Path,
        given: frozenset[str] = frozenset(),
    ) -> Iterator[ParameterProblem]:
        by_name = {each.name: each for each in known}
        meant = {nearest(str(name), list(by_name)) for name in value if name not in by_name}
        for name, inside in value.items():
            if name not in by_name:
                yield ParameterProblem((*path, name), _unknown(str(name), owner, known, given))
            elif inside is not None:
                yield from self.value(by_name[name], by_name[name].type, inside, (*path, name))
        for each in known:
            if each.name in meant:
                continue  # it is there, misspelt
            if each.required and each.name not in given and value.get(each.name) is None:
                yield ParameterProblem((*path, each.name), f"{owner} needs {each.name} ({_WANTED[each.type]})")

    def value(self, want: Parameter, kind: str, value: object, path: Path) -> Iterator[ParameterProblem]:
        if self._templates and isinstance(value, str) and ("{{" in value or "{%" in value):
            return
        if not _FITS[kind](value):
            message = f"{want.name} wants {_WANTED[kind]}, got {_described(value)}{_cure(kind, value)}"
            yield ParameterProblem(path, message)
        elif isinstance(value, Mapping):
            if want.children:
                yield from self.members(want.name, want.children, value, path)
        elif isinstance(value, list | tuple):
            yield from self.items(want, kind, value, path)
        elif want.closed and value not in want.enum:
            yield ParameterProblem(path, _outside(want, str(value)))

    def items(self, want: Parameter, kind: str, values: Sequence[object], path: Path) -> Iterator[ParameterProblem]:
        item_kind = kind.removeprefix("array<").removesuffix(">")
        for index, item in enumerate(values):
            yield from self.value(want, item_kind, item, (*path, index))


def _is_integer(value: object) -> bool:
    if isinstance(value, datetime):
        return value.tzinfo is not None
    if isinstance(value, str):
        return _INTEGER.fullmatch(value) is not None and int(value) in _INT64
    return isinstance(value, int) and not isinstance(value, bool) and value in _INT64


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        return _NUMBER.fullmatch(value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_text(value: object) -> bool:
    # A float is refused: an id of 19 digits would have lost its last ones.
    return isinstance(value, str | int | date) and not isinstance(value, bool)


def _is_boolean(value: object) -> bool:
    return isinstance(value, bool) or value in ("true", "false")


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


_FITS: Mapping[str, Callable[[object], bool]] = {
    "string": _is_text,
    "integer": _is_integer,
    "number": _is_number,
    "boolean": _is_boolean,
    "object": lambda value: isinstance(value, Mapping),
    "array<string>": _is_list,
    "array<integer>": _is_list,
    "array<object>": _is_list,
    "any": lambda value: True,
}

_WANTED: Mapping[str, str] = {
    "string": "text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "object": "an object",
    "array<string>": "a list of texts",
    "array<integer>": "a list of integers",
    "array<object>": "a list of objects",
    "any": "a value",
}


def _described(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case str():
            return repr(value)
        case int() | float() | date():
            return str(value)
        case Mapping():
            return "an object"
        case _:
            return "a list"


def _cure(kind: str, value: object) -> str:
    if kind == "string" and isinstance(value, bool | float):
        return ": put it in quotes"
    if kind.startswith("array") and isinstance(value, str):
        return f": write [{value}]"
    return ""


def _outside(want: Parameter, value: str) -> str:
    suggestion = nearest(value, want.enum)
    ending = f": did you mean «{suggestion}»?" if suggestion else ""
    return f"{want.name} is one of {', '.join(want.enum)}, not «{value}»{ending}"


def _unknown(name: str, owner: str, known: Sequence[Parameter], given: frozenset[str]) -> str:
    holder = next((each.name for each in known if any(child.name == name for child in each.children)), "")
    suggestion = nearest(name, [each.name for each in known])
    if holder:
        cure = f"it belongs inside {holder}"
    elif suggestion:
        cure = f"did you mean «{suggestion}»?"
    else:
        cure = f"it takes {', '.join(each.name for each in known if each.name not in given) or 'none'}"
    return f"{owner} has no parameter «{name}»: {cure}"


def _converted_object(
    known: Sequence[Parameter], value: Mapping[str, object], zone: tzinfo | None
) -> dict[str, object]:
    by_name = {each.name: each for each in known}
    return {name: _converted(by_name.get(name), inside, zone) for name, inside in value.items() if inside is not None}


def _converted(want: Parameter | None, value: object, zone: tzinfo | None) -> object:
    """`value` in the shape of `want`; what the catalog does not describe keeps its type."""
    if isinstance(value, Mapping):
        return _converted_object(want.children if want else (), value, zone)
    if isinstance(value, list | tuple):
        return [_converted(want, item, zone) for item in value]
    kind = want.type.removeprefix("array<").removesuffix(">") if want else "any"
    if isinstance(value, date):
        return _converted_time(kind, value, zone)
    match kind:
        case "string" if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        case "integer" if isinstance(value, str):
            return int(value)
        case "number" if isinstance(value, str):
            return float(value) if "." in value else int(value)
        case "boolean" if isinstance(value, str):
            return value == "true"
        case _:
            return value


def _converted_time(kind: str, value: date, zone: tzinfo | None) -> object:
    if not isinstance(value, datetime):
        return value.isoformat()
    if kind == "integer":
        return round(value.timestamp() * 1000)
    local = value.astimezone(zone) if zone and value.tzinfo else value
    return f"{local:%Y-%m-%d %H:%M:%S}"
