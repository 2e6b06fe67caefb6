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
    """The value for a message, as YAML has it."""
    if isinstance(value, dict | list):
        return "a collection"
    return f"«{str(value).lower() if isinstance(value, bool) else value}»"
