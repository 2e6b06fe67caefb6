"""Values of a file as those of the event model: ids become text, times get the zone of the config."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any

from phinops.event import field_types


def fitted(model: type, given: Mapping[str, Any], zone: tzinfo) -> dict[str, Any]:
    """Those of the model's fields that are given, each as what the model has there."""
    kinds = field_types(model)
    return {name: fit(kinds[name], value, zone) for name, value in given.items() if name in kinds}


def fit(kind: Any, value: Any, zone: tzinfo) -> Any:
    """A value as the model has it in a field of this type."""
    options = [each for each in typing.get_args(kind) if each is not types.NoneType]
    inner = options[0] if isinstance(kind, types.UnionType) else kind
    if value is None or inner is Any:
        return "" if value is None and inner is str else value
    if dataclasses.is_dataclass(inner) and isinstance(inner, type):
        return inner(**fitted(inner, value, zone))
    if typing.get_origin(inner) is tuple:
        return tuple(fit(typing.get_args(inner)[0], each, zone) for each in value)
    if typing.get_origin(inner) is Mapping:
        return {str(key): fit(str, each, zone) for key, each in value.items()}
    if inner is datetime:
        return moment(value, zone)
    if inner is str:
        return str(value).lower() if isinstance(value, bool) else str(value)
    return float(value) if inner is float else value


def moment(text: str, zone: tzinfo) -> datetime:
    """The time that the text says, in `zone` where it says none."""
    found = datetime.fromisoformat(text)
    return found.astimezone(zone) if found.tzinfo else found.replace(tzinfo=zone)


def shown(value: Any) -> str:
    """The value in a line, as YAML would have it where that is plain."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {shown(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(shown, value)) + "]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
