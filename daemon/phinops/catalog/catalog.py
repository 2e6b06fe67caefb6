"""Every action of Dataphin's OpenAPI (dataphin-public, version 2023-06-30): what it takes, gives, and costs.

The data come from the official SDK 2.14.1 and the published table of throttling levels (May 2026); `build.py`
made `apis.json` of them. Levels change from time to time: a config may override them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

Edition = Literal["personal", "agile", "basic", "intelligent", "private"]
Location = Literal["query", "form"]

READ_PREFIXES = ("Get", "List", "Check", "Parse")
# It hands out credentials for an upload, and thereby grants a right: nothing that a shadow rule may do.
NOT_READS = frozenset({"GetFileStorageCredential"})

# The documents close these lists; to all others a release of Dataphin may add values.
CLOSED_ENUMS = frozenset({"Env", "Operation", "DownstreamRange"})

ENVELOPE: Mapping[str, str] = {
    "Code": "string",
    "HttpStatusCode": "integer",
    "Message": "string",
    "RequestId": "string",
    "Success": "boolean",
}
"""The fields of every answer, with their types; `Code` is "OK" and `Success` true when all went well."""

DATA = Path(__file__).with_name("apis.json")


class UnknownApi(ValueError):
    """No action of the OpenAPI has this name; `suggestion` is the nearest that does, or ""."""

    def __init__(self, name: str, suggestion: str) -> None:
        super().__init__(f"unknown API «{name}»" + (f": did you mean «{suggestion}»?" if suggestion else ""))
        self.name = name
        self.suggestion = suggestion


def is_read(name: str) -> bool:
    """Whether the API only reads. What is not known to read counts as a write."""
    return name.startswith(READ_PREFIXES) and name not in NOT_READS


def nearest(name: str, known: Sequence[str]) -> str:
    """The one of `known` that `name` most likely stands for, whatever its case and underscores, or ""."""
    import difflib  # only a mistake needs it, and every start would pay for it

    plain = {each.lower().replace("_", ""): each for each in known}
    found = difflib.get_close_matches(name.lower().replace("_", ""), plain, n=1, cutoff=0.7)
    return plain[found[0]] if found else ""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter, or one field inside of one.

    `type` is string, integer, number, boolean, object, array<string>, array<integer>, array<object> or any.
    An object without `children` is not described: anything may be in it.
    """

    name: str
    type: str
    required: bool
    location: Location
    children: tuple[Parameter, ...] = ()
    enum: tuple[str, ...] = ()

    @property
    def closed(self) -> bool:
        """Whether values other than those of `enum` are wrong."""
        return bool(self.enum) and self.name in CLOSED_ENUMS


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an answer; `type` as in Parameter. `enum` lists documented values, not all there are."""

    name: str
    type: str
    children: tuple[Field, ...] = ()
    enum: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ApiSpec:
    """One action.

    `level` and `edition` are None, `section` and `group` are "", where the published table lacks the API.
    `detailed` says that parameters and response are full trees; else they are the top level only.
    """

    name: str
    level: int | None
    edition: Edition | None
    section: str
    group: str
    parameters: tuple[Parameter, ...]
    response: tuple[Field, ...]
    detailed: bool

    @property
    def reads(self) -> bool:
        """Whether a call changes nothing, as `is_read` has it."""
        return is_read(self.name)

    def parameter(self, name: str) -> Parameter | None:
        """The top-level parameter of that name."""
        return next((each for each in self.parameters if each.name == name), None)


def _parameter(row: Sequence[Any]) -> Parameter:
    name, kind, required, location, *rest = row
    children = tuple(_parameter(each) for each in (rest[0] if rest else ()))
    return Parameter(name, kind, bool(required), location, children, tuple(rest[1]) if len(rest) > 1 else ())


def _field(row: Sequence[Any]) -> Field:
    name, kind, *rest = row
    children = tuple(_field(each) for each in (rest[0] if rest else ()))
    return Field(name, kind, children, tuple(rest[1]) if len(rest) > 1 else ())


def _spec(name: str, row: Sequence[Any]) -> ApiSpec:
    level, edition, section, group, parameters, response, detailed = row
    takes = tuple(map(_parameter, parameters))
    gives = sorted([*response, *ENVELOPE.items()], key=itemgetter(0))
    return ApiSpec(name, level, edition, section, group, takes, tuple(map(_field, gives)), bool(detailed))


class Catalog:
    """The actions by name. Iterating gives them sorted; each is made into objects when first asked for."""

    def __init__(self, rows: Mapping[str, Sequence[Any]]) -> None:
        self._rows = rows
        self._specs: dict[str, ApiSpec] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def __iter__(self) -> Iterator[ApiSpec]:
        return (self._made(name) for name in sorted(self._rows))

    def get(self, name: str) -> ApiSpec | None:
        """The action of exactly that name, or None."""
        return self._made(name) if name in self._rows else None

    def require(self, name: str) -> ApiSpec:
        """The action of exactly that name. Raises UnknownApi, which names the nearest."""
        if name not in self._rows:
            raise UnknownApi(name, self.suggest(name))
        return self._made(name)

    def suggest(self, name: str) -> str:
        """The API whose name is nearest to `name`, or ""."""
        return nearest(name, list(self._rows))

    def search(self, text: str) -> list[ApiSpec]:
        """The actions, sorted, whose name, section or group hold every word of `text`, in any case."""
        words = text.lower().split()
        return [spec for spec in self if all(word in _searched(spec) for word in words)]

    def _made(self, name: str) -> ApiSpec:
        if name not in self._specs:
            self._specs[name] = _spec(name, self._rows[name])
        return self._specs[name]


def _searched(spec: ApiSpec) -> str:
    return f"{spec.name} {spec.section} {spec.group}".lower()


@cache
def load_catalog() -> Catalog:
    """The catalog that this version of phinops carries; read once."""
    return Catalog(json.loads(DATA.read_bytes()))
