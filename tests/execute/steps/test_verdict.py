from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phinops.execute.steps import verdict
from phinops.execute.steps.kind import Probe, Progress
from phinops.execute.steps.verdict import Record
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
