"""What the language will have and this version does not: using it is an error that says so."""

from __future__ import annotations

from collections.abc import Mapping

NOT_YET = "is not in this version yet"

FILE_KEYS: Mapping[str, str] = {"defaults": "defaults for a file", "blueprints": "blueprints"}

RULE_KEYS: Mapping[str, str] = {
    "active": "active hours",
    "calendar": "calendars",
    "inputs": "blueprints",
    "use": "blueprints",
    "blueprint": "blueprints",
    "with": "blueprints",
}

CORRELATION_KEYS = frozenset({"event", "count", "within", "all", "absent", "after", "state"})
"""Keys of `on` over several events, and of states that last."""

EVENTS: Mapping[str, str] = {
    "instance.overdue": " `{ event, after }`",
    "instance.stuck": " `{ event, state, after }`",
}
"""Event types that nothing makes yet, each with how `on` will be written where that is more than the type."""

CONCURRENCY = ("restart", "parallel")

STEPS = ("run_manual_node", "backfill", "fix_data", "approve")


def not_yet(what: str) -> str:
    """The message for something that a later version will have."""
    return f"{what} {NOT_YET}"
