"""Everything that is on record, oldest first: what a trial of rules is judged by."""

from __future__ import annotations

from dataclasses import dataclass

from phinops.event import from_json
from phinops.firing import Firing, Intent, Seen
from phinops.record import journal
from phinops.record.documents import from_text
from phinops.record.leases import Lease, open_leases
from phinops.record.moments import from_micros
from phinops.record.timing import Received
from phinops.record.tx import Snapshot
from phinops.record.windows import Window, every_open


@dataclass(frozen=True, slots=True)
class Chronicle:
    """Events with when they were received, firings and attempts at steps, each in the order of their birth; `counted`
    is what counts in open windows, `leases` those that are not over.
    """

    events: tuple[Received, ...] = ()
    firings: tuple[Firing, ...] = ()
    steps: tuple[Intent, ...] = ()
    counted: tuple[tuple[Window, Seen], ...] = ()
    leases: tuple[Lease, ...] = ()


def chronicle(tx: Snapshot) -> Chronicle:
    """All of it: for stores that are small."""
    return Chronicle(
        tuple(
            Received(from_json(from_text(row["body"])), from_micros(row["received_at"]))
            for row in tx.all("every_event")
        ),
        tuple(journal.firings(tx.all("every_firing"))),
        tuple(journal.intents(tx.all("every_step"))),
        tuple(every_open(tx)),
        tuple(open_leases(tx)),
    )
