"""FixData: an instance, and those below it that are in its range, run once more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, WithJsonSchema

from phinops.catalog.catalog import nearest
from phinops.errors import Malformed, Refused
from phinops.event import Event, JsonObject
from phinops.execute.steps import verdict
from phinops.execute.steps.kind import InstanceView, Look, Probe, Progress, Standing, Step, Target, Taskrun, Write
from phinops.execute.steps.runs import logged_runs
from phinops.execute.steps.submit import MOST, SubmitStep
from phinops.execute.steps.target import instance_of
from phinops.execute.steps.values import Flag, Id, Params, ProjectId, is_template
from phinops.execute.steps.verdict import ENDED, UNDER_WAY, Record

RANGES: Mapping[str, str] = {"failed": "ALL_FAILED_INSTANCE", "all": "ALL_INSTANCE", "final": "ALL_FINAL_INSTANCE"}
"""Which of the instances below run again, in our words and in Dataphin's."""


def _range(value: str) -> str:
    if not is_template(value) and value not in RANGES:
        near = nearest(value, [*RANGES])
        cure = f"did you mean «{near}»?" if near else f"it is one of {', '.join(RANGES)}"
        raise ValueError(f"cannot be «{value}»: {cure}")
    return value


class FixParams(Params):
    """Which instance, which of those below it, and whether also what runs is run again."""

    instance_id: Id | None = None
    project_id: ProjectId | None = None
    range: Annotated[str, AfterValidator(_range), WithJsonSchema({"enum": [*RANGES]})] = "failed"
    force: Flag = False


@dataclass(frozen=True, slots=True)
class FixStep(SubmitStep):
    """FixData. It makes no instances: each of the range gets one more taskrun, while the lists may go on showing its
    last state. So the taskruns of the instance are counted, and where a record has not moved the log is asked.
    """

    async def write(self, params: FixParams, event: Event, look: Look) -> Write:
        target = instance_of(params.instance_id, params.project_id, event)
        command = {
            "ProjectId": int(target.project_id),
            "RootInstanceId": {"Id": target.id},
            "ContainRootInstance": True,
            "DownstreamRange": RANGES[params.range],
            "ForceRerun": params.force,
        }
        given = {"range": params.range, "force": params.force}
        return Write(self.name, self.api, target, {self.command: command}, given=given)

    async def baseline(self, look: Look, write: Write, event: Event | None) -> JsonObject:
        view = await look.instance(write.target.project_id, write.target.id)
        if view is None:
            return {}
        runs = await logged_runs(look, write.target)
        before = verdict.to_json(verdict.record_of(view.instance))
        counted = {} if runs is None else {"runs": verdict.counted(runs)}
        return {**before, **counted, "below": await _below(look, view, write.given["range"])}

    def standing(self, write: Write, decided: Mapping[str, Any], now: Mapping[str, Any]) -> Standing:
        if not now:
            return Standing("changed", f"project {write.target.project_id} has no such instance (any more)")
        return verdict.rerun_standing(verdict.from_json(decided), verdict.from_json(now))

    async def probe(self, look: Look, write: Write, baseline: Mapping[str, Any]) -> Probe:
        view = await look.instance(write.target.project_id, write.target.id)
        if view is None or not baseline:
            return "unclear"
        since = await _runs_since(look, write, baseline)
        return fix_probe(verdict.from_json(baseline), verdict.record_of(view.instance), since)

    async def effects(self, look: Look, write: Write, baseline: Mapping[str, Any]) -> int | None:
        since = await _runs_since(look, write, baseline)
        return None if since is None else verdict.asked_for(since)

    async def progress(self, look: Look, write: Write, baseline: Mapping[str, Any]) -> Progress:
        project, root = write.target.project_id, write.target.id
        below: Sequence[str] | None = baseline["below"]
        views = await look.instances(project, [root, *(below or ())])
        if root not in views:
            return "pending"
        before, now = verdict.from_json(baseline), verdict.record_of(views[root].instance)
        if now.status in UNDER_WAY:
            return "pending"
        if not verdict.new_run(before, now):
            since = await _runs_since(look, write, baseline)
            if not since:
                return "pending"
            now = _record(since[-1])
        ended = run_end(now)
        if ended != "verified":
            return ended
        if below is None:
            return "pending"  # it is not known what else must end
        records = {each: verdict.record_of(views[each].instance) for each in below if each in views}
        return await _those_below(look, project, records, now.started_at)


def fix_probe(before: Record, now: Record, since: Sequence[Taskrun] | None) -> Probe:
    """Applied when the log has new runs (`since`; None: it does not tell) or the record shows one; absent when neither
    does: a record may stand still though it runs.
    """
    if since:
        return "applied"
    found = verdict.rerun_probe(before, now)
    return "unclear" if found == "absent" and since is None else found


def run_end(run: Record) -> Progress:
    """Which end a run has come to, if any."""
    if run.status == "FAILED":
        return "failed"
    return "verified" if run.status == "SUCCESS" else "pending"


def run_since(run: Record, since: datetime | None) -> Progress | Literal["unmoved"]:
    """How far a run has come that began at `since` or later; "unmoved" when the one that shows began before.

    Logs tell times to the second.
    """
    if run.status in UNDER_WAY:
        return "pending"
    if since is not None and (run.started_at is None or run.started_at < since.replace(microsecond=0)):
        return "unmoved"
    return run_end(run)


async def _those_below(look: Look, project: str, records: Mapping[str, Record], since: datetime | None) -> Progress:
    """How far the instances below have come, by their records, and by the log of each that has not moved.

    The deepest log is read first: it is the last to show an end.
    """
    came = {each: run_since(record, since) for each, record in records.items()}
    if "failed" in came.values():
        return "failed"
    if "pending" in came.values():
        return "pending"
    for each in reversed([one for one, how in came.items() if how == "unmoved"]):
        runs = await logged_runs(look, Target("instance", each, project))
        ended = run_since(_record(runs[-1]), since) if runs else "pending"
        if ended != "verified":
            return "failed" if ended == "failed" else "pending"
    return "verified"


async def _below(look: Look, view: InstanceView, wanted: str) -> list[str] | None:
    """The ids of the instances in the range, nearest first; None where they are not to be had, or too many."""
    try:
        found = await look.flows.below(view.instance.id, view.node.type)
    except (Refused, Malformed):
        return None
    states = {"failed": frozenset({"FAILED"}), "final": ENDED}.get(wanted)
    ids = [each.id for each in found if states is None or each.status in states]
    return ids if len(ids) <= MOST else None


async def _runs_since(look: Look, write: Write, baseline: Mapping[str, Any]) -> Sequence[Taskrun] | None:
    """The runs of the instance that were not in its log before; None where that cannot be told."""
    known = verdict.counted_in(baseline)
    runs = await logged_runs(look, write.target) if known else None
    return None if runs is None else verdict.runs_since(verdict.from_json(baseline), known, runs)


def _record(run: Taskrun) -> Record:
    return Record(run.status, run.started_at, run.ended_at)


FIX_DATA: Step = FixStep(
    "fix_data", FixParams, api="FixData", target="instance", field="SubmitId", command="FixDataCommand"
)
