"""The memory of the sources: what they last saw of each object and how far they have come.

The functions run inside the transaction that also records the events which follow from what was seen, so that a change
is one event once, whatever dies in between. What a state or a cursor holds is the source's own business, but for one
key: a source follows an object whose state says `"open": true` until a later state no longer says so.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from phinops.event import JsonObject
from phinops.record.documents import from_text, to_text
from phinops.record.moments import from_micros
from phinops.record.tx import Row, Snapshot, Tx


def seen(tx: Snapshot, tenant: str, source: str, ids: Collection[str]) -> Mapping[str, JsonObject]:
    """What the source last saw of these objects; an object that it never saw is missing."""
    return _states(tx.all("seen_states", tenant=tenant, source=source, ids=to_text(list(ids))))


def tracked(tx: Snapshot, tenant: str, source: str, project: str = "") -> Mapping[str, JsonObject]:
    """The objects that the source follows, with what it last saw of them; of one `project` if it is named."""
    return _states(tx.all("seen_tracked", tenant=tenant, source=source, project=project))


def put_seen(tx: Tx, tenant: str, source: str, states: Mapping[str, JsonObject]) -> None:
    """Keep what the source saw now; objects that are not named stay as they are.

    Raises:
        TypeError: a state holds something that is not a JSON type.
    """
    here = {"tenant": tenant, "source": source, "now": tx.now}
    tx.many(
        "put_seen",
        (
            {**here, "object_id": object_id, "state": to_text(state), "tracked": bool(state.get("open"))}
            for object_id, state in states.items()
        ),
    )


def put_arrival(
    tx: Tx,
    tenant: str,
    source: str,
    states: Mapping[str, JsonObject],
    body: JsonObject,
    *,
    place: str = "",
    forget_before: datetime | None = None,
) -> None:
    """What a whole poll saw and how far it came; without a cursor (`body` is empty) nothing but what it saw.

    `place` is under what the cursor is kept where that is not the source's name.

    States that are not open and were not written since `forget_before` are deleted.
    """
    put_seen(tx, tenant, source, states)
    if body:
        put_cursor(tx, tenant, place or source, body)
    if forget_before is not None:
        tx.run("seen_forget", tenant=tenant, source=source, before=forget_before)


def cursor(tx: Snapshot, tenant: str, place: str) -> JsonObject | None:
    """How far the source, or the part of one, has come, or None before its first good poll."""
    row = tx.one("get_cursor", tenant=tenant, source=place)
    return from_text(row["body"]) if row else None


def put_cursor(tx: Tx, tenant: str, place: str, body: JsonObject) -> None:
    """The source, or the part of one, has come this far: a good poll at `tx.now`.

    Raises:
        TypeError: `body` holds something that is not a JSON type.
    """
    tx.run("put_cursor", tenant=tenant, source=place, body=to_text(body), now=tx.now)


def last_good(tx: Snapshot, tenant: str) -> Mapping[str, datetime]:
    """When each source of the tenant, or part of one, last had a good poll; one that never had any is missing."""
    return {row["source"]: from_micros(row["good_at"]) for row in tx.all("all_cursors", tenant=tenant)}


def _states(rows: Collection[Row]) -> Mapping[str, JsonObject]:
    return {row["object_id"]: from_text(row["state"]) for row in rows}
