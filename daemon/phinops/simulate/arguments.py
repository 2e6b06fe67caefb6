"""The parameters of a call off the wire, checked in depth against the catalog.

Scalars come in the query, each struct or list as one form field that holds JSON (the official SDK's way), or as a
key of a flat JSON body (seen to work on private installations).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from phinops.catalog.catalog import ApiSpec, Parameter
from phinops.simulate.refusal import Refusal, invalid, missing

Arguments = dict[str, Any]

_SCALARS = frozenset({"string", "integer", "number", "boolean"})
_FLAGS = {"true": True, "false": False}


def read_arguments(spec: ApiSpec, query: Mapping[str, str], form: Mapping[str, Any]) -> Arguments:
    """The call's arguments by name, in the types of the catalog.

    Digits become integers and integers texts where those are wanted, as the service's own JSON reader does.

    Raises:
        Refusal: a required one is missing, one is of another type, or one is unknown.
    """
    unknown = [name for name in (*query, *form) if spec.parameter(name) is None]
    if unknown:
        raise Refusal("InvalidParameter", f"The parameter {unknown[0]} is unknown", reason="parameters")
    arguments: Arguments = {}
    for parameter in spec.parameters:
        raw = _raw(parameter, query, form)
        if raw is not None:
            arguments[parameter.name] = _read(parameter, raw, parameter.name)
        elif parameter.required:
            raise missing(parameter.name)
    return arguments


def _raw(parameter: Parameter, query: Mapping[str, str], form: Mapping[str, Any]) -> Any:
    name = parameter.name
    if parameter.type in _SCALARS:
        return query.get(name, form.get(name))
    if name in query and name not in form:
        # Seen on a real installation: a struct in the query is read as absent, deep inside.
        raise Refusal(
            "Dataphin.OpenAPI.BadGateway",
            f"Not a JSON Object: JsonNull ({name})",
            status=502,
            reason="parameters",
        )
    raw = form.get(name)
    if isinstance(raw, str):
        try:
            return json.loads(raw)
        except json.JSONDecodeError as error:
            raise invalid(f"{name} is not JSON: {error}") from error
    return raw


def _read(parameter: Parameter, raw: Any, path: str) -> Any:
    kind = parameter.type
    if kind.startswith("array<"):
        return _read_list(parameter, raw, path)
    if kind == "object":
        return _read_object(parameter, raw, path)
    value = _scalar(kind, raw, path)
    if parameter.closed and value not in parameter.enum:
        raise invalid(f"{path} must be one of {', '.join(parameter.enum)}, not {value!r}")
    return value


def _read_list(parameter: Parameter, raw: Any, path: str) -> list[Any]:
    if not isinstance(raw, list):
        raise invalid(f"{path} must be a list")
    inner = parameter.type[len("array<") : -1]
    if inner == "object":
        return [_read_object(parameter, each, f"{path}[{number}]") for number, each in enumerate(raw)]
    return [_scalar(inner, each, f"{path}[{number}]") for number, each in enumerate(raw)]


def _read_object(parameter: Parameter, raw: Any, path: str) -> Arguments:
    if not isinstance(raw, dict):
        raise invalid(f"{path} must be an object")
    if not parameter.children:
        return raw
    known = {child.name: child for child in parameter.children}
    for name in raw:
        if name not in known:
            raise Refusal("InvalidParameter", f"The parameter {path}.{name} is unknown", reason="parameters")
    values: Arguments = {}
    for name, child in known.items():
        value = raw.get(name)
        if value is not None:
            values[name] = _read(child, value, f"{path}.{name}")
        elif child.required:
            raise missing(f"{path}.{name}")
    return values


def _scalar(kind: str, raw: Any, path: str) -> Any:
    read = _AS.get(kind)
    value = raw if read is None else read(raw)
    if value is None:
        raise invalid(f"{path} must be of type {kind}, not {json.dumps(raw, ensure_ascii=False)}")
    return value


def _as_flag(raw: Any) -> bool | None:
    value = _FLAGS.get(raw.lower()) if isinstance(raw, str) else raw
    return value if isinstance(value, bool) else None


def _as_integer(raw: Any) -> int | None:
    if isinstance(raw, str):
        return int(raw) if raw.removeprefix("-").isdecimal() else None
    return raw if isinstance(raw, int) and not isinstance(raw, bool) else None


def _as_text(raw: Any) -> str | None:
    if isinstance(raw, int) and not isinstance(raw, bool):
        return str(raw)
    return raw if isinstance(raw, str) else None


_AS: Mapping[str, Callable[[Any], Any]] = {
    "boolean": _as_flag,
    "integer": _as_integer,
    "string": _as_text,
}
