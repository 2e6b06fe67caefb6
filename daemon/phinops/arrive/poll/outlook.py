"""What the source `instances` lists for rules on what lasts too long, and what it hands on of that.

Those that wait may be thousands, a night's whole plan. Where they are more than go on a page with the others they are
listed apart, as often as a ration of the day's calls allows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass, replace

from phinops.arrive.arrival import ReadApi, Roll, Standing
from phinops.arrive.lasting import WAITING, Asked, states_of
from phinops.arrive.paging import PAGE_SIZE, Listing, read_all
from phinops.arrive.poll.instancelist import InstanceList, Row, Span
from phinops.arrive.progress import UNKNOWN, Progress
from phinops.arrive.ration import Ration
from phinops.arrive.sift import InstanceSeen
from phinops.event import Project

SHORT = PAGE_SIZE // 2
"""So many that wait are listed together with the others."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """The states that rules ask about; `apart` says that those that wait are listed by themselves."""

    watched: frozenset[str]
    apart: bool

    @property
    def together(self) -> frozenset[str]:
        """The states to be listed with those that are listened to."""
        return self.watched - {WAITING} if self.apart else self.watched

    def waiting(self, rows: Mapping[str, Row], progress: Progress | None) -> int:
        """How many wait, to go by the next time; `rows` are those that were listed, if they were."""
        if WAITING not in self.watched:
            return UNKNOWN
        if self.apart and not rows:
            return progress.waiting if progress else UNKNOWN
        return sum(row.instance.status == WAITING for row in rows.values())


def outlook(asked: Collection[Asked], listened: Set[str], progress: Progress | None) -> Outlook:
    """What to list for the sake of what is asked, beside the states that are listened to."""
    watched = states_of(asked)
    short = progress is not None and 0 <= progress.waiting <= SHORT
    return Outlook(watched, WAITING in watched - listened and not short)


async def list_waiting(reader: ReadApi, instances: InstanceList, span: Span, ration: Ration | None) -> Listing | None:
    """All that wait, or None where the ration does not allow it now.

    Raises:
        ApiError: the service cannot be reached.
        QuotaSpent: the day has no call left for polls.
    """
    if ration and ration.wait() > 0:
        return None
    listing = await read_all(reader, instances.listed(span, {WAITING}))
    if ration:
        ration.spend(listing.calls)
    return listing


def standing_of(
    rows: Mapping[str, Row], watched: Set[str], project: Project, tracked: Mapping[str, InstanceSeen]
) -> tuple[Standing, ...]:
    """The rows that are in a state that is asked about, with what is known of their earlier runs."""
    return tuple(
        _standing(row, project, tracked.get(key)) for key, row in rows.items() if row.instance.status in watched
    )


def roll_of(
    project: Project, states: Set[str], span: Span, near: Span, listing: Listing, waiting: Listing | None
) -> Roll | None:
    """Who would have been seen, in `span` or, where those that wait were listed apart, in `near` only.

    None where something is missing in one of the lists.
    """
    if listing.faults or (waiting and waiting.faults):
        return None
    found = near if waiting else span
    return Roll(project.id, frozenset(states | {WAITING} if waiting else states), found.first, found.last)


def _standing(row: Row, project: Project, known: InstanceSeen | None) -> Standing:
    attempts = known.attempts if known else 0
    previous = known.status if known and known.status != row.instance.status else ""
    instance = replace(row.instance, attempts=attempts, previous_status=previous)
    return Standing(project, instance, row.node, row.raw)
