"""A made-up day is what its numbers say, and the same for the same seed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phinops.simulate import make_simulator
from phinops.simulate.invent import HOUR, Failure, Invented, Size, invent
from phinops.simulate.scenario import IncidentSpec, NodeSpec
from simulated import HandClock

SMALL = Size(projects=5, failures=20, instances=600, services=1)
BIG = Size(projects=50, failures=200, services=2)


@pytest.fixture(scope="module")
def many() -> list[Invented]:
    """Days of the usual size with different seeds."""
    return [invent(BIG, seed) for seed in range(1, 6)]


def nodes(day: Invented) -> list[NodeSpec]:
    return [node for project in day.scenario.projects.values() for node in project.nodes.values()]


def instances(specs: Sequence[NodeSpec]) -> int:
    return sum(24 if spec.period == "HOURLY" else 1 for spec in specs)


def incidents(day: Invented) -> list[IncidentSpec]:
    return [each for each in day.scenario.incidents.values() if each.node]


def near(found: float, expected: float, count: float) -> bool:
    """Whether a share of `count` things is what chance makes of `expected`, to five standard deviations."""
    return abs(found - expected) <= 5 * math.sqrt(expected * (1 - expected) / count)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**9),
    projects=st.integers(1, 12),
    failures=st.integers(0, 40),
    spare=st.integers(0, 300),
    services=st.integers(0, 2),
)
def test_the_same_seed_gives_the_same_day_and_its_counts_are_exact(
    seed: int, projects: int, failures: int, spare: int, services: int
) -> None:
    size = Size(
        projects=projects,
        failures=failures,
        instances=30 * projects + 2 * failures + spare,
        services=services,
    )
    day = invent(size, seed, "agile")
    assert invent(size, seed, "agile") == day
    assert day.scenario.edition == "agile"
    assert len(day.scenario.projects) == len({spec.id for spec in day.scenario.projects.values()}) == projects
    assert instances(nodes(day)) == size.instances
    assert len(day.today.failures) == len(incidents(day)) == failures
    assert len(day.history) == 14
    assert sum(map(sum, day.rates.values())) == pytest.approx(failures)
    assert sum(bool(each.api) for each in day.scenario.incidents.values()) == len(day.today.troubles) == 2 * services


def test_another_seed_gives_another_day() -> None:
    first, second = invent(SMALL, 1), invent(SMALL, 2)
    assert first.today != second.today
    assert first.history != second.history
    assert first.rates == second.rates


def test_the_truth_is_what_the_scenario_does(many: list[Invented]) -> None:
    for day in many:
        alerted = {
            f"{name}/{node}": (spec.id, each.alert_rule is not None)
            for name, spec in day.scenario.projects.items()
            for node, each in spec.nodes.items()
        }
        made = [Failure(each.after, *alerted[each.node], each.fails) for each in incidents(day)]
        assert tuple(made) == day.today.failures
        assert len({each.node for each in incidents(day)}) == BIG.failures


def test_projects_have_nodes_and_failures_by_zipf(many: list[Invented]) -> None:
    weights = [rank**-1.2 for rank in range(1, BIG.projects + 1)]
    first = weights[0] / sum(weights)
    for day in many:
        sizes = [instances(list(spec.nodes.values())) for spec in day.scenario.projects.values()]
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[0] / BIG.instances == pytest.approx(first, rel=0.1)
        biggest = next(iter(day.scenario.projects.values())).id
        assert sum(day.rates[biggest]) == pytest.approx(BIG.failures * first)
    # Over all days and the fortnights before them; bursts make chance a little wilder.
    failures = [each for day in many for past in (day.today, *day.history) for each in past.failures]
    shares = Counter(failure.project for failure in failures)
    assert near(shares[biggest] / len(failures), first, len(failures) / 2)


def test_most_failures_are_in_the_night_and_most_nodes_have_an_alert_rule(many: list[Invented]) -> None:
    for day in many:
        assert near(sum(each.alert_rule is not None for each in nodes(day)) / len(nodes(day)), 0.6, len(nodes(day)))
        assert near(sum(each.at < 6 * HOUR for each in day.today.failures) / BIG.failures, 0.7, BIG.failures / 2)
        assert all(0 <= each.at < 24 * HOUR for each in day.today.failures)
    failures = [each for day in many for past in (day.today, *day.history) for each in past.failures]
    assert near(sum(each.at < 6 * HOUR for each in failures) / len(failures), 0.7, len(failures) / 2)
    assert near(sum(each.alerted for each in failures) / len(failures), 0.6, len(failures))
    by_project = Counter(each.project for each in failures)
    for project, count in by_project.most_common(5):
        alerted = sum(each.alerted for each in failures if each.project == project)
        assert near(alerted / count, 0.6, count)


def test_days_before_vary_as_a_poisson_process_does(many: list[Invented]) -> None:
    counts = [len(past.failures) for day in many for past in day.history]
    mean = sum(counts) / len(counts)
    spread = sum((count - mean) ** 2 for count in counts) / (len(counts) - 1)
    assert mean == pytest.approx(BIG.failures, abs=5 * math.sqrt(BIG.failures / len(counts)))
    assert 0.5 * BIG.failures < spread < 2 * BIG.failures


def test_some_failures_come_in_bursts_some_fail_twice_and_some_hold_others_up(many: list[Invented]) -> None:
    total = len(many) * BIG.failures
    twice = sum(each.runs == 2 for day in many for each in day.today.failures)
    assert near(twice / total, 0.05, total)
    assert near(sum(each.cascade for day in many for each in incidents(day)) / total, 0.4, total)
    small = 0
    for day in many:
        # In small projects two failures within five minutes are a burst, and hardly ever chance.
        rare = [each for each in day.today.failures if sum(day.rates[each.project]) < 4]
        small += sum(
            any(other is not each and other.project == each.project and abs(other.at - each.at) < 300 for other in rare)
            for each in rare
        )
    assert 0.02 < small / total < 0.1


def test_the_tenant_lives_its_day_and_only_what_was_meant_to_fails() -> None:
    day = invent(SMALL, 3)
    clock = HandClock()
    simulator = make_simulator(day.scenario, clock=clock)
    began = simulator.tenant.started
    clock.turn(23.9 * HOUR)
    simulator.tenant.settle()
    runs = [run for each in simulator.tenant.instances.values() for run in each.runs if run.state == "FAILED"]
    ends = sorted((run.end or 0.0) - began for run in runs)
    assert ends == pytest.approx([each.at for each in day.today.failures if each.at < 23.9 * HOUR])
    assert all(60 <= (run.end or 0.0) - run.start <= 300 for run in runs)
    held = [each for each in simulator.tenant.instances.values() if each.state == "WAITING" and each.held()]
    assert held


@pytest.mark.parametrize(("projects", "failures", "instances"), [(0, 0, 100), (4, 0, 100), (1, 50, 100)])
def test_a_day_that_cannot_be_is_refused(projects: int, failures: int, instances: int) -> None:
    with pytest.raises(ValueError, match="are needed"):
        Size(projects=projects, failures=failures, instances=instances)
