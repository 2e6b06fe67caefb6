"""Reading a whole list that has pages but no cursor, no stated order and no stated largest page.

Measured on sibling APIs: a page larger than 100 is cut to 100 without a word. Rows move between pages while they are
read, so rows are told apart by their id, and what was read is compared with the count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from phinops.arrive.arrival import Fault, ReadApi
from phinops.vendor import read_page

PAGE_SIZE = 100
MAX_PAGES = 300
"""No list is read further than this in one poll."""


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
        """How many rows were seen, whether or not they could be read."""
        return len(self.values) + len(self.broken)


@dataclass(slots=True)
class _Walk:
    """One walk from the first page to the last."""

    size: int
    most: int | None
    pages: int = 0
    received: int = 0
    total: int | None = None
    steady: bool = True
    given_up: bool = False

    def saw(self, rows: int, total: int | None) -> None:
        self.steady = self.steady and (self.pages == 0 or self.total == total)
        self.pages, self.received, self.total = self.pages + 1, self.received + rows, total
        if self.most is not None and self.pages == 1 and rows:
            self.given_up = (total or 0) > self.most * min(rows, self.size)

    def is_over(self, rows: int, *, grew: bool) -> bool:
        if rows == 0 or self.given_up or self.pages >= MAX_PAGES:
            return True
        if self.total is None:
            return rows < self.size or not grew
        # As many pages as the count needs: what shifted is found by a second walk.
        return self.pages * (min(rows, self.size) if self.pages == 1 else self.size) >= self.total


async def read_all(reader: ReadApi, source: ListApi, most: int | None = None) -> Listing:
    """Every row of the list, each once.

    A page that comes shorter than asked for while more rows exist shows the service's own limit: the list is then
    asked for in pages of that size. When the count moved meanwhile, or rows are missing at the end, the list is read
    a second time; what is missing then is a fault, and left to the next poll's window. A row that cannot be read is
    a fault, and does not cost the others. A list that has more than `most` pages is given up after the first; of one
    that has more than `MAX_PAGES` the rest is a fault.

    Raises:
        ApiError: a page was not answered, or its envelope cannot be read.
        QuotaSpent: the day has no call left for polls.
    """
    listing = Listing()
    walk = _Walk(PAGE_SIZE, most)
    await _go(reader, source, listing, walk)
    if walk.pages < MAX_PAGES and not walk.given_up and (not walk.steady or _short(listing, walk)):
        walk = _Walk(walk.size, most)
        await _go(reader, source, listing, walk)
    if not walk.given_up and _short(listing, walk):
        why = "pages shifted" if walk.pages < MAX_PAGES else f"more than {MAX_PAGES} pages"
        missing = (walk.total or 0) - listing.known
        listing.faults.append(Fault(source.api, f"{missing} of {walk.total} rows not seen: {why}"))
    listing.total = walk.total if walk.total is not None else listing.known
    listing.faults.extend(Fault(source.api, reason) for reason in listing.broken.values())
    return listing


def _short(listing: Listing, walk: _Walk) -> bool:
    if walk.pages == 1 and walk.received >= (walk.total or 0):
        # Nothing can shift within one page: a row that comes twice is the service's own.
        return False
    return walk.total is not None and listing.known < walk.total


async def _go(reader: ReadApi, source: ListApi, listing: Listing, walk: _Walk) -> None:
    over = False
    while not over:
        known = listing.known
        body = await reader.read(source.api, source.query(walk.pages + 1, walk.size))
        listing.calls += 1
        page = read_page(source.api, body, source.envelope, source.rows)
        walk.saw(len(page.rows), page.total)
        for place, row in enumerate(page.rows):
            _take(source, listing, row, f"page {walk.pages} row {place + 1}")
        over = walk.is_over(len(page.rows), grew=listing.known > known)
        if walk.pages == 1 and len(page.rows) < walk.size and not over:
            # Cut to the service's own limit; whether it counts pages in that or in what was asked is not known.
            walk.size = len(page.rows)


def _take(source: ListApi, listing: Listing, row: Any, place: str) -> None:
    try:
        identity, value = source.read(row)
    except ValueError as error:
        name = row.get("Id") if isinstance(row, Mapping) else None
        listing.broken[str(name) if name else place] = f"{error} (Id {name})" if name else f"{error} ({place})"
        return
    listing.values[identity] = value
    listing.broken.pop(identity, None)
