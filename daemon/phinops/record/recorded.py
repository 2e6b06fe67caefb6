"""What was seen and what was decided about it, in the order in which it was: to be lived through once more.

A decision is told without what differs each time though nothing else does: ids that were made up, and moments.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from phinops.event import JsonObject
from phinops.firing import INWARD, Firing, Intent, has_told
from phinops.record import journal
from phinops.record.documents import from_text
from phinops.record.moments import from_micros, to_micros
from phinops.record.pruning import pruned_before
from phinops.record.tx import Snapshot

LONGEST_CHAIN = 20
"""Actions that an event may follow from, one from the other, to be told by the first of all events."""

_MADE_UP = re.compile(r"\b(fi|act|msg|ap)_[0-9a-f]{20,}\b")


def page(tx: Snapshot, tenant: str, since: datetime, after: int, limit: int) -> JsonObject:
    """`{newest, pruned, next, events}`: events received since a moment, of which those up to `after` were had.

    Each is `{at, event, subject, decisions}`. `newest` is when the newest event of all was received, None without one;
    `pruned` the moment before which nothing is on record any more, None while nothing was pruned; `next` the number to
    go on after, None at the end.
    """
    pruned = pruned_before(tx)
    newest = tx.one("newest_event", tenant=tenant)
    rows = tx.all("events_from", tenant=tenant, since=to_micros(since), after=after, limit=limit)
    return {
        "newest": from_micros(newest["at"]).isoformat() if newest else None,
        "pruned": pruned.isoformat() if pruned else None,
        "next": rows[-1]["seq"] if len(rows) == limit else None,
        "events": [
            {
                "at": from_micros(row["received_at"]).isoformat(),
                "event": (event := from_text(row["body"])),
                "subject": subject_of(tx, event),
                "decisions": decisions_on(tx, event["id"]),
            }
            for row in rows
        ],
    }


def subject_of(tx: Snapshot, event: Mapping[str, object]) -> str:
    """What names the event also where it is lived through again.

    That is its id, and for what follows from an action of ours the first event, with the steps that led here.
    """
    steps: list[str] = []
    for _ in range(LONGEST_CHAIN):
        if not is_own(str(event["type"])):
            break
        origin = tx.one("origin_of_action", action_id=event["caused_by"])
        row = tx.one("get_event", id=origin["event_id"]) if origin else None
        if origin is None or row is None:
            break
        steps.append(f"{event['type']} of {origin['rule']}, {origin['step_id']}")
        event = from_text(row["body"])
    return ", ".join([str(event["id"]), *reversed(steps)])


def is_own(event_type: str) -> bool:
    """Whether events of this type are made by what rules do, and so have ids that are made up."""
    return event_type in ("action.settled", "lease.ended") or event_type.startswith("custom.")


def decisions_on(tx: Snapshot, event_id: str) -> list[JsonObject]:
    """What rules decided about the event, in order. That something is taken back is no decision of theirs."""
    firings = journal.firings(tx.all("firings_of_event", event_id=event_id))
    return [
        decision(each, journal.intents(tx.all("steps_of_firing", firing_id=each.id)))
        for each in firings
        if "reverses" not in each.plan
    ]


def decision(firing: Firing, steps: Iterable[Intent]) -> JsonObject:
    """`{rule, mode, state, reason, actions, notices}` of a firing and the attempts at its steps.

    Actions are writes that left or, in shadow, would have: `{step, api, project, target, params}`. Notices are one for
    each notifier: `{to, severity, title, message}`.
    """
    rows = [row for row in steps if row.state != "absent"]
    found = {
        "rule": firing.rule,
        "mode": firing.mode,
        "state": firing.state,
        "reason": firing.reason,
        "actions": [_action(row) for row in rows if row.kind not in INWARD and not _was_held(row)],
        "notices": [notice for row in rows if has_told(row) for notice in _notices(row)],
    }
    known: JsonObject = _without_ids(found)
    return known


def _without_ids(value: Any) -> Any:
    """The value without ids that were made up, wherever a text has one."""
    if isinstance(value, Mapping):
        return {name: _without_ids(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_ids(item) for item in value]
    return _MADE_UP.sub(r"\1_", value) if isinstance(value, str) else value


def _was_held(row: Intent) -> bool:
    """Whether a guard of ours refused it, or it was not needed: what somebody else refuses has their answer."""
    return row.state == "skipped" or (row.outcome == "refused" and not row.request_id and "status" not in row.result)


def _action(row: Intent) -> JsonObject:
    return {
        "step": row.kind,
        "api": row.api,
        "project": row.project_id,
        "target": row.target_id,
        # In the words of rules, where there are such: those that were sent bear the mark of their attempt.
        "params": row.request.get("given") or row.request["params"],
    }


def _notices(row: Intent) -> Sequence[JsonObject]:
    said = row.request["params"]
    texts = {name: said[name] for name in ("severity", "title", "message")}
    return [{"to": name, **texts} for name in row.target_id.split(", ") if name]
