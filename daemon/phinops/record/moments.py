"""Times in the store: whole microseconds since 1970 in UTC, so that rows order exactly as times do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import overload

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@overload
def to_micros(when: datetime) -> int: ...
@overload
def to_micros(when: datetime | None) -> int | None: ...
def to_micros(when: datetime | None) -> int | None:
    """The aware time `when` as an integer, exactly; None stays None.

    Raises:
        TypeError: `when` bears no zone.
    """
    return None if when is None else (when - _EPOCH) // _MICROSECOND


@overload
def from_micros(micros: int) -> datetime: ...
@overload
def from_micros(micros: int | None) -> datetime | None: ...
def from_micros(micros: int | None) -> datetime | None:
    """The time that `to_micros` was given, in UTC."""
    return None if micros is None else _EPOCH + micros * _MICROSECOND
