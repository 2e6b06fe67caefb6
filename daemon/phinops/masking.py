"""What is to be kept from people, known by its name: masked wherever something is kept that others named."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

SECRET = "secret|passw|token|credential|access.?key|api.?key|signature|authorization"
"""A pattern that names of what is to be kept from people have in them, in letters of any case."""

MASK = "***"

_SECRET = re.compile(SECRET, re.IGNORECASE)


def masked(value: Any, name: str = "") -> Any:
    """The JSON value, `name`d so, with `***` in the place of every text that bears the name of a secret."""
    if isinstance(value, Mapping):
        return {key: masked(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked(item, name) for item in value]
    return MASK if isinstance(value, str) and value and _SECRET.search(name) else value
