"""A busy day, made up from a few numbers and a seed: the tenant's scenario, the truth about it, and the days before.

Few projects have most of the nodes and of the failures (Zipf); most runs and failures are in the night. The numbers are
those of no real tenant; they are what the quota has to be enough for.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from phinops.simulate.scenario import (
    AlertRuleSpec,
    AlertSpec,
    ApiSpec,
    AppSpec,
    DataServiceSpec,
    Edition,
    IncidentSpec,
    NodeSpec,
    ProjectSpec,
    Scenario,
)

HOUR, DAY = 3600.0, 86_400.0

ZIPF = 1.2
"""The project of rank k has nodes and failures in proportion to 1 / k ** ZIPF."""

NIGHT_HOURS, NIGHT_PART = 6, 0.7
"""So much of a day's failures falls into its first hours; the rest is spread evenly over the others."""

ALERTED_PART = 0.6
"""The part of the nodes that have an alert rule, whatever their project."""

BURST_PART, BURST_SIZES, BURST_SPREAD = 0.1, (2, 3, 4), 300.0
"""The part of the failures that come in bursts: so many nodes of one project, within so many seconds."""

HISTORY_DAYS = 14

LEAST_INSTANCES = 30
"""A day, of the smallest project."""

_HOURLY_PART = 0.3
_LAYERS = (0.15, 0.25, 0.3, 0.3)
_CASCADE_PART = 0.4
_TWICE_PART = 0.05
_QUALITY_PART = 0.1
_SERVED_APIS, _SERVED_APPS, _TROUBLES_EACH = 4, 2, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much of everything a day has. `services` are data service projects, in each of which APIs fail for a while.

    Raises:
        ValueError: there are too few instances for so many projects and failures.
    """

    projects: int
    failures: int
    instances: int = 20_000
    services: int = 0

    def __post_init__(self) -> None:
        least = LEAST_INSTANCES * self.projects + 2 * self.failures
        if not 1 <= self.projects <= 10_000 or self.instances < least:
            raise ValueError(
                f"{self.instances} instances are too few for {self.projects} projects (1 to 10,000) and "
                f"{self.failures} failures: {least} are needed"
            )


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that fails `at` seconds after midnight; `alerted`: its node has an alert rule. `runs` fail in all."""

    at: float
    project: int
    alerted: bool
    runs: int = 1


@dataclass(frozen=True, slots=True)
class PastDay:
    """What happened on a day: failures, when alerts came that no run is behind, and when which service had trouble."""

    failures: tuple[Failure, ...]
    alerts: tuple[float, ...]
    troubles: tuple[tuple[float, int], ...]


@dataclass(frozen=True, slots=True)
class Invented:
    """A made-up day.

    `today` is what befalls the tenant of `scenario`; `history` what befell it on the days before, newest first, drawn
    from the same rates; `rates` are the failures an hour that are to be expected, by project, for each hour of the day.
    """

    scenario: Scenario
    today: PastDay
    history: tuple[PastDay, ...]
    rates: Mapping[int, tuple[float, ...]]


def invent(size: Size, seed: int, edition: Edition = "basic") -> Invented:
    """A tenant of that size and its day, which begins with the simulator. The same arguments give the same.

    Failures come at random (a Poisson process by project and hour, in which some bring others with them): on the day
    itself exactly `size.failures` first failures of as many nodes, on the days before a number that varies. Each is
    cured by one rerun, a few by two; nothing else fails.
    """
    chances = _Chances(size)
    plots = _projects(size, chances, Random(f"{seed} tenant"))
    today = _day(size, chances, Random(f"{seed} today"), size.failures)
    struck, incidents = _strike(today.failures, plots, Random(f"{seed} incidents"))
    services = _services(size)
    troubles = _troubles(today.troubles, services, Random(f"{seed} troubles"))
    scenario = Scenario(
        name="busy",
        description="a busy day, made up",
        edition=edition,
        history=0,
        projects={plot.name: plot.spec() for plot in plots.values()},
        incidents=incidents | troubles,
        alerts=_alerts(today.alerts, list(plots.values()), Random(f"{seed} alerts")),
        data_services=services,
    )
    return Invented(
        scenario,
        PastDay(struck, today.alerts, today.troubles),
        tuple(_history(size, chances, Random(f"{seed} history"))),
        chances.rates(size.failures),
    )


def project_id(rank: int) -> int:
    """The id of the project of that rank, from 1."""
    # Ids do not rise with the rank: nothing may come first because it is the largest.
    return 131_000 + rank * 7_919 % 10_007


def service_id(number: int) -> int:
    """The id of the data service project of that number, from 0."""
    return 102_100 + number


class _Chances:
    """Where and when a failure happens."""

    def __init__(self, size: Size) -> None:
        ranks = range(1, size.projects + 1)
        weights = [rank**-ZIPF for rank in ranks]
        self.projects = [project_id(rank) for rank in ranks]
        self.parts = [weight / sum(weights) for weight in weights]
        night = [NIGHT_PART / NIGHT_HOURS] * NIGHT_HOURS
        self.hours = night + [(1 - NIGHT_PART) / (24 - NIGHT_HOURS)] * (24 - NIGHT_HOURS)

    def rates(self, failures: float) -> dict[int, tuple[float, ...]]:
        return {
            project: tuple(failures * part * hour for hour in self.hours)
            for project, part in zip(self.projects, self.parts, strict=True)
        }

    def project(self, random: Random) -> int:
        return random.choices(self.projects, self.parts)[0]

    def moment(self, random: Random, before_the_end: float = 0.0) -> float:
        """Seconds after midnight, at least so many before the end of an hour."""
        hour = random.choices(range(24), self.hours)[0]
        return hour * HOUR + random.uniform(0.0, HOUR - before_the_end)


def _day(size: Size, chances: _Chances, random: Random, failures: int) -> PastDay:
    quality = round(_QUALITY_PART * size.failures) or 1
    troubles = [
        (chances.moment(random), service_id(number)) for number in range(size.services) for _ in range(_TROUBLES_EACH)
    ]
    return PastDay(
        tuple(sorted(_failures(chances, random, failures), key=lambda each: each.at)),
        tuple(sorted(chances.moment(random) for _ in range(quality))),
        tuple(sorted(troubles)),
    )


def _failures(chances: _Chances, random: Random, count: int) -> Iterator[Failure]:
    mean = sum(BURST_SIZES) / len(BURST_SIZES)
    bursts = BURST_PART / (mean - BURST_PART * (mean - 1))  # so many of what happens are bursts
    while count > 0:
        together = min(count, random.choice(BURST_SIZES)) if random.random() < bursts else 1
        spread = BURST_SPREAD if together > 1 else 0.0
        project, at = chances.project(random), chances.moment(random, spread)
        for number in range(together):
            moment = at + (random.uniform(0.0, spread) if number else 0.0)
            yield Failure(moment, project, random.random() < ALERTED_PART)
        count -= together


def _history(size: Size, chances: _Chances, random: Random) -> Iterator[PastDay]:
    for _ in range(HISTORY_DAYS):
        yield _day(size, chances, random, _poisson(size.failures, random))


def _poisson(mean: float, random: Random) -> int:
    """How many events of a Poisson process come within its mean."""
    waits = itertools.accumulate(random.expovariate(1.0) for _ in itertools.count())
    return next(count for count, at in enumerate(waits) if at > mean)


class _Plot:
    """A project as it is laid out. `daily` are its nodes that run once a day, from the top of the lineage down."""

    def __init__(self, project: int, rank: int) -> None:
        self.id = project
        self.name = f"dw_{rank:02d}"
        self.nodes: dict[str, NodeSpec] = {}
        self.daily: list[str] = []
        self._next = 0

    def spec(self) -> ProjectSpec:
        return ProjectSpec(id=self.id, mode="BASIC", nodes=self.nodes)

    def take(self, alerted: bool) -> str:
        """A daily node with or without an alert rule, another one each time as long as there are any."""
        for _ in self.daily:
            name = self.daily[self._next % len(self.daily)]
            self._next += 1
            if (self.nodes[name].alert_rule is not None) is alerted:
                return name
        raise ValueError(f"project {self.name} is too small")


def _projects(size: Size, chances: _Chances, random: Random) -> dict[int, _Plot]:
    spare = size.instances - LEAST_INSTANCES * size.projects
    marks = [0, *(round(spare * each) for each in itertools.accumulate(chances.parts))]
    plots = {}
    for rank, project in enumerate(chances.projects, start=1):
        plot = plots[project] = _Plot(project, rank)
        _lay_out(plot, LEAST_INSTANCES + marks[rank] - marks[rank - 1], random)
    return plots


def _lay_out(plot: _Plot, instances: int, random: Random) -> None:
    """Nodes that have so many instances a day."""
    hourly = int(_HOURLY_PART * instances / 24)
    for number in range(hourly):
        name = f"h_{number:04d}"
        plot.nodes[name] = _node(random, at=int(random.uniform(0, HOUR)), period="HOURLY")
    daily = instances - 24 * hourly
    above: list[str] = []
    begin = 0
    for layer, share in enumerate(itertools.accumulate(_LAYERS)):
        end = daily if layer == len(_LAYERS) - 1 else round(daily * share)
        names = [f"d{layer}_{number:04d}" for number in range(begin, end)]
        for name in names:
            plot.nodes[name] = _below(plot, above, random)
        above, begin = names or above, end
        plot.daily += names
    random.shuffle(plot.daily)


def _below(plot: _Plot, above: Sequence[str], random: Random) -> NodeSpec:
    """A daily node: at the top of the lineage with its own time of day, most often at night, or soon after another."""
    if not above:
        night = random.random() < 0.85
        at = random.triangular(0, 5 * HOUR, 1.5 * HOUR) if night else random.uniform(0, DAY)
        return _node(random, at=int(at))
    upstream = random.choice(above)
    at = min(plot.nodes[upstream].at + random.uniform(0, 0.5 * HOUR), DAY - 1)
    return _node(random, at=int(at), upstream=(upstream,))


def _node(random: Random, *, at: int, period: str = "DAILY", upstream: tuple[str, ...] = ()) -> NodeSpec:
    # Made without validation: there are some ten thousand.
    return NodeSpec.model_construct(
        at=at,
        period=period,
        duration=random.uniform(60.0, 420.0),
        upstream=upstream,
        alert=AlertRuleSpec() if random.random() < ALERTED_PART else False,
    )


def _strike(
    failures: Sequence[Failure], plots: Mapping[int, _Plot], random: Random
) -> tuple[tuple[Failure, ...], dict[str, IncidentSpec]]:
    """An incident for each failure, at a node of its own."""
    struck, incidents = [], {}
    for number, failure in enumerate(failures, start=1):
        plot = plots[failure.project]
        runs = 2 if random.random() < _TWICE_PART else 1
        struck.append(Failure(failure.at, failure.project, failure.alerted, runs))
        incidents[f"failure_{number:04d}"] = IncidentSpec(
            node=f"{plot.name}/{plot.take(failure.alerted)}",
            fails=runs,
            takes=random.uniform(60.0, 300.0),
            cascade=random.random() < _CASCADE_PART,
            after=failure.at,
        )
    return tuple(struck), incidents


def _alerts(moments: Sequence[float], plots: Sequence[_Plot], random: Random) -> dict[str, AlertSpec]:
    return {
        f"quality_{number:03d}": AlertSpec(
            system="DQE",
            reason="DQE_FAILED",
            object=f"rule_{number:03d}",
            object_type="DQE_TABLE",
            project=random.choice(plots).name,
            after=at,
            ends=random.uniform(0.5 * HOUR, 2 * HOUR),
        )
        for number, at in enumerate(moments, start=1)
    }


def _services(size: Size) -> dict[str, DataServiceSpec]:
    return {
        f"ds_{number}": DataServiceSpec(
            id=service_id(number),
            apis={
                f"api_{number}_{each}": ApiSpec(
                    id=10_000 + 100 * number + each,
                    apps={f"app_{number}_{app}": AppSpec(per_minute=30.0) for app in range(_SERVED_APPS)},
                )
                for each in range(_SERVED_APIS)
            },
        )
        for number in range(size.services)
    }


def _troubles(
    troubles: Sequence[tuple[float, int]], services: Mapping[str, DataServiceSpec], random: Random
) -> dict[str, IncidentSpec]:
    """An API for each trouble, each of them once."""
    apis = {spec.id: [f"{name}/{api}" for api in spec.apis] for name, spec in services.items()}
    return {
        f"trouble_{number:03d}": IncidentSpec(
            api=apis[service].pop(), rate=random.uniform(0.3, 1.0), after=at, lasts=random.uniform(0.5 * HOUR, HOUR)
        )
        for number, (at, service) in enumerate(troubles, start=1)
    }
