"""Events that count for rules over several: those of open windows, and those that firings are about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from phinops import event as events
from phinops.event import Event, JsonObject
from phinops.firing import Firing, Seen
from phinops.record.documents import from_text, to_text
from phinops.record.journal import firings
from phinops.record.moments import from_micros
from phinops.record.tx import Row, Snapshot, Tx

LATE = timedelta(hours=24)
"""How long an event is kept counting beyond its window's span: what happened with it may be seen so much later."""


@dataclass(frozen=True, slots=True)
class Window:
    """One window: of a rule, for one key of one tenant. `pattern` is the hash of what it is about."""

    tenant: str
    rule: str
    pattern: str
    key: str

    @property
    def here(self) -> dict[str, object]:
        """The window as parameters of queries."""
        return {"tenant": self.tenant, "rule": self.rule, "pattern": self.pattern, "key": self.key}


def put_counted(tx: Tx, window: Window, event: Event, facts: JsonObject, firing_id: str | None = None) -> None:
    """Let the event count, for a firing that is about it already or for none yet; `facts` are how it was judged."""
    tx.run(
        "put_counted",
        **window.here,
        event_id=event.id,
        type=event.type,
        at=event.time,
        facts=to_text(facts),
        firing_id=firing_id,
    )


def open_counted(tx: Snapshot, window: Window, since: datetime, until: datetime) -> list[Seen]:
    """What counts in the open window and happened between the two moments, in order of arrival."""
    return [_counted(row) for row in tx.all("open_counted", **window.here, since=since, until=until)]


def claim(tx: Tx, window: Window, firing_id: str, event_ids: Iterable[str], until: datetime) -> None:
    """The firing is about these events, and the window begins anew after `until`."""
    tx.run("claim_counted", **window.here, firing_id=firing_id, events=to_text(list(event_ids)))
    tx.run("pass_counted", **window.here, until=until)


def lapse(tx: Tx, window: Window, within: timedelta) -> None:
    """Let go of what cannot count together with anything any more."""
    tx.run("lapse_counted", **window.here, until=tx.now - within - LATE, came=tx.now - LATE)


def hand_over(tx: Tx, firing_id: str, to: str, event_ids: Iterable[str]) -> None:
    """Events of one firing become another's."""
    tx.run("hand_over_counted", firing_id=firing_id, to=to, events=to_text(list(event_ids)))


def counted_of(tx: Snapshot, firing_id: str) -> list[Seen]:
    """What counts for a firing, oldest first."""
    return [_counted(row) for row in tx.all("counted_of_firing", firing_id=firing_id)]


def events_of(tx: Snapshot, firing_id: str) -> tuple[Event, ...]:
    """The events of a firing of a rule over several, oldest first; none for any other firing."""
    rows = tx.all("counted_of_firing", firing_id=firing_id)
    return tuple(events.from_json(from_text(row["body"])) for row in rows)


@dataclass(frozen=True, slots=True)
class Place:
    """What an event was to a rule over several: `facts` are what it was judged by, `firing_id` is "" or None where no
    firing is about it (yet). An event that did not count, as the condition did not hold of those with it, has one too.
    """

    rule: str
    key: str
    facts: JsonObject
    firing_id: str | None


def places_of(tx: Snapshot, event_id: str) -> list[Place]:
    """What the event was to each rule over several that it counted for."""
    rows = tx.all("counted_on", event_id=event_id)
    return [Place(row["rule"], row["key"], from_text(row["facts"]), row["firing_id"]) for row in rows]


def waiting_for_absence(tx: Snapshot, window: Window) -> list[Firing]:
    """The firings of the key that begin unless something comes, oldest first."""
    here = {name: value for name, value in window.here.items() if name != "pattern"}
    return firings(tx.all("waiting_for_absence", **here))


def join(tx: Tx, firing_id: str, event: Event) -> None:
    """The firing, which waits, is about this newer event now."""
    tx.run("join_firing", id=firing_id, event_id=event.id)


def open_windows(tx: Snapshot) -> Mapping[tuple[str, str], int]:
    """How many windows are open, by rule and pattern."""
    return {(row["rule"], row["pattern"]): row["n"] for row in tx.all("open_windows")}


def every_open(tx: Snapshot) -> list[tuple[Window, Seen]]:
    """What counts in open windows, in order of arrival: for stores that are small."""
    return [
        (Window(row["tenant"], row["rule"], row["pattern"], row["key"]), _counted(row))
        for row in tx.all("every_open_counted")
    ]


def drop_windows(tx: Tx, rule: str, pattern: str) -> None:
    """The rule no longer has this meaning: what was counted for it counts for nothing."""
    tx.run("drop_windows", rule=rule, pattern=pattern)


def _counted(row: Row) -> Seen:
    return Seen(row["event_id"], row["type"], from_micros(row["at"]), from_micros(row["received_at"]))
