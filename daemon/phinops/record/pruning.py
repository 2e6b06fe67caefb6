"""What retention lets go of, in small steps: each op looks at a few rows of one table, in the order of their birth.

What is open stays, whatever its age: firings that are not over or that a person has to decide, writes of unknown fate,
notices on their way, events of open windows, leases that run; and with them what they refer to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from phinops.record.documents import to_text
from phinops.record.moments import from_micros, to_micros
from phinops.record.switches import set_switch, switch
from phinops.record.tx import Row, Snapshot, Tx

AT_A_TIME = 200
"""Rows that one op looks at: some milliseconds of the writer."""

_PRUNED_BEFORE = "pruned_before"


@dataclass(frozen=True, slots=True)
class Horizon:
    """What is older than `before` may go; `longer` are earlier moments, by the ids of rules that look back further."""

    before: datetime
    longer: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Swept:
    """What one op did: how many rows of each kind went, and the number to go on after; None: it is done."""

    gone: Mapping[str, int]
    after: int | None


class Sweep(Protocol):
    """Looks at the next rows of a table."""

    def __call__(self, tx: Tx, horizon: Horizon, after: int, /) -> Swept:
        """Drop what may go of the rows that come next after the number `after`."""
        ...


def sweep_firings(tx: Tx, horizon: Horizon, after: int, /) -> Swept:
    """Firings that are over, with their attempts, their notices, places in windows, leases and questions."""
    longer = _moments(horizon)
    rows = tx.all("next_firings", before=horizon.before, longer=longer, after=after, limit=AT_A_TIME)
    gone: dict[str, int] = {}
    if ids := _over(rows):
        gone["notices"] = tx.run("forget_notices_of", firings=ids)
        tx.run("forget_places_of", firings=ids)
        tx.run("forget_approvals_of", firings=ids)
        tx.run("forget_leases_of", firings=ids)
        tx.run("forget_reversals_of", firings=ids)
        gone["actions"] = tx.run("forget_steps_of", firings=ids)
        gone["firings"] = tx.run("forget_firings", firings=ids)
    return Swept(gone, _going_on(rows))


def sweep_events(tx: Tx, horizon: Horizon, after: int, /) -> Swept:
    """Events that no firing is about any more, and that count in no open window."""
    longer = _moments(horizon)
    rows = tx.all("next_events", before=horizon.before, longer=longer, after=after, limit=AT_A_TIME)
    gone: dict[str, int] = {}
    if ids := _over(rows):
        tx.run("forget_places_with", events=ids)
        gone["events"] = tx.run("forget_events", events=ids)
    return Swept(gone, _going_on(rows))


def sweep_notices(tx: Tx, horizon: Horizon, after: int, /) -> Swept:
    """The daemon's own notices, which no firing has: those that were sent or given up."""
    rows = tx.all("next_notices", before=horizon.before, after=after, limit=AT_A_TIME)
    ids = _over(rows)
    return Swept({"notices": tx.run("forget_notices", ids=ids)} if ids else {}, _going_on(rows))


SWEEPS: tuple[Sweep, ...] = (sweep_firings, sweep_events, sweep_notices)
"""In this order: what is referred to goes after what refers to it."""


@dataclass(frozen=True, slots=True)
class StoreSize:
    """Bytes of the file: all of them, and those that hold something. `shrinks`: the file can give back what is free."""

    file: int
    used: int
    shrinks: bool


def size_of(tx: Snapshot) -> StoreSize:
    """How large the store is."""
    row = tx.one("store_size") or {}
    return StoreSize(row["pages"] * row["page"], (row["pages"] - row["free"]) * row["page"], row["vacuum"] == 2)


def shrink(tx: Tx) -> None:
    """Give some of the file's free pages back to the disk."""
    tx.all("shrink")


def oldest_event(tx: Snapshot) -> datetime | None:
    """When the oldest event on record was received, or None without one."""
    row = tx.one("oldest_event")
    return from_micros(row["at"]) if row else None


def pruned_before(tx: Snapshot) -> datetime | None:
    """What is older was pruned, but for what is open; None while nothing was."""
    value = switch(tx, _PRUNED_BEFORE)
    return from_micros(int(value)) if value else None


def keep_pruned_before(tx: Tx, before: datetime) -> None:
    """All that is older has been pruned."""
    set_switch(tx, _PRUNED_BEFORE, str(to_micros(before)))


def _moments(horizon: Horizon) -> str:
    return to_text({rule: to_micros(moment) for rule, moment in horizon.longer.items()})


def _over(rows: Sequence[Row]) -> str:
    """The ids of the rows that may go as a JSON list, "" when none may."""
    ids = [row["id"] for row in rows if row["over"]]
    return to_text(ids) if ids else ""


def _going_on(rows: Sequence[Row]) -> int | None:
    """The number to go on after, None where no older rows can follow.

    Rows are born in order but for a clock that jumped: a whole page of younger ones is where the old ones end.
    """
    more = len(rows) == AT_A_TIME and any(row["old"] for row in rows)
    return int(rows[-1]["seq"]) if more else None
