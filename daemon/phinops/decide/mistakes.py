"""What pydantic finds wrong with a mapping, said with its place in the file and a cure."""

from __future__ import annotations

import re
import typing
from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from phinops.catalog.catalog import nearest
from phinops.decide.document import Node, Path
from phinops.decide.findings import CODES, Findings, did_you_mean, listed

M = TypeVar("M", bound=BaseModel)

_WANTED: Mapping[str, str] = {
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "list_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "bool_type": "must be true or false",
}


class Where(typing.Protocol):
    """Where the values and keys of what was validated stand."""

    def value(self, path: Path) -> tuple[int, int]:
        """The place of the value, or of the nearest thing around it."""
        ...

    def key(self, path: Path) -> tuple[int, int]:
        """The place of the key that the path ends in."""
        ...


class InNode:
    """Places below one node of a document."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def value(self, path: Path) -> tuple[int, int]:
        """The place of the value that the path leads to, as far as it goes."""
        return self._node.deepest(path)[0].place

    def key(self, path: Path) -> tuple[int, int]:
        """The place of the key that the path ends in."""
        return self._node.place_of_key(path)


def validated(
    model: type[M], value: Any, where: Where, findings: Findings, elsewhere: Mapping[str, str] | None = None,
    code: str = "bad-value",
) -> M | None:  # fmt: skip
    """`value` as the model, or None and every mistake in it reported.

    `elsewhere` are keys that belong to other places than the outermost level, with where. `code` is that of
    values that are wrong in a way of their own.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        all_details = error.errors(include_url=False, include_input=True)
        meant = {_meant(model, details["loc"]) for details in all_details if details["type"] == "extra_forbidden"}
        told: set[tuple[int, int]] = set()
        for details in all_details:
            if details["type"] == "missing" and details["loc"] in meant:
                continue  # it is there, misspelt
            found, place, message = _mistake(model, details, where, elsewhere or {}, code)
            if place not in told or details["type"] == "missing":
                # The branches of a union all complain of the same value.
                findings.error(found, place, message)
                told |= {place} if details["type"] != "missing" else set()
        return None


def _meant(model: type[BaseModel], path: Path) -> Path:
    """The path of the key that the unknown one at `path` most likely stands for."""
    return (*path[:-1], nearest(str(path[-1]), keys_at(model, path[:-1])))


def misspelt(key: str, keys: Iterable[str], known: Collection[str]) -> bool:
    """Whether one of `keys`, unknown itself, most likely stands for `key`."""
    return any(nearest(each, sorted(known)) == key for each in keys if each not in known)


def _mistake(
    model: type[BaseModel], details: ErrorDetails, where: Where, elsewhere: Mapping[str, str], code: str
) -> tuple[str, tuple[int, int], str]:
    path = details["loc"]
    key = next((part for part in reversed(path) if isinstance(part, str)), "")
    match details["type"]:
        case "extra_forbidden" if len(path) == 1 and key in elsewhere:
            return _own(code, "unknown-key"), where.key(path), f"«{key}» is not a key of a rule: {elsewhere[key]}"
        case "extra_forbidden":
            return _own(code, "unknown-key"), where.key(path), _unknown(model, path)
        case "missing":
            return _own(code, "missing-key"), where.key(path), f"«{key}» is missing"
        case "literal_error":
            words = re.findall(r"'([^']*)'", str(details["ctx"]["expected"]))
            near = did_you_mean(str(details["input"]), words) or f": it is one of {', '.join(words)}"
            return code, where.value(path), f"«{key}» cannot be {_shown(details['input'])}{near}"
        case "value_error":
            return code, where.value(path), f"«{key}» {details['ctx']['error']}"
        case kind if kind in CODES:
            return kind, where.value(path), f"«{key}» {details['msg']}"
        case kind:
            return code, where.value(path), f"«{key}» {_wanted(kind, details)}"


def _own(code: str, usual: str) -> str:
    return usual if code == "bad-value" else code


def _wanted(kind: str, details: ErrorDetails) -> str:
    value = details["input"]
    if value is None:
        return "has no value"
    if kind == "too_short":
        return "must not be empty"
    if kind == "greater_than_equal":
        return f"must be at least {details['ctx']['ge']}, not {_shown(value)}"
    if kind == "less_than_equal":
        return f"must be at most {details['ctx']['le']}, not {_shown(value)}"
    said = _WANTED.get(kind) or details["msg"].replace("Input should", "should")
    quotes = ": put it in quotes" if kind == "string_type" and not isinstance(value, dict | list) else ""
    return f"{said}, not {_shown(value)}{quotes}"


def _shown(value: Any) -> str:
    match value:
        case None:
            return "empty"
        case bool():
            return str(value).lower()
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case _:
            text = " ".join(str(value).split())
            return f"«{text if len(text) <= 60 else text[:57] + '...'}»"


def _unknown(model: type[BaseModel], path: Path) -> str:
    key = str(path[-1])
    known = keys_at(model, path[:-1])
    near = did_you_mean(key, known) or (f": it knows {listed(known)}" if known else "")
    around = next((part for part in reversed(path[:-1]) if isinstance(part, str)), "")
    return f"«{key}» is not a key{f' of {around}' if around else ''}{near}"


def keys_at(model: type[BaseModel], path: Path) -> tuple[str, ...]:
    """The keys of the model that the path leads to, as they are written."""
    kind: Any = model
    for part in path:
        if isinstance(part, str) and _is_model(kind):
            kind = next(
                (each.annotation for name, each in kind.model_fields.items() if part in (name, each.alias)), None
            )
            kind = _inner(kind)
    return tuple(each.alias or name for name, each in kind.model_fields.items()) if _is_model(kind) else ()


def _inner(kind: Any) -> Any:
    arguments: tuple[Any, ...] = typing.get_args(kind)
    return next((each for each in arguments if _is_model(each)), kind)


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
