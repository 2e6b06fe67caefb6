"""Dataphin's own reruns, waited out before ours: two reruns of one failure would run it twice."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from phinops.event import Event, Instance
from phinops.execute.steps.verdict import another_run, record_of

RERUNS = frozenset({"rerun_instance", "fix_data"})
"""The steps that run again what failed."""

MARGIN = timedelta(minutes=1)
"""How much later than told Dataphin's rerun may begin, and show."""


@dataclass(frozen=True, slots=True)
class OwnReruns:
    """`auto_rerun` of a tenant: a run that failed is run again so many times, each so long after the end before it."""

    times: int
    every: timedelta

    def over_at(self, event: Event, instance: Instance) -> datetime | None:
        """When Dataphin will have run the instance again if it does; None: it does not, as far as it shows.

        The failed runs that were seen count, ours as well; where none were counted it is taken for the first.
        """
        if instance.status != "FAILED" or (instance.attempts or 1) > self.times:
            return None
        return (instance.ended_at or event.time) + self.every + MARGIN


def begun(before: Instance, now: Instance) -> str:
    """What shows that somebody, most likely Dataphin itself, has run the instance again meanwhile, or ""."""
    if now.status == before.status and not another_run(record_of(before), record_of(now)):
        return ""
    return f"{now.id} was run again meanwhile and is {now.status}: Dataphin reruns it itself (auto_rerun)"
