"""What a reply carries: one object, or one page of a list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from phinops.errors import Malformed
from phinops.vendor.values import Record, kind_of, read_count, read_list


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list: its rows as they came, and how many there are in all (None: it did not say)."""

    rows: tuple[Any, ...]
    total: int | None


def read_page(api: str, body: Record, envelope: str, rows: str) -> Page:
    """The page in `body[envelope]`, whose rows lie under `rows`; null or absent rows are none.

    Raises:
        Malformed: the envelope is missing, or one of the two is of another type than the API promises.
    """
    found = read_payload(api, body, envelope)
    try:
        return Page(
            rows=tuple(read_list(found.get(rows), f"{envelope}.{rows}")),
            total=read_count(found.get("TotalCount"), f"{envelope}.TotalCount"),
        )
    except ValueError as error:
        raise Malformed(api, "Malformed", str(error), request_id=_request_id(body)) from error


def read_payload(api: str, body: Record, field: str) -> Record:
    """The object that a reply carries under `field`.

    Raises:
        Malformed: it is missing or no object.
    """
    found = body.get(field)
    if isinstance(found, Mapping):
        return found
    what = "is missing" if found is None else f"is {kind_of(found)} where an object was expected"
    raise Malformed(api, "Malformed", f"{field} {what}", request_id=_request_id(body))


def _request_id(body: Record) -> str:
    found = body.get("RequestId")
    return found if isinstance(found, str) else ""
