"""How values lie in the columns: times as whole microseconds since 1970 in UTC, structures as JSON text."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, overload

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@overload
def to_micros(when: datetime) -> int: ...
@overload
def to_micros(when: None) -> None: ...
def to_micros(when: datetime | None) -> int | None:
    """The aware time `when` as an integer, exact, so that rows order as times do; None stays None.

    Raises:
        TypeError: `when` bears no zone.
    """
    return None if when is None else (when - _EPOCH) // _MICROSECOND


@overload
def from_micros(micros: int) -> datetime: ...
@overload
def from_micros(micros: None) -> None: ...
def from_micros(micros: int | None) -> datetime | None:
    """The time that `to_micros` was given, in UTC."""
    return None if micros is None else _EPOCH + micros * _MICROSECOND


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
