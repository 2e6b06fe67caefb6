"""The kinds of value that the config's tables are made of, and how a mistake in one is told."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from phinops.durations import parse_duration

Place = tuple[str | int, ...]
Mistake = tuple[Place, str]
"""Keys below the table that is being read, and what is wrong there."""


class Model(BaseModel):
    """A table of the config: unknown keys are mistakes, and nothing changes once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def refuse(mistakes: Iterable[Mistake]) -> None:
    """Raises all of what hangs together wrongly in one table as one error that `load` takes apart again."""
    found = tuple(mistakes)
    if found:
        raise PydanticCustomError("mistakes", "{text}", {"text": found[0][1], "mistakes": found})


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`: did you mean «x»?` for the nearest known word, or nothing."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f": did you mean «{near[0]}»?" if near else ""


def is_loopback(host: str) -> bool:
    """Whether `host` can only be reached from this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _span(value: object) -> timedelta:
    duration = value if isinstance(value, timedelta) else parse_duration(value)  # type: ignore[arg-type]  # refuses all but texts
    if duration <= timedelta():
        raise ValueError("must be longer than nothing")
    return duration


_UNITS = {"KB": 1000, "MB": 1000**2, "GB": 1000**3, "TB": 1000**4}


def _size(value: object) -> int:
    """Bytes of a text such as `500MB` or `2.5GB`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(KB|MB|GB|TB)", value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("must be a size, such as 500MB or 2.5GB")
    return int(float(found[1]) * _UNITS[found[2]])


def _every(value: object) -> object:
    return value if value == "auto" else _span(value)


def _names(value: object) -> object:
    if value == "all":
        return value
    if isinstance(value, list | tuple) and all(isinstance(item, str | int) for item in value):
        return tuple(str(item) for item in value)
    raise ValueError('must be "all" or a list, such as [131001, "retail_dw"]')


def _globs(value: object) -> object:
    if isinstance(value, list | tuple) and all(str(item).strip() for item in value):
        return tuple(str(item) for item in value)
    raise ValueError('must be a list of ids, names or globs, such as ["dwd_pay_*", "n_123"]')


def _zone(value: object) -> object:
    if not isinstance(value, str):
        return value
    zones = available_timezones()
    if value not in zones:
        raise ValueError(f"no time zone is called «{value}»{did_you_mean(value, zones)}")
    return ZoneInfo(value)


def _beside_the_file(value: Path, info: ValidationInfo) -> Path:
    base = (info.context or {}).get("base")
    return base / value.expanduser() if base is not None else value


def _pools(value: Mapping[str, int]) -> Mapping[str, int]:
    levels = [level for pool in value for level in pool.split("+")]
    for level in levels:
        if level not in ("1", "2", "3"):
            raise ValueError(f'«{level}» is not a level: a key is "1", "2", "3" or several joined by "+"')
        if levels.count(level) > 1:
            raise ValueError(f"level {level} is in two pools")
    return value


def _word(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", value):
        raise ValueError(f"«{value}» is not a name: use letters, digits, dots, dashes and underscores")
    return value


def _date_format(value: str) -> str:
    if (
        len(
            {
                date(2026, 1, 2).strftime(value),
                date(2026, 1, 3).strftime(value),
                date(2027, 1, 2).strftime(value),
            }
        )
        < 3
    ):
        raise ValueError('must tell the days apart, such as "%Y-%m-%d" or "%Y%m%d"')
    return value


def _existing_apis(value: Mapping[str, int]) -> Mapping[str, int]:
    from phinops.catalog.catalog import (
        load_catalog,
    )  # only a config that names APIs pays for reading the catalog

    catalog = load_catalog()
    for name in value:
        if catalog.get(name) is None:
            raise ValueError(f"no API is called «{name}»{did_you_mean(name, (spec.name for spec in catalog))}")
    return value


Word = Annotated[str, AfterValidator(_word)]
Span = Annotated[timedelta, BeforeValidator(_span)]
Size = Annotated[int, BeforeValidator(_size)]
"""Bytes, of a number with a unit."""
Every = Annotated[Literal["auto"] | timedelta, BeforeValidator(_every)]
Names = Annotated[Literal["all"] | tuple[str, ...], BeforeValidator(_names)]
Globs = Annotated[tuple[str, ...], BeforeValidator(_globs)]
Zone = Annotated[ZoneInfo, BeforeValidator(_zone)]
LocalPath = Annotated[Path, AfterValidator(_beside_the_file)]
"""Relative to the config file; without one, to the working folder."""
DateFormat = Annotated[str, AfterValidator(_date_format)]
Amount = Annotated[int, Field(ge=1)]
Pools = Annotated[dict[str, Amount], AfterValidator(_pools)]
Levels = Annotated[dict[str, Annotated[int, Field(ge=1, le=3)]], AfterValidator(_existing_apis)]
