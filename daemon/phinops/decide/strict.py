"""What all models of rule files share: unknown keys are mistakes, and an empty value is a forgotten one."""

from __future__ import annotations

from pydantic import BaseModel, BeforeValidator, ConfigDict


class Model(BaseModel):
    """A mapping of a rule file: unknown keys are mistakes, and values are of the type that was written."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


def _given(value: object) -> object:
    if value is None:
        raise ValueError("has no value")
    return value


Given = BeforeValidator(_given)
"""Marks what may be left out, but not left empty: an empty key is a forgotten value."""


def shown(value: object) -> str:
    """The value for a message."""
    return "a collection" if isinstance(value, dict | list) else f"«{value}»"
