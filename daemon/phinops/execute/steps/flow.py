"""What is submitted once and then lives on by itself, as it is read: backfills, fixes and manual runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from phinops.event import Instance

Schedule = Literal["NORMAL", "MANUAL", "SUPPLEMENT"]
"""What an instance came from: its node's schedule, a manual run or a backfill."""


@dataclass(frozen=True, slots=True)
class Dagrun:
    """The part of a backfill that makes one business date; `status` is Dataphin's own word."""

    biz_date: str
    status: str


@dataclass(frozen=True, slots=True)
class Submission:
    """What became of a submission: its flow's id, "" while there is none yet."""

    status: str
    flow_id: str = ""


@dataclass(frozen=True, slots=True)
class Days:
    """Business dates as YYYY-MM-DD, from the first to the last, both included."""

    first: str
    last: str


class Flows(Protocol):
    """Reads what was submitted. Every method raises the client's errors (`ApiError`, `QuotaSpent`) when it cannot."""

    def dated(self, biz_date: str) -> str:
        """A business date, YYYY-MM-DD, in the form that this tenant's requests have."""
        ...

    async def of_node(
        self, project_id: str, node_id: str, schedule: Schedule, days: Days, most: int
    ) -> Sequence[Instance] | None:
        """The node's instances of that kind on these business dates; None where there are more than `most`."""
        ...

    async def of_flow(self, project_id: str, schedule: Schedule, flow_id: str) -> Sequence[str]:
        """The ids of the instances in the project that the flow consists of, empty while it has none."""
        ...

    async def below(self, instance_id: str, node_type: str) -> Sequence[Instance]:
        """The instances that hang below, nearest first, each with nothing but its id and status."""
        ...

    async def submission(self, job_id: str) -> Submission:
        """How far a job has come that makes a flow."""
        ...

    async def dagruns(self, flow_id: str) -> Sequence[Dagrun]:
        """The dagruns of a backfill, one for each business date."""
        ...
