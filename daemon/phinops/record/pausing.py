"""The kill switch: whether any write may leave at all. It survives restarts, and who moved it is in the audit."""

from __future__ import annotations

from datetime import datetime

from phinops.firing import Pause
from phinops.record.audit import note
from phinops.record.documents import from_text, to_text
from phinops.record.switches import set_switch, switch
from phinops.record.tx import Snapshot, Tx

_NAME = "paused"


def pause_of(tx: Snapshot) -> Pause | None:
    """Who let no write leave, since when and why; None: they may leave."""
    text = switch(tx, _NAME)
    if not text:
        return None
    document = from_text(text)
    return Pause(datetime.fromisoformat(document["at"]), document["by"], document["reason"])


def pause(tx: Tx, by: str, reason: str) -> Pause:
    """Let no write leave from here on. Where that is so already, whoever was first keeps the place; both are noted."""
    note(tx, "writes.paused", by=by, reason=reason)
    found = pause_of(tx)
    if found is not None:
        return found
    set_switch(tx, _NAME, to_text({"at": tx.now.isoformat(), "by": by, "reason": reason}))
    return Pause(tx.now, by, reason)


def resume(tx: Tx, by: str) -> Pause | None:
    """Let writes leave again; the pause that is over, or None when there was none."""
    found = pause_of(tx)
    if found is not None:
        note(tx, "writes.resumed", by=by)
        set_switch(tx, _NAME, "")
    return found
