"""The values that a rule gives to its blueprint: how they are kept, and how they are told apart by their types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, TypeAlias

from phinops.decide.findings import did_you_mean, listed
from phinops.durations import exact_duration
from phinops.event import JsonObject

InputValue: TypeAlias = str | int | float | bool | timedelta | list[str] | None
"""None stands for a value whose type is not known; only `check` of a broken blueprint has such."""

Inputs: TypeAlias = Mapping[str, InputValue]


def inputs_json(inputs: Inputs) -> JsonObject:
    """What `inputs_from_json` reads back."""
    return {
        name: {"seconds": value.total_seconds()} if isinstance(value, timedelta) else value
        for name, value in inputs.items()
    }


def inputs_from_json(document: Mapping[str, Any]) -> Inputs:
    """The values that `inputs_json` wrote."""
    return {
        name: timedelta(seconds=value["seconds"]) if isinstance(value, dict) else value
        for name, value in document.items()
    }


def inputs_text(inputs: Inputs) -> JsonObject:
    """The values as texts see them: a duration as people write it."""
    return {name: written(value) for name, value in inputs.items()}


def unknown_input(name: str, inputs: Iterable[str]) -> str:
    """What to say of an input that the blueprint does not have among its `inputs`."""
    near = did_you_mean(name, inputs) or f": it has {listed(inputs) or 'none'}"
    return f"the blueprint has no input «{name}»{near}"


def written(value: InputValue) -> Any:
    """The value as it stands in a file."""
    return exact_duration(value) if isinstance(value, timedelta) else value
