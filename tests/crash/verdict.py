"""What came of a run: the journal's word held against what was really done."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from crash.cases import Case, Run
from crash.dataphin import Dataphin

OPERATIONS = {
    "rerun_instance": "RERUN",
    "terminate_instance": "TERMINATE",
    "set_instance_success": "SET_SUCCESS",
    "pause_instance": "PAUSE",
    "resume_instance": "RESUME",
    "pause_node": "PAUSE_TASK",
    "resume_node": "RESUME_TASK",
    "call": "PAUSE_TASK",
    "backfill": "CreateNodeSupplement",
    "fix_data": "FIX",
    "run_manual_node": "ExecuteManualNode",
}
"""What a write is called in Dataphin's book of effects, by its step."""


_TOLD_OF_A_STEP = ("kind", "attempt", "state", "outcome", "result")


@dataclass(slots=True)
class Found:
    """What came of a run: the points at which its processes died, those that the last one passed, and figures.

    `meant` actions; `effects` that they had; `refused` and `undecided`, of which the journal says so; `unreached` after
    these; `duplicates`, `lost` and `unsettled`, of which there must be none; `noticed` duplicates, of which the daemon
    tells by itself. `trouble` is everything that must not be.
    """

    run: Run
    deaths: list[str] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)
    meant: int = 0
    effects: int = 0
    refused: int = 0
    undecided: int = 0
    unreached: int = 0
    duplicates: int = 0
    lost: int = 0
    unsettled: int = 0
    noticed: int = 0
    trouble: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """What `found_of` reads back."""
        return asdict(self)


def found_of(document: Mapping[str, Any]) -> Found:
    """What `Found.to_json` wrote."""
    return Found(**{**document, "run": Run(**document["run"])})


@dataclass(frozen=True, slots=True)
class _Journal:
    """The rows of a store."""

    firings: Sequence[Mapping[str, Any]]
    steps: Sequence[Mapping[str, Any]]
    outbox: Sequence[Mapping[str, Any]]
    audit: Sequence[Mapping[str, Any]]

    @property
    def writes(self) -> Sequence[Mapping[str, Any]]:
        """The last attempts of all steps that write."""
        writes = (each for each in self.steps if each["kind"] in OPERATIONS)
        return list({(each["firing_id"], each["n"]): each for each in writes}.values())

    def notices(self) -> Counter[tuple[str, int, str]]:
        """How many rows each notice of a firing has; the daemon's own may be told again by each process."""
        own = (each for each in self.outbox if each["firing_id"])
        return Counter((each["firing_id"], each["n"], each["notifier"]) for each in own)


def judge(found: Found, case: Case, dataphin: Dataphin) -> None:
    """Fill in what the journal and Dataphin say, and whether they say the same."""
    journal = _read(dataphin.store)
    done = dataphin.effects()
    found.meant, found.effects = sum(case.effects.values()), done.total()
    found.refused = sum(each["state"] == "failed" for each in journal.writes)
    found.undecided = sum(each["state"] == "unknown" for each in journal.writes)
    found.duplicates = sum(times - 1 for times in done.values()) + dataphin.idle
    found.unsettled = sum(each["state"] == "intent" for each in journal.steps)
    found.unsettled += sum(each["ended_at"] is None for each in journal.firings)
    found.noticed = sum(each["what"] == "action.doubled" for each in journal.audit)
    found.lost = _lost(found, case, journal)
    found.unreached = found.meant - len(journal.writes) if found.refused or found.undecided else 0
    found.trouble += dataphin.trouble
    if found.duplicates or found.lost or found.unsettled:
        found.trouble.append(f"done {dict(done)} (idle {dataphin.idle}), meant {dict(case.effects)}: {_told(journal)}")
    found.trouble += _contradictions(journal, done)
    found.trouble += _surprises(found, case, journal, done)
    if found.noticed and not found.duplicates:
        found.trouble.append("the daemon tells of something done twice that was not")
    if any(times > 1 for times in journal.notices().values()):
        found.trouble.append("a notice of a firing is in the outbox twice")


def _read(store: Path) -> _Journal:
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row

        def rows(table: str) -> list[dict[str, Any]]:
            return [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY seq")]

        return _Journal(rows("firing"), rows("step"), rows("outbox"), rows("audit"))


def _lost(found: Found, case: Case, journal: _Journal) -> int:
    """Meant actions that were not done and of which nobody said so; a refusal or a doubt ends the rest of a plan."""
    if case.persons:
        return 0  # whoever was not told that it was done will ask
    if found.refused or found.undecided:
        return max(0, case.firings - len(journal.firings))
    return max(0, found.meant - found.effects)


def _contradictions(journal: _Journal, done: Counter[tuple[str, str]]) -> list[str]:
    """Rows that say something else than what was done."""
    wrong = []
    for row in journal.writes:
        times = done[OPERATIONS[row["kind"]], row["target_id"]]
        if row["state"] == "done" and times != 1:
            wrong.append(f"{row['kind']} is said to be done, and was {times} times")
        if row["state"] in ("failed", "absent") and times:
            wrong.append(f"{row['kind']} is said not to be done, and was {times} times")
    return wrong


def _surprises(found: Found, case: Case, journal: _Journal, done: Counter[tuple[str, str]]) -> list[str]:
    """Ends that nothing in this run gives a reason for."""
    wrong = []
    refused = [row["result"] for row in journal.writes if row["state"] == "failed"]
    if found.run.behaviour != "refuses":
        wrong += [f"refused: {why}" for why in refused]
    if found.run.behaviour == "refuses" and found.effects:
        wrong.append(f"{found.effects} done that Dataphin refused")
    for row in (each for each in journal.writes if each["state"] == "unknown"):
        times = done[OPERATIONS[row["kind"]], row["target_id"]]
        if case.readable == "always" or (case.readable == "when done" and times):
            wrong.append(f"{row['kind']} is left undecided, and could have been read")
    return wrong


def _told(journal: _Journal) -> str:
    ends = [f"{each['rule']} {each['state']} {each['reason']}" for each in journal.firings]
    rows = [" ".join(str(each[name]) for name in _TOLD_OF_A_STEP) for each in journal.steps]
    return "; ".join([*ends, *rows])
