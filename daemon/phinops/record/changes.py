"""How often things change: what the polls of each source found first, hour by hour. Pacing learns from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from phinops.record.tx import Snapshot, Tx

REMEMBERED = timedelta(days=28)
"""How far back changes are remembered: four of each day of the week."""

_HOUR = 3600


def put_changes(tx: Tx, tenant: str, source: str, found: Mapping[tuple[str, datetime], int]) -> None:
    """Add what polls of the source found first: how many changes by part and by any moment of their hour.

    A part is what one poll asks for: the id of a project, or "" where it asks for the whole tenant. What is older
    than `REMEMBERED` is dropped.
    """
    tally: Counter[tuple[str, int]] = Counter()
    for (part, moment), count in found.items():
        tally[part, _hour(moment)] += count
    if not tally:
        return
    here = {"tenant": tenant, "source": source}
    tx.many(
        "put_change", ({**here, "part": part, "hour": hour, "found": count} for (part, hour), count in tally.items())
    )
    tx.run("forget_changes", **here, before=_hour(tx.now - REMEMBERED))


def changes(tx: Snapshot, tenant: str, source: str) -> Mapping[tuple[str, datetime], int]:
    """What `put_changes` added and is remembered, by part and the beginning of the hour."""
    rows = tx.all("changes_since", tenant=tenant, source=source, since=_hour(tx.now - REMEMBERED))
    return {(row["part"], datetime.fromtimestamp(row["hour"] * _HOUR, UTC)): row["found"] for row in rows}


def _hour(moment: datetime) -> int:
    return int(moment.timestamp()) // _HOUR
