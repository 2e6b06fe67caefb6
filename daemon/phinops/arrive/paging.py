"""Reading a whole list that has pages but no cursor, no stated order and no stated largest page.

Measured on sibling APIs: a page larger than 100 is cut to 100 without a word. Rows move between pages while they are
read, so rows are told apart by their id, and what was read is compared with the count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from phinops.arrive.arrival import Fault, ReadApi
from phinops.vendor import read_page

log = structlog.get_logger(__name__)

PAGE_SIZE = 100
MAX_PAGES = 300
"""More rows than 30,000 in one list are not read in one poll."""


@dataclass(frozen=True, slots=True)
class ListApi:
    """How one list API is asked and answered.

    `query(page, size)` makes the parameters; `read` makes a value and its id of a row, raising `ValueError` for a row
    that cannot be read.
    """

    api: str
    envelope: str
    rows: str
    query: Callable[[int, int], Mapping[str, Any]]
    read: Callable[[Any], tuple[str, Any]]


@dataclass(slots=True)
class Listing:
    """What was read: values by id (a later copy takes the place of an earlier), and what is missing."""

    values: dict[str, Any] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    total: int = 0
    calls: int = 0
    faults: list[Fault] = field(default_factory=list)

    @property
    def known(self) -> int:
        return len(self.values) + len(self.broken)


@dataclass(slots=True)
class _Pass:
    """One walk from the first page to the last."""

    asked: int
    steady: bool = True
    pages: int = 0
    received: int = 0
    total: int | None = None


async def read_all(reader: ReadApi, source: ListApi) -> Listing:
    """Every row of the list, each once.

    A page that comes shorter than asked for while more rows exist shows the service's own limit: the list is then
    asked for in pages of that size. When the count moved meanwhile, or rows are missing at the end, the list is read
    a second time; what is missing then is a fault, and left to the next poll's window. A row that cannot be read is
    a fault, and does not cost the others.

    Raises:
        ApiError: a page was not answered, or its envelope cannot be read.
        QuotaSpent: the day has no call left for polls.
    """
    listing = Listing()
    walk = await _walk(reader, source, listing, PAGE_SIZE)
    if not walk.steady or _short(listing, walk):
        walk = await _walk(reader, source, listing, walk.asked)
        if _short(listing, walk):
            missing = (walk.total or 0) - listing.known
            listing.faults.append(Fault(source.api, f"{missing} of {walk.total} rows not seen: pages shifted"))
    listing.total = walk.total if walk.total is not None else listing.known
    listing.faults.extend(Fault(source.api, reason) for reason in listing.broken.values())
    for reason in listing.broken.values():
        log.warning("source.row_skipped", api=source.api, reason=reason)
    return listing


def _short(listing: Listing, walk: _Pass) -> bool:
    if walk.pages == 1 and walk.received >= (walk.total or 0):
        # Nothing can shift within one page: a row that comes twice is the service's own.
        return False
    return walk.total is not None and listing.known < walk.total


async def _walk(reader: ReadApi, source: ListApi, listing: Listing, size: int) -> _Pass:
    walk = _Pass(asked=size)
    page = 1
    while page <= MAX_PAGES:
        answer = read_page(
            source.api, await reader.read(source.api, source.query(page, size)), source.envelope, source.rows
        )
        listing.calls += 1
        walk.pages, walk.received = page, walk.received + len(answer.rows)
        walk.steady = walk.steady and (walk.total is None or walk.total == answer.total)
        walk.total = answer.total
        for place, row in enumerate(answer.rows):
            _take(source, listing, row, f"page {page} row {place + 1}")
        if _is_last(len(answer.rows), answer.total, page, size):
            break
        if page == 1 and len(answer.rows) < size:
            # Cut to the service's own limit. Whether its pages are counted in that or in what was asked is not known.
            size = walk.asked = len(answer.rows)
        page += 1
    return walk


def _is_last(got: int, total: int | None, page: int, size: int) -> bool:
    if got == 0:
        return True
    if total is None:
        return got < size
    # As many pages as the count needs; what shifted is found by the second walk.
    per_page = min(got, size) if page == 1 else size
    return page * per_page >= total


def _take(source: ListApi, listing: Listing, row: Any, place: str) -> None:
    try:
        identity, value = source.read(row)
    except ValueError as error:
        name = row.get("Id") if isinstance(row, Mapping) else None
        listing.broken[str(name) if name else place] = f"{error} (Id {name})" if name else f"{error} ({place})"
        return
    listing.values[identity] = value
    listing.broken.pop(identity, None)
