"""What a read-back says of a write on an instance: pure functions of the record before and the record now.

Times are compared only with times of the same service, so that no two clocks have to agree. Two records with
different start times are two runs. What a person or another tool did meanwhile can look like ours; where a mistake
would run an instance twice, the answer is "unclear" and a person decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from phinops.event import Instance, JsonObject, plain
from phinops.execute.steps.kind import WANTED, Probe, Progress, Standing, Taskrun

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


def another_run(before: Record, now: Record) -> bool:
    """Whether the two show different runs; to the second, since not every API tells fractions of one."""
    if before.started_at is None or now.started_at is None:
        return False
    return _second(before.started_at) != _second(now.started_at)


def _second(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


def _same_end(before: Record, now: Record) -> bool:
    """Whether both show the same finished run, beyond doubt: its times are there and have not moved."""
    times = (now.started_at, now.ended_at)
    return before.status == now.status and times == (before.started_at, before.ended_at) and times != (None, None)


ProbeRule = Callable[[Record, Record], Probe]
ProgressRule = Callable[[Record, Record], Progress]
StandingRule = Callable[[Record, Record], Standing]
"""Of the record that was decided on, an empty one where that is not known, and of the one now."""


def _changed(decided: Record, now: Record) -> Standing | None:
    """That the instance has gone on since the rule decided, whoever did that."""
    if another_run(decided, now):
        return Standing("changed", "another run of it has begun since the rule decided")
    if decided.ended and now.status in UNDER_WAY:
        return Standing("changed", f"it was {decided.status} when the rule decided, and is {now.status} again")
    return None


def rerun_standing(decided: Record, now: Record) -> Standing:
    """Wanted of the very run that was decided on, in the state that it was in."""
    changed = _changed(decided, now)
    if changed is None and decided.ended and now.ended and decided.status != now.status:
        changed = Standing("changed", f"it was {decided.status} when the rule decided, and is {now.status} now")
    return changed or WANTED


def terminate_standing(decided: Record, now: Record) -> Standing:
    """Wanted while it goes on; one that is FAILED is where terminating would bring it."""
    if another_run(decided, now):
        return Standing("changed", "another run of it has begun since the rule decided")
    if now.status == "FAILED":
        return Standing("met", "it is FAILED already")
    return Standing("changed", "it has succeeded already") if now.status == "SUCCESS" else WANTED


def set_success_standing(decided: Record, now: Record) -> Standing:
    """Wanted of the failed run that was decided on."""
    if now.status == "SUCCESS" and not another_run(decided, now):
        return Standing("met", "it is SUCCESS already")
    return _changed(decided, now) or WANTED


def pause_standing(decided: Record, now: Record) -> Standing:
    """Wanted while the flag is not known to be set."""
    return flag_standing(True, now.paused)


def resume_standing(decided: Record, now: Record) -> Standing:
    """Wanted while the flag is not known to be unset."""
    return flag_standing(False, now.paused)


def flag_standing(wanted: bool, paused: bool | None) -> Standing:
    """Whether a pause or a resume has anything to do."""
    if paused is not wanted:
        return WANTED
    return Standing("met", "it is paused already" if wanted else "it is not paused")


def rerun_probe(before: Record, now: Record) -> Probe:
    """Applied when a newer run shows, or a finished instance is under way again; absent when nothing has
    moved.
    """
    if new_run(before, now) or (before.ended and now.status in UNDER_WAY):
        return "applied"
    return "absent" if before.ended and _same_end(before, now) else "unclear"


@dataclass(frozen=True, slots=True)
class Counted:
    """How many runs the log of an instance had, and the newest one's id."""

    number: int
    newest: str = ""


def counted(runs: Sequence[Taskrun]) -> JsonObject:
    """What a baseline keeps of the log of runs; `counted_in` reads it back."""
    return {"number": len(runs), "newest": runs[-1].id if runs else ""}


def counted_in(baseline: Mapping[str, Any]) -> Counted | None:
    """What the baseline knows of the log of runs; None where that was not read."""
    found = baseline.get("runs")
    return Counted(found["number"], found["newest"]) if found else None


def times_tell(record: Record) -> bool:
    """Whether a later record can be told from this one by status and times alone."""
    return record.ended and record.started_at is not None and record.ended_at is not None


def runs_since(before: Record, known: Counted | None, runs: Sequence[Taskrun]) -> Sequence[Taskrun] | None:
    """The runs of the log, oldest first, that began after the baseline; None where that cannot be told.

    A log that was counted is compared with the count; else a run is new that began when the one of the baseline had
    ended.
    """
    if known is not None:
        ids = [run.id for run in runs]
        if known.newest and known.newest in ids:
            return runs[ids.index(known.newest) + 1 :]
        return runs[known.number :] if len(runs) >= known.number else None
    end = before.ended_at
    if end is None or not runs or any(run.started_at is None for run in runs):
        return None
    return [run for run in runs if run.started_at and _second(run.started_at) >= _second(end)]


def runs_probe(before: Record, known: Counted | None, runs: Sequence[Taskrun]) -> Probe:
    """Whether the log of runs has one more than before: what tells where the record looks the same, or has no times."""
    since = runs_since(before, known, runs)
    if since is None:
        return "unclear"
    return "applied" if since else "absent"


OWN_RERUN_AFTER = timedelta(minutes=1)
"""The shortest pause that Dataphin's own reruns of what failed can be set to."""


def asked_for(runs: Sequence[Taskrun]) -> int:
    """How many of these runs, which follow each other, somebody asked for.

    One that begins a minute or later after a failed one may be Dataphin's own rerun, and is not counted.
    """
    pairs = zip((None, *runs), runs, strict=False)
    return sum(not (before and _may_be_own(before, run)) for before, run in pairs)


def _may_be_own(before: Taskrun, run: Taskrun) -> bool:
    if before.status != "FAILED" or before.ended_at is None or run.started_at is None:
        return False
    return run.started_at - before.ended_at >= OWN_RERUN_AFTER


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
