"""What a read-back says of a write on an instance: pure functions of the record before and the record now.

Times are compared only with times of the same service, so that no two clocks have to agree. Two records with
different start times are two runs. What a person or another tool did meanwhile can look like ours; where a mistake
would run an instance twice, the answer is "unclear" and a person decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from phinops.event import Instance, JsonObject, plain
from phinops.execute.steps.kind import Probe, Progress

ENDED = frozenset({"SUCCESS", "FAILED"})
UNDER_WAY = frozenset({"WAITING", "BLOCKED", "RUNNING"})


@dataclass(frozen=True, slots=True)
class Record:
    """The part of an instance's record that tells what was done to it."""

    status: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    paused: bool | None = None

    @property
    def ended(self) -> bool:
        """Whether the run has come to an end, good or bad."""
        return self.status in ENDED


def record_of(instance: Instance) -> Record:
    """The part of the instance's record that is compared."""
    return Record(instance.status, instance.started_at, instance.ended_at, instance.paused)


def to_json(record: Record) -> JsonObject:
    """The record as a baseline that can be stored; `from_json` reads it back."""
    document: JsonObject = plain(record)
    return document


def from_json(baseline: Mapping[str, Any]) -> Record:
    """The record that `to_json` wrote; of an empty baseline an empty one."""
    return Record(
        status=baseline.get("status") or "",
        started_at=_time(baseline.get("started_at")),
        ended_at=_time(baseline.get("ended_at")),
        paused=baseline.get("paused"),
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def new_run(before: Record, now: Record) -> bool:
    """Whether `now` shows a run that began after the one of `before`, or the first one."""
    if now.started_at is None:
        return False
    return before.started_at is None or now.started_at > before.started_at


def _same_end(before: Record, now: Record) -> bool:
    """Whether both show the same finished run, beyond doubt: its times are there and have not moved."""
    times = (now.started_at, now.ended_at)
    return before.status == now.status and times == (before.started_at, before.ended_at) and times != (None, None)


ProbeRule = Callable[[Record, Record], Probe]
ProgressRule = Callable[[Record, Record], Progress]


def rerun_probe(before: Record, now: Record) -> Probe:
    """Applied when a newer run shows, or a finished instance is under way again; absent when nothing has
    moved.
    """
    if new_run(before, now) or (before.ended and now.status in UNDER_WAY):
        return "applied"
    return "absent" if before.ended and _same_end(before, now) else "unclear"


def rerun_progress(before: Record, now: Record) -> Progress:
    """Verified at success, of a new run or where there was none before; failed when a new run failed."""
    if now.status == "SUCCESS" and (new_run(before, now) or before.status != "SUCCESS"):
        return "verified"
    return "failed" if now.status == "FAILED" and new_run(before, now) else "pending"


def terminate_probe(before: Record, now: Record) -> Probe:
    """Applied when it is FAILED, which is what terminating makes of it; absent while it goes on or ended
    well.

    An instance that failed by itself looks the same, and the goal is met all the same. Where a newer run has
    begun the question is not about this run any more.
    """
    if before.started_at is not None and new_run(before, now):
        return "unclear"
    if now.status == "FAILED":
        return "applied"
    return "absent" if now.status in UNDER_WAY or now.status == "SUCCESS" else "unclear"


def terminate_progress(_before: Record, now: Record) -> Progress:
    """Verified when it is FAILED; one that succeeded before the command took hold came to another end."""
    if now.status == "FAILED":
        return "verified"
    return "failed" if now.status == "SUCCESS" else "pending"


def set_success_probe(before: Record, now: Record) -> Probe:
    """Applied at SUCCESS; absent when the same failed run still shows."""
    if now.status == "SUCCESS":
        return "applied"
    return "absent" if now.status == "FAILED" and not new_run(before, now) else "unclear"


def set_success_progress(before: Record, now: Record) -> Progress:
    """Verified at SUCCESS; failed when a newer run failed instead."""
    if now.status == "SUCCESS":
        return "verified"
    return "failed" if now.status == "FAILED" and new_run(before, now) else "pending"


def flag_probe(wanted: bool, paused: bool | None) -> Probe:
    """Whether the pause flag is as a pause or a resume would leave it."""
    if paused is None:
        return "unclear"
    return "applied" if paused is wanted else "absent"


def pause_probe(_before: Record, now: Record) -> Probe:
    """By the flag alone: pausing leaves the status as it was (seen on private installations)."""
    return flag_probe(True, now.paused)


def pause_progress(_before: Record, now: Record) -> Progress:
    """Verified when the flag is set; a pause has no other end."""
    return "verified" if now.paused is True else "pending"


def resume_probe(_before: Record, now: Record) -> Probe:
    """By the flag alone; whether it runs then is another matter, it may wait for its time."""
    return flag_probe(False, now.paused)


def resume_progress(_before: Record, now: Record) -> Progress:
    """Verified when the flag is gone; a resumption has no other end."""
    return "verified" if now.paused is False else "pending"
