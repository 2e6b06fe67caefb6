"""`phinops rehearse`: a day of a made-up tenant in seconds, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from datetime import timedelta
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import click

from phinops.catalog.catalog import Edition
from phinops.surface.cli.options import DURATION, json_option
from phinops.surface.cli.output import print_json, print_rows

if TYPE_CHECKING:
    from phinops.simulate.invent import Size
    from phinops.surface.rehearsal.day import Rehearsal

Day = dict[str, Any]

EDITIONS: tuple[Edition, ...] = ("personal", "agile", "basic", "intelligent")

_DELAYS = {
    "FAILED, NO RULE": "instances_plain",
    "FAILED, ALERT RULE": "instances_alerted",
    "ALERTS": "alerts",
    "IMPACTS": "impacts",
}


@click.command()
@click.option(
    "--edition",
    "editions",
    type=click.Choice(EDITIONS),
    multiple=True,
    help="Which, any number of times; all four unless told.",
)
@click.option("--projects", type=click.IntRange(1, 10_000), help="How many projects: 5, 20, 50, 50 by edition.")
@click.option("--failures", type=click.IntRange(0), help="Failures a day: 5, 50, 200, 200 by edition.")
@click.option("--instances", type=click.IntRange(30), help="Instances a day: 20,000.")
@click.option("--seeds", type=click.IntRange(1), default=5, show_default=True, help="How many different days.")
@click.option("--jobs", type=click.IntRange(1), default=2, show_default=True, help="How many days at the same time.")
@click.option("--every", type=DURATION, metavar="DURATION", help="Poll the instances so often, instead of auto.")
@click.option(
    "--rtt", type=DURATION, metavar="DURATION", default="60ms", show_default=True, help="How long a call is on its way."
)
@json_option
@click.pass_context
def rehearse(
    ctx: click.Context,
    /,
    editions: Sequence[Edition],
    seeds: int,
    jobs: int,
    every: timedelta | None,
    rtt: timedelta,
    as_json: bool,
    **size: int | None,
) -> None:
    """Let the daemon serve a made-up tenant for a day, in virtual time, and see what that costs.

    The tenant has a busy night: most of its runs, and most of what fails. The daemon is the real one with all its
    limits. Shown are the calls of the day, how soon what happened was seen, what was done about it, and how the delays
    compare with other ways to spend the same calls. The exit code is 1 when a call was refused, a failure got no rerun,
    or polls used what is kept for actions.

    \b
    Example:
      phinops rehearse --edition agile --failures 100
    """
    from phinops.surface.rehearsal.day import SIZES, Rehearsal
    from phinops.surface.rehearsal.summary import averaged, shortcomings

    wanted = [
        Rehearsal(
            edition=edition,
            size=_sized(SIZES[edition], size),
            seed=seed,
            every=every,
            round_trip=rtt.total_seconds(),
        )
        for edition in editions or EDITIONS
        for seed in range(1, seeds + 1)
    ]
    days = _lived(wanted, jobs)
    by_edition = [[day for day in days if day["edition"] == edition] for edition in dict.fromkeys(editions or EDITIONS)]
    means = [averaged(each) for each in by_edition]
    if as_json:
        print_json({"days": days, "means": means})
    else:
        _tell([row for each, mean in zip(by_edition, means, strict=True) for row in (*each, mean)])
    faults = [f"{_name(day)}: {fault}" for day in days for fault in shortcomings(day)]
    for fault in faults:
        click.echo(f"phinops: {fault}", err=True)
    ctx.exit(1 if faults else 0)


def _sized(size: Size, options: dict[str, int | None]) -> Size:
    """Raises UsageError where a day cannot be of that size."""
    try:
        return replace(size, **{name: value for name, value in options.items() if value is not None})
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _lived(wanted: Sequence[Rehearsal], jobs: int) -> list[Day]:
    """Every day, in the order in which they are wanted; told on stderr as they come."""
    found = {}
    for rehearsal, day in _as_they_come(wanted, jobs):
        found[rehearsal] = day
        click.echo(f"{_name(day)}: {_in_short(day)}", err=True)
    return [found[rehearsal] for rehearsal in wanted]


def _as_they_come(wanted: Sequence[Rehearsal], jobs: int) -> Iterator[tuple[Rehearsal, Day]]:
    # Started anew, not forked: a copy of this process would share its threads' locks.
    with ProcessPoolExecutor(min(jobs, len(wanted)), mp_context=get_context("spawn")) as processes:
        waiting = {processes.submit(_one, rehearsal): rehearsal for rehearsal in wanted}
        for done in as_completed(waiting):
            yield waiting[done], done.result()


def _one(rehearsal: Rehearsal) -> Day:
    """What a process does."""
    from phinops.surface import logs
    from phinops.surface.rehearsal.day import rehearse as live

    logs.configure("error")
    return live(rehearsal)


def _name(day: Day) -> str:
    return f"{day['edition']}, seed {day['seed']}"


def _in_short(day: Day) -> str:
    calls, actions, pacing = sum(day["calls"].values()), day["actions"], day["pacing"]
    told = f"{calls:,} calls, {actions['verified']} of {actions['sent']} reruns helped"
    if pacing["mean"] is not None:
        told += ", delays {ratio:.2f} of equal intervals' (optimum {optimum:.2f})".format(**pacing)
    return f"{told}, in {day['seconds']} s"


def _tell(days: Sequence[Day]) -> None:
    click.echo("The day: calls, delays in seconds (mean / 95 % / longest), reruns\n")
    columns = ["EDITION", "SEED", "CALLS 1 / 2 / 3", "POLLS", "REFUSED", *_DELAYS, "MISSED"]
    columns += ["VERIFIED", "SENT", "DELAYED", "DROPPED"]
    print_rows([_day_row(day) for day in days], {name: name for name in columns})
    click.echo("\nThe pacing: failures without an alert rule, and the same calls spent in other ways\n")
    columns = ["EDITION", "SEED", "CALLS", "FAILURES", "MEAN DELAY", "EQUAL INTERVALS", "RATIO", "OPTIMUM", "HINDSIGHT"]
    print_rows([_pacing_row(day) for day in days], {name: name for name in columns})


def _day_row(day: Day) -> Day:
    delays, actions = day["delays"], day["actions"]
    return {
        "EDITION": day["edition"],
        "SEED": day["seed"],
        "CALLS 1 / 2 / 3": " / ".join(f"{count:,.0f}" for count in day["calls"].values()),
        "POLLS": "; ".join(f"{each['calls']:,.0f} of {each['most']:,.0f}" for each in day["polls"] if each["calls"]),
        "REFUSED": f"{sum(day['refused'].values()):g}",
        **{title: _spread(delays[name]) for title, name in _DELAYS.items()},
        "MISSED": f"{sum(each['missed'] for each in delays.values()):g}",
        **{name.upper(): f"{actions[name]:g}" for name in ("verified", "sent", "delayed", "dropped")},
    }


def _spread(delays: Day) -> str:
    if delays["mean"] is None:
        return ""
    return " / ".join(f"{delays[name]:,.0f}" for name in ("mean", "p95", "max"))


def _pacing_row(day: Day) -> Day:
    pacing = day["pacing"]
    row = {"EDITION": day["edition"], "SEED": day["seed"], "CALLS": f"{pacing['calls']:,.0f}"}
    row["FAILURES"] = f"{pacing['failures']:g}"
    if pacing["mean"] is None:
        return row
    return {
        **row,
        "MEAN DELAY": f"{pacing['mean']:,.1f} s",
        "EQUAL INTERVALS": f"{pacing['equal']:,.1f} s",
        **{name.upper(): f"{pacing[name]:.2f}" for name in ("ratio", "optimum", "hindsight")},
    }
