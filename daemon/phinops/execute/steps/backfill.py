"""Backfills: a node, and what hangs below it if that is asked, run for business dates of the past."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from phinops.event import Event, Instance, JsonObject
from phinops.execute.steps.flow import Dagrun, Days
from phinops.execute.steps.kind import BadStep, Look, Path, Probe, Progress, Setting, Step, Write
from phinops.execute.steps.submit import SUBMITTED, SubmitStep, end_of, ids_of, instances_of, new_since
from phinops.execute.steps.target import node_of
from phinops.execute.steps.values import Day, Id, Params, ProjectId, Text, is_template

MOST_PARALLEL = 12
"""Business dates that the console lets run side by side at most."""

_FAILED = frozenset({"FAILED", "KILLED", "CREATE_FAILED"})
_FLOW = "f_"  # how the id of a flow begins; a job's is a number


def _downstream(value: object) -> object:
    if is_template(value) or value in ("none", "all"):
        return value
    ids = value if isinstance(value, list | tuple) else None
    if ids is None:
        raise ValueError(f"must be none, all or a list of nodes' ids, not {value!r}")
    if not ids:
        raise ValueError("is an empty list: say none where nothing below is to run")
    wrong = [each for each in ids if isinstance(each, bool) or not isinstance(each, str | int) or each == ""]
    if wrong:
        raise ValueError(f"must be ids of nodes, which {wrong[0]!r} is not")
    return tuple(str(each) for each in ids)


def _parallelism(value: object) -> object:
    if is_template(value):
        return value
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= MOST_PARALLEL:
        raise ValueError(f"must be a number from 1 to {MOST_PARALLEL}, not {value!r}")
    return number


_PARALLELISM = {"type": "integer", "minimum": 1, "maximum": MOST_PARALLEL}
_DOWNSTREAM = {
    "anyOf": [
        {"enum": ["none", "all"]},
        {"type": "array", "items": {"type": ["string", "integer"]}, "minItems": 1},
        {"type": "string", "pattern": r"\{[{%]"},
    ]
}


class BackfillParams(Params):
    """Which node, for which business dates, and what below it runs as well."""

    node_id: Id | None = None
    project_id: ProjectId | None = None
    start: Day
    end: Day
    downstream: Annotated[str | tuple[str, ...], BeforeValidator(_downstream), WithJsonSchema(_DOWNSTREAM)] = "none"
    parallelism: Annotated[int | str, BeforeValidator(_parallelism), WithJsonSchema(_PARALLELISM)] = 1
    name: Annotated[Text | None, Field(description="What it is called in Dataphin; the action's mark follows.")] = None


@dataclass(frozen=True, slots=True)
class BackfillStep(SubmitStep):
    """CreateNodeSupplement. The mark is in its name, for people: no API lists backfills.

    Where the answer was lost its instances tell of it. That there are none tells nothing, for they come into being
    some time after the submission: whether to submit it again is for a person to decide.
    """

    def problems(self, params: BackfillParams, setting: Setting) -> list[tuple[Path, str]]:
        if is_template(params.start) or is_template(params.end):
            return []
        wrong = _wrong_order(params)
        return [(("end",), wrong)] if wrong else []

    async def write(self, params: BackfillParams, event: Event, look: Look) -> Write:
        if wrong := _wrong_order(params):
            raise BadStep(f"end: {wrong}")
        target = await node_of(params.node_id, params.project_id, event, look)
        command: JsonObject = {
            "ProjectId": int(target.project_id),
            "NodeIdList": [{"Id": target.id}],
            "StartBizDate": look.flows.dated(params.start),
            "EndBizDate": look.flows.dated(params.end),
            "Parallelism": params.parallelism,
            "RunImmediately": True,
        }
        if params.downstream == "all":
            command["ContainAllDownStream"] = True
        elif not isinstance(params.downstream, str):
            command["DownStreamNodeIdList"] = [{"Id": each} for each in params.downstream]
        given = params.model_dump(mode="json", exclude={"node_id", "project_id"}, exclude_none=True)
        return Write(self.name, self.api, target, {self.command: command}, given=given)

    async def baseline(self, look: Look, write: Write, event: Event | None) -> JsonObject:
        return ids_of(await _instances(look, write))

    async def probe(self, look: Look, write: Write, baseline: Mapping[str, Any]) -> Probe:
        return backfill_probe(new_since(baseline, await _instances(look, write)), _days(write))

    async def effects(self, look: Look, write: Write, baseline: Mapping[str, Any]) -> int | None:
        return times_made(new_since(baseline, await _instances(look, write)))

    async def progress(self, look: Look, write: Write, baseline: Mapping[str, Any]) -> Progress:
        submitted = baseline.get(SUBMITTED, "")
        if not submitted:
            new = new_since(baseline, await _instances(look, write))
            return lost_progress(new, _days(write), alone=write.given["downstream"] == "none")
        if not submitted.startswith(_FLOW):
            job = await look.flows.submission(submitted)
            if not job.flow_id:
                return "failed" if "FAIL" in job.status else "pending"
            submitted = job.flow_id
        return dagrun_progress(await look.flows.dagruns(submitted), _days(write))


def backfill_probe(new: Sequence[Instance] | None, days: Sequence[str]) -> Probe:
    """Applied when the node has a new instance on each of the days; `new` None: that cannot be told.

    Anything less is unclear: instances are still being made, or somebody else backfilled a part, or nobody did.
    """
    return "applied" if new is not None and {each.biz_date for each in new}.issuperset(days) else "unclear"


def times_made(new: Sequence[Instance] | None) -> int | None:
    """How many backfills made these instances: as many as there are for the same moment; None: it cannot be told."""
    if new is None or any(each.due_time is None for each in new):
        return None
    return max(Counter((each.biz_date, each.due_time) for each in new).values(), default=0)


def dagrun_progress(dagruns: Sequence[Dagrun], days: Sequence[str]) -> Progress:
    """Verified when the dagrun of every day has succeeded, failed as soon as one came to another end."""
    states = {each.status for each in dagruns}
    if states & _FAILED:
        return "failed"
    done = states == {"SUCCESS"} and {each.biz_date for each in dagruns}.issuperset(days)
    return "verified" if done else "pending"


def lost_progress(new: Sequence[Instance] | None, days: Sequence[str], *, alone: bool) -> Progress:
    """By the node's own new instances, where no answer told what to follow.

    What runs below cannot be followed so: unless the node runs `alone`, its success is not yet the goal.
    """
    if new is None or end_of(new) == "pending":
        return "pending"
    if end_of(new) == "failed":
        return "failed"
    return "verified" if alone and {each.biz_date for each in new}.issuperset(days) else "pending"


async def _instances(look: Look, write: Write) -> Sequence[Instance] | None:
    return await instances_of(look, write, "SUPPLEMENT", Days(write.given["start"], write.given["end"]))


def _days(write: Write) -> Sequence[str]:
    first, last = (date.fromisoformat(write.given[name]) for name in ("start", "end"))
    return [(first + timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]


def _wrong_order(params: BackfillParams) -> str:
    return "" if params.start <= params.end else f"{params.end} is before the start, {params.start}"


BACKFILL: Step = BackfillStep(
    "backfill",
    BackfillParams,
    api="CreateNodeSupplement",
    target="node",
    field="SubmitId",
    command="CreateCommand",
    text="Name",
)
