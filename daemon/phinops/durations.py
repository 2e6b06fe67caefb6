"""Durations as people write them, such as `90s` or `1h30m`: days, hours, minutes, seconds, milliseconds."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")
_MICROSECONDS = ((86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s"))
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(text: str) -> timedelta:
    """The duration that `text` names.

    Raises:
        ValueError: `text` is not one or more numbers each followed by ms, s, m, h or d.
    """
    if not isinstance(text, str) or not _WHOLE.fullmatch(text):
        raise ValueError(f"«{text}» is not a duration: write a number with a unit, such as 90s, 15m, 1h30m or 2d")
    return timedelta(seconds=sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text)))


def format_duration(duration: timedelta) -> str:
    """The shortest text that `parse_duration` reads back as `duration`, to the millisecond."""
    left = round(duration.total_seconds() * 1000)
    parts = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def exact_duration(span: timedelta) -> str:
    """The shortest text that `parse_duration` reads back as exactly this span."""
    left = span // timedelta(microseconds=1)
    parts = []
    for size, unit in _MICROSECONDS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    if left:
        parts.append(f"{left / 1000:.3f}".rstrip("0").rstrip(".") + "ms")
    text = "".join(parts) or "0s"
    # Of a long span with a fraction the sum of the parts is not what a double of seconds makes of it.
    return text if parse_duration(text) == span else f"{Decimal(repr(span.total_seconds())):f}s"


def about(duration: timedelta) -> str:
    """The duration for people to read: to the second from one second on."""
    seconds = duration.total_seconds()
    return format_duration(timedelta(seconds=round(seconds)) if seconds >= 1 else duration)
