"""`phinops rehearse` as it is typed."""

from __future__ import annotations

import json

from click.testing import CliRunner

from phinops.surface.cli import phinops

SMALL = ["--edition", "personal", "--projects", "3", "--instances", "300", "--seeds", "2"]


def test_days_and_their_means_are_told_as_tables_and_as_json() -> None:
    told = CliRunner().invoke(phinops, ["rehearse", *SMALL, "--failures", "3"])
    assert told.exit_code == 0, told.output
    day, pacing = told.stdout.split("\nThe pacing")
    for table in (day, pacing):
        rows = [line.split()[:2] for line in table.splitlines()]
        assert [row for row in rows if row[:1] == ["personal"]] == [
            ["personal", "1"], ["personal", "2"], ["personal", "mean"],
        ]  # fmt: skip
    assert "of 80" in day
    assert "personal, seed 2: " in told.stderr
    result = CliRunner().invoke(phinops, ["rehearse", *SMALL, "--failures", "3", "--jobs", "1", "--json"])
    document = json.loads(result.stdout)
    assert [day["seed"] for day in document["days"]] == [1, 2]
    assert [mean["seed"] for mean in document["means"]] == ["mean"]
    assert document["days"][0]["projects"] == 3


def test_a_day_with_dropped_actions_is_a_no() -> None:
    result = CliRunner().invoke(
        phinops, ["rehearse", "--edition", "personal", "--instances", "2000", "--failures", "150", "--seeds", "1"]
    )
    assert result.exit_code == 1
    assert "actions were dropped" in result.stderr


def test_a_day_that_cannot_be_is_a_mistake_in_typing() -> None:
    result = CliRunner().invoke(phinops, ["rehearse", "--edition", "agile", "--instances", "40"])
    assert result.exit_code == 2
    assert "are needed" in result.stderr
