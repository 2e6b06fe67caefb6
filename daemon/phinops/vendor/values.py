"""Single fields: times, durations, counts, states."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from phinops.durations import parse_duration

Record = Mapping[str, Any]

STATES: Mapping[str, str] = {
    "INIT": "WAITING",
    "NIT": "WAITING",
    "WAIT_SUBMISSION": "WAITING",
    "WAIT_SCHEDULE": "WAITING",
    "WAIT_RESOURCE": "WAITING",
    "WAITING": "WAITING",
    "WATING": "WAITING",
    "DISPATCH_BLOCKED": "BLOCKED",
    "BLOCKED": "BLOCKED",
    "RUNNING": "RUNNING",
    "SUCCESS": "SUCCESS",
    "FAILED": "FAILED",
    "FAILE": "FAILED",
}
"""Every spelling of an instance's status, and the state that it means; any other is UNKNOWN."""

STATUS_FILTERS: Mapping[str, tuple[str, ...]] = {
    "WAITING": ("INIT", "WAIT_SUBMISSION", "WAIT_SCHEDULE", "WAIT_RESOURCE"),
    "BLOCKED": ("DISPATCH_BLOCKED",),
    "RUNNING": ("RUNNING",),
    "SUCCESS": ("SUCCESS",),
    "FAILED": ("FAILED",),
}
"""What `RunStatusList` of ListInstances takes for each state."""

_WORST_FIRST = ("FAILED", "BLOCKED", "RUNNING", "WAITING", "UNKNOWN", "SUCCESS")
_ABSENT = frozenset({"", "null", "none", "-", "--"})
_COMPACT: Mapping[tuple[int, int], str] = {
    (8, 0): "%Y%m%d",
    (14, 0): "%Y%m%d%H%M%S",
    (9, 1): "%Y_%m%d",
    (14, 2): "%Y_%m%d_%H%M",
}
"""By the length of the text and its underscores: strptime alone also takes shorter numbers."""

_CLOCK = re.compile(r"(\d+):([0-5]\d):([0-5]\d)(?:\.\d+)?")
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")
_FLAGS = {"true": True, "false": False, "1": True, "0": False}


def read_time(value: object, zone: tzinfo, field: str = "time") -> datetime | None:
    """The moment that `value` names, in `zone`; None when it is absent, zero or less.

    Takes epoch milliseconds as a number or as digits, `yyyy-MM-dd HH:mm:ss` with or without fraction or
    seconds, `yyyy-MM-dd`, `yyyyMMdd`, `yyyyMMddHHmmss`, `yyyy_MMdd_HHmm` and RFC 3339.

    Raises:
        ValueError: `value` is none of these.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _from_millis(value, zone, field)
    text = _stripped(value, field)
    if not text:
        return None
    if re.fullmatch(r"-?\d+", text) and len(text) not in (8, 14):
        return _from_millis(int(text), zone, field)
    moment = _parse_text(text, zone)
    if moment is None:
        raise ValueError(f"{field}: «{text}» is not a time")
    return moment


def write_time(when: datetime, zone: tzinfo) -> str:
    """`when` as the service's requests want it: `yyyy-MM-dd HH:mm:ss` on the clocks of `zone`."""
    return when.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def read_biz_date(value: object, zone: tzinfo, field: str = "BizDate") -> str:
    """The business date as `YYYY-MM-DD`, or "" when it is absent.

    Raises:
        ValueError: `value` is no time that `read_time` takes.
    """
    moment = read_time(value, zone, field)
    return moment.date().isoformat() if moment else ""


def read_duration(value: object, field: str = "Duration") -> int | None:
    """Whole seconds of `60`, `'60'`, `'60s'`, `'1m30s'` or `'00:01:30'`; None when absent.

    Raises:
        ValueError: `value` is none of these, or less than zero.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _whole_seconds(value, field)
    text = _stripped(value, field).replace(" ", "").lower()
    if not text:
        return None
    if _NUMBER.fullmatch(text):
        return _whole_seconds(float(text), field)
    if clock := _CLOCK.fullmatch(text):
        hours, minutes, seconds = map(int, clock.groups())
        return hours * 3600 + minutes * 60 + seconds
    try:
        return int(parse_duration(text).total_seconds())
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from error


def read_rate(value: object, field: str = "ErrorRate") -> float | None:
    """A percentage as a share from 0 to 1: `10.01`, `'10.0'` and `'23.2%'` are 0.1001, 0.1 and 0.232.

    All three forms are per cents in the service's own examples (102 errors of 1021 calls are given as 10.01).

    Raises:
        ValueError: `value` is no number, or not from 0 to 100.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        percent = float(value)
    else:
        text = _stripped(value, field).removesuffix("%").strip()
        if not text:
            return None
        if not _NUMBER.fullmatch(text):
            raise ValueError(f"{field}: «{value}» is not a percentage")
        percent = float(text)
    if not 0 <= percent <= 100:
        raise ValueError(f"{field}: {value} is not from 0 to 100 per cent")
    return percent / 100


def read_count(value: object, field: str) -> int | None:
    """A whole number given as a number or as digits; None when absent.

    Raises:
        ValueError: `value` is no whole number, or less than zero.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    text = _stripped(value, field)
    if not text:
        return None
    if not text.isdecimal():
        raise ValueError(f"{field}: «{text}» is not a count")
    return int(text)


def read_text(value: object, field: str) -> str:
    """A text, "" when absent; a whole number is written with all its digits.

    Raises:
        ValueError: `value` is a list, an object or a fraction (an id that was read as one has lost digits).
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"{field}: {kind_of(value)} where a text was expected")


def read_id(record: Record, field: str = "Id") -> str:
    """The id that `record` bears under `field`, never empty.

    Raises:
        ValueError: there is none, or it is no text and no whole number.
    """
    found = read_text(record.get(field), field).strip()
    if not found:
        raise ValueError(f"{field} is missing")
    return found


def read_flag(value: object, field: str) -> bool | None:
    """True or false, also as a text; None when absent.

    Raises:
        ValueError: `value` is neither.
    """
    if isinstance(value, bool):
        return value
    text = _stripped(value, field).lower()
    if not text:
        return None
    if text not in _FLAGS:
        raise ValueError(f"{field}: «{value}» is neither true nor false")
    return _FLAGS[text]


def read_state(statuses: object, field: str = "StatusList") -> str:
    """The one of `event.INSTANCE_STATES` that a record's status means; UNKNOWN when absent or not known.

    A logical table has several statuses: the worst counts, in the order FAILED, BLOCKED, RUNNING, WAITING,
    UNKNOWN, SUCCESS.

    Raises:
        ValueError: `statuses` is neither a text nor a list of texts.
    """
    listed = [statuses] if isinstance(statuses, str) else read_list(statuses, field)
    states = {STATES.get(read_text(status, field).strip().upper(), "UNKNOWN") for status in listed}
    return next((state for state in _WORST_FIRST if state in states), "UNKNOWN")


def read_list(value: object, field: str) -> Sequence[Any]:
    """A list, empty when absent.

    Raises:
        ValueError: `value` is something else.
    """
    if value is None:
        return ()
    if isinstance(value, list | tuple):
        return value
    raise ValueError(f"{field}: {kind_of(value)} where a list was expected")


def read_object(value: object, field: str) -> Record:
    """An object, empty when absent.

    Raises:
        ValueError: `value` is something else.
    """
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return value
    raise ValueError(f"{field}: {kind_of(value)} where an object was expected")


def read_params(value: object, field: str) -> dict[str, str]:
    """A list of `{Key, Value}` as a map of texts; a key that comes twice has its last value.

    Raises:
        ValueError: it is no such list.
    """
    pairs = (read_object(pair, field) for pair in read_list(value, field))
    return {read_text(pair.get("Key"), f"{field}.Key"): _printed(pair.get("Value")) for pair in pairs}


def _from_millis(millis: float, zone: tzinfo, field: str) -> datetime | None:
    if millis <= 0:
        return None
    try:
        # Whole arithmetic: a float of seconds would lose the milliseconds that tell two runs apart.
        seconds, rest = divmod(int(millis), 1000)
        return (datetime.fromtimestamp(seconds, UTC) + timedelta(milliseconds=rest)).astimezone(zone)
    except (OverflowError, OSError, ValueError) as error:
        raise ValueError(f"{field}: {millis} is not a time in milliseconds") from error


def _parse_text(text: str, zone: tzinfo) -> datetime | None:
    pattern = _COMPACT.get((len(text), text.count("_")), "")
    with suppress(ValueError):
        if pattern:
            return datetime.strptime(text, pattern).replace(tzinfo=zone)
        moment = datetime.fromisoformat(text.replace("/", "-"))
        return moment.astimezone(zone) if moment.tzinfo else moment.replace(tzinfo=zone)
    return None


def _whole_seconds(value: float, field: str) -> int:
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{field}: {value} is not a duration")
    return int(value)


def _printed(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _stripped(value: object, field: str) -> str:
    """The text without its blanks; "" when it stands for nothing."""
    text = read_text(value, field).strip()
    return "" if text.lower() in _ABSENT else text


def kind_of(value: object) -> str:
    """What a person calls the JSON type of `value`."""
    names = {
        bool: "a flag",
        int: "a number",
        float: "a fraction",
        str: "a text",
        list: "a list",
        dict: "an object",
    }
    return names.get(type(value), f"a {type(value).__name__}")
