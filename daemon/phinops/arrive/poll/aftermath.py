"""What becomes of failures: those that have left the list of failures are looked at, in as few calls as will do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date

from phinops.arrive.arrival import Fault, ReadApi
from phinops.arrive.paging import read_all
from phinops.arrive.poll.instancelist import InstanceList, Row, Span
from phinops.arrive.sift import InstanceSeen
from phinops.errors import Forbidden, Malformed, Refused
from phinops.event import JsonObject

FEW = 5
"""So many are asked for one by one; of more the business dates are listed, if that takes fewer calls."""


@dataclass(slots=True)
class Aftermath:
    """What was found. `ended` are the states of those that are not followed any longer: gone, or too old."""

    rows: dict[str, Row] = field(default_factory=dict)
    ended: dict[str, JsonObject] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    calls: int = 0


async def follow(
    reader: ReadApi,
    instances: InstanceList,
    tracked: Mapping[str, InstanceSeen],
    listed: Mapping[str, Row],
    span: Span,
    oldest: date,
) -> Aftermath:
    """Look at the tracked instances that `span`'s list should have shown and did not, and at those that run again.

    One that the service does not know any longer, or whose business date is before `oldest`, is let go. One that
    cannot be read now is a fault, and is tried again with the next poll.

    Raises:
        ApiError: the service cannot be reached.
        QuotaSpent: the day has no call left for polls.
    """
    found = Aftermath()
    missing = {}
    for key, state in tracked.items():
        if key in listed:
            continue
        if state.biz_date and state.biz_date < oldest.isoformat():
            found.ended[key] = _let_go(state)
        elif state.status != "FAILED" or span.holds(state.biz_date):
            missing[key] = state
    if len(missing) > FEW:
        await _list(reader, instances, missing, span, found)
    for key in [key for key in missing if key not in found.rows]:
        await _get(reader, instances, key, missing[key], found)
    return found


async def _list(
    reader: ReadApi, instances: InstanceList, missing: Mapping[str, InstanceSeen], span: Span, found: Aftermath
) -> None:
    dates = [date.fromisoformat(state.biz_date) for state in missing.values() if state.biz_date]
    dated = Span(min(dates), max(dates)) if len(dates) == len(missing) else span
    listing = await read_all(reader, instances.listed(dated), most=len(missing) - 1)
    found.calls += listing.calls
    found.rows.update({key: row for key, row in listing.values.items() if key in missing})


async def _get(reader: ReadApi, instances: InstanceList, key: str, state: InstanceSeen, found: Aftermath) -> None:
    found.calls += 1
    try:
        found.rows[key] = await instances.get(key)
    except (Forbidden, Malformed) as error:
        found.faults.append(Fault(key, str(error)))
    except Refused:
        # Not known as a physical instance: a logical table's, or past its retention.
        await _find(reader, instances, key, state, found)


async def _find(reader: ReadApi, instances: InstanceList, key: str, state: InstanceSeen, found: Aftermath) -> None:
    row = None
    if state.node and state.biz_date:
        day = date.fromisoformat(state.biz_date)
        listing = await read_all(reader, instances.listed(Span(day, day), node_id=state.node))
        found.calls += listing.calls
        row = listing.values.get(key)
    if row:
        found.rows[key] = row
    else:
        found.ended[key] = _let_go(state)


def _let_go(state: InstanceSeen) -> JsonObject:
    return asdict(replace(state, open=False))
