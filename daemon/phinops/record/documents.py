"""Structures in the store: JSON as text."""

from __future__ import annotations

import json
from typing import Any


def to_text(value: object) -> str:
    """A value of JSON types as text.

    Non-ASCII is escaped: a lone surrogate, which JSON allows in a payload, could not be stored otherwise.

    Raises:
        TypeError: something in `value` is not a JSON type.
    """
    return json.dumps(value, separators=(",", ":"))


def from_text(text: str) -> Any:
    """The value that `to_text` was given."""
    return json.loads(text)
