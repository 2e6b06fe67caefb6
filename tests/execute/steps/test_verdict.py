from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phinops.execute.steps import verdict
from phinops.execute.steps.kind import Probe, Progress, Taskrun
from phinops.execute.steps.verdict import Counted, Record
from stillness import NOON, after

FAILED = Record("FAILED", NOON, after(5), False)
SUCCEEDED = Record("SUCCESS", NOON, after(5), False)
RUNNING = Record("RUNNING", NOON, None, False)
WAITING = Record("WAITING", None, None, False)
NEVER_RAN = Record("FAILED", None, None, False)
RERUNNING = Record("RUNNING", after(10), None, False)
FAILED_AGAIN = Record("FAILED", after(10), after(12), False)
SUCCEEDED_AGAIN = Record("SUCCESS", after(10), after(12), False)
EARLIER = Record("FAILED", after(-10), after(-5), False)

moments = st.none() | st.integers(0, 5).map(after)
records = st.builds(
    Record,
    st.sampled_from(["", "WAITING", "BLOCKED", "RUNNING", "SUCCESS", "FAILED", "UNKNOWN"]),
    moments,
    moments,
    st.sampled_from([None, True, False]),
)


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (FAILED, FAILED, "absent"),
        (FAILED, RERUNNING, "applied"),
        (FAILED, FAILED_AGAIN, "applied"),
        (FAILED, SUCCEEDED_AGAIN, "applied"),
        (FAILED, RUNNING, "applied"),  # under way with the old start time still shown
        (FAILED, WAITING, "applied"),
        (NEVER_RAN, NEVER_RAN, "unclear"),  # a rerun that failed before it began would look the same
        (NEVER_RAN, FAILED, "applied"),
        (FAILED, SUCCEEDED, "unclear"),  # somebody set it to success
        (FAILED, EARLIER, "unclear"),
        (RUNNING, RUNNING, "unclear"),
        (FAILED, replace(FAILED, ended_at=after(6)), "unclear"),
        (FAILED, Record("UNKNOWN", NOON, after(5)), "unclear"),
    ],
)
def test_a_rerun_is_found_by_its_start_time(before: Record, now: Record, expected: Probe) -> None:
    assert verdict.rerun_probe(before, now) == expected


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (FAILED, FAILED, "pending"),
        (FAILED, RERUNNING, "pending"),
        (FAILED, FAILED_AGAIN, "failed"),
        (FAILED, SUCCEEDED_AGAIN, "verified"),
        (FAILED, SUCCEEDED, "verified"),
        (SUCCEEDED, SUCCEEDED, "pending"),
        (SUCCEEDED, SUCCEEDED_AGAIN, "verified"),
    ],
)
def test_a_rerun_is_verified_by_a_new_success(before: Record, now: Record, expected: Progress) -> None:
    assert verdict.rerun_progress(before, now) == expected


@pytest.mark.parametrize(
    ("before", "now", "probe", "progress"),
    [
        (RUNNING, RUNNING, "absent", "pending"),
        (RUNNING, FAILED, "applied", "verified"),
        (RUNNING, SUCCEEDED, "absent", "failed"),
        (RUNNING, RERUNNING, "unclear", "pending"),
        (RUNNING, Record("UNKNOWN", NOON), "unclear", "pending"),
        (WAITING, RUNNING, "absent", "pending"),
        (WAITING, NEVER_RAN, "applied", "verified"),
    ],
)
def test_a_termination_is_found_by_the_failed_state(
    before: Record, now: Record, probe: Probe, progress: Progress
) -> None:
    assert verdict.terminate_probe(before, now) == probe
    assert verdict.terminate_progress(before, now) == progress


@pytest.mark.parametrize(
    ("before", "now", "probe", "progress"),
    [
        (FAILED, FAILED, "absent", "pending"),
        (FAILED, SUCCEEDED, "applied", "verified"),
        (FAILED, FAILED_AGAIN, "unclear", "failed"),
        (FAILED, RERUNNING, "unclear", "pending"),
    ],
)
def test_setting_success_is_found_by_the_success_state(
    before: Record, now: Record, probe: Probe, progress: Progress
) -> None:
    assert verdict.set_success_probe(before, now) == probe
    assert verdict.set_success_progress(before, now) == progress


@pytest.mark.parametrize(
    ("paused", "pause", "resume"),
    [(True, "applied", "absent"), (False, "absent", "applied"), (None, "unclear", "unclear")],
)
def test_a_pause_is_found_by_the_flag(paused: bool | None, pause: Probe, resume: Probe) -> None:
    now = replace(WAITING, paused=paused)
    assert verdict.pause_probe(WAITING, now) == pause
    assert verdict.resume_probe(WAITING, now) == resume
    assert verdict.pause_progress(WAITING, now) == ("verified" if paused is True else "pending")
    assert verdict.resume_progress(WAITING, now) == ("verified" if paused is False else "pending")


@given(records)
def test_a_record_survives_being_stored(record: Record) -> None:
    assert verdict.from_json(verdict.to_json(record)) == record


@given(records, records)
def test_a_rerun_is_absent_only_where_nothing_moved(before: Record, now: Record) -> None:
    """Absent leads to another rerun, so it must never be said where a run may have begun."""
    if verdict.rerun_probe(before, now) == "absent":
        assert replace(before, paused=None) == replace(now, paused=None)
        assert before.ended
        assert (before.started_at, before.ended_at) != (None, None)


@given(records, records)
def test_what_is_verified_was_applied_or_looks_so(before: Record, now: Record) -> None:
    if verdict.rerun_progress(before, now) == "verified":
        assert verdict.rerun_probe(before, now) != "absent"


RUNS = (Taskrun("r1", "FAILED", after(-20), after(-15)), Taskrun("r2", "FAILED", NOON, after(5)))
AGAIN = Taskrun("r3", "FAILED", after(10), after(12))


@pytest.mark.parametrize(
    ("before", "known", "runs", "expected"),
    [
        (NEVER_RAN, Counted(2, "r2"), RUNS, "absent"),
        (NEVER_RAN, Counted(2, "r2"), (*RUNS, AGAIN), "applied"),
        (NEVER_RAN, Counted(2, "r2"), (RUNS[1], AGAIN), "applied"),  # the log keeps so many and no more
        (NEVER_RAN, Counted(0), (), "absent"),
        (NEVER_RAN, Counted(0), (AGAIN,), "applied"),
        (NEVER_RAN, Counted(2), (AGAIN,), "unclear"),  # fewer than before, and without ids
        (NEVER_RAN, None, RUNS, "unclear"),
        (FAILED, None, RUNS, "absent"),
        (FAILED, None, (*RUNS, AGAIN), "applied"),
        (FAILED, None, (), "unclear"),
        (FAILED, None, (*RUNS, Taskrun("r3")), "unclear"),
        (RUNNING, None, RUNS, "unclear"),
    ],
)
def test_where_the_record_looks_the_same_the_log_of_runs_tells(
    before: Record, known: Counted | None, runs: tuple[Taskrun, ...], expected: Probe
) -> None:
    assert verdict.runs_probe(before, known, runs) == expected


@pytest.mark.parametrize(
    ("runs", "asked"),
    [
        ([], 0),
        ([("SUCCESS", 10, 12)], 1),
        ([("SUCCESS", 10, 12), ("SUCCESS", 12, 14)], 2),  # nothing but a person or a late write reruns a success
        ([("FAILED", 10, 12), ("SUCCESS", 17, 19)], 1),  # after a pause: Dataphin's own
        ([("FAILED", 10, 12), ("SUCCESS", 12, 19)], 2),  # at once: not Dataphin's own
        ([("FAILED", 10, 12), ("FAILED", 13, 14), ("FAILED", 15, 16)], 1),
        ([("RUNNING", 10, None)], 1),
    ],
)
def test_runs_that_dataphin_may_have_made_by_itself_were_not_asked_for(
    runs: list[tuple[str, int, int | None]], asked: int
) -> None:
    made = [Taskrun(f"r{n}", status, after(at), None if end is None else after(end)) for n, (status, at, end) in
            enumerate(runs)]  # fmt: skip
    assert verdict.asked_for(made) == asked


@given(st.lists(st.sampled_from(["FAILED", "SUCCESS"]), max_size=5), st.integers(0, 3))
def test_a_log_that_was_counted_tells_every_run_that_came_since(before: list[str], more: int) -> None:
    old = [Taskrun(f"r{n}", status, after(n), after(n + 1)) for n, status in enumerate(before)]
    new = [Taskrun(f"n{n}", "SUCCESS", after(100 + n), after(100 + n)) for n in range(more)]
    known = verdict.counted_in({"runs": verdict.counted(old)})
    assert verdict.runs_since(NEVER_RAN, known, [*old, *new]) == new
    assert verdict.asked_for(new) == more


@pytest.mark.parametrize(
    ("decided", "now", "kinds"),
    [
        # rerun, terminate, set success
        (FAILED, FAILED, ("wanted", "met", "wanted")),
        (FAILED, SUCCEEDED, ("changed", "changed", "met")),
        (FAILED, RUNNING, ("changed", "wanted", "changed")),
        (FAILED, WAITING, ("changed", "wanted", "changed")),
        (FAILED, RERUNNING, ("changed", "changed", "changed")),
        (FAILED, SUCCEEDED_AGAIN, ("changed", "changed", "changed")),
        (RUNNING, RUNNING, ("wanted", "wanted", "wanted")),
        (RUNNING, FAILED, ("wanted", "met", "wanted")),
        (RUNNING, SUCCEEDED, ("wanted", "changed", "met")),
        (Record(), RUNNING, ("wanted", "wanted", "wanted")),
        (Record(), FAILED, ("wanted", "met", "wanted")),
        (Record(), Record(), ("wanted", "wanted", "wanted")),
    ],
)
def test_a_write_is_wanted_of_what_was_decided_on_and_not_of_what_is_so_already(
    decided: Record, now: Record, kinds: tuple[str, ...]
) -> None:
    rules = (verdict.rerun_standing, verdict.terminate_standing, verdict.set_success_standing)
    assert tuple(rule(decided, now).kind for rule in rules) == kinds


@given(records, records)
def test_what_is_not_wanted_says_what_is_so(decided: Record, now: Record) -> None:
    for rule in (verdict.rerun_standing, verdict.terminate_standing, verdict.set_success_standing,
                 verdict.pause_standing, verdict.resume_standing):  # fmt: skip
        standing = rule(decided, now)
        assert bool(standing.words) == (standing.kind != "wanted")


@pytest.mark.parametrize(("flag", "pause", "resume"), [(True, "met", "wanted"), (False, "wanted", "met"),
                                                       (None, "wanted", "wanted")])  # fmt: skip
def test_a_flag_that_is_as_wanted_leaves_nothing_to_do(flag: bool | None, pause: str, resume: str) -> None:
    now = replace(WAITING, paused=flag)
    assert verdict.pause_standing(Record(), now).kind == pause
    assert verdict.resume_standing(Record(), now).kind == resume
