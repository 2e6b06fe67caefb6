"""The five operations on an instance, all through OperateInstance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from phinops.errors import Refused
from phinops.event import Event, JsonObject
from phinops.execute.steps import verdict
from phinops.execute.steps.answers import item_answers, merged_ids, says_met
from phinops.execute.steps.kind import (
    NO_GOOD,
    ItemAnswer,
    Look,
    Path,
    Probe,
    Progress,
    Reverse,
    Setting,
    Standing,
    Step,
    Target,
    Write,
)
from phinops.execute.steps.runs import logged_runs
from phinops.execute.steps.target import instance_of
from phinops.execute.steps.values import Id, Params, ProjectId

API = "OperateInstance"


class InstanceParams(Params):
    """Which instance; without them the event's own."""

    instance_id: Id | None = None
    project_id: ProjectId | None = None


@dataclass(frozen=True, slots=True)
class InstanceStep:
    """One value of OperateInstance's `Operation`, with the rules that tell from records what became of it.

    `met_codes` are the refusals that mean its goal is met or under way (Dataphin's task scheduler codes). What makes a
    new run is `countable`: the log of runs tells what the record does not.
    """

    name: str
    operation: str
    probe_rule: verdict.ProbeRule
    progress_rule: verdict.ProgressRule
    standing_rule: verdict.StandingRule
    reverse: Reverse
    met_codes: frozenset[str] = frozenset()
    params: type[InstanceParams] = InstanceParams
    target: Literal["instance", "node"] | None = "instance"
    scalar: str = ""
    beside: frozenset[str] = frozenset()
    conditions: frozenset[str] = frozenset()
    probe_key: str = ""
    verifiable: bool = True
    idempotent: bool = True
    repeatable: frozenset[str] = NO_GOOD
    countable: bool = False

    def writes(self, params: InstanceParams) -> bool:
        return True

    def apis(self, params: InstanceParams) -> tuple[str, ...]:
        return (API,)

    def problems(self, params: InstanceParams, setting: Setting) -> list[tuple[Path, str]]:
        return []

    async def write(self, params: InstanceParams, event: Event, look: Look) -> Write:
        target = instance_of(params.instance_id, params.project_id, event)
        return Write(
            step=self.name,
            api=API,
            target=target,
            params=self._command(target.project_id, [target.id]),
            batch=f"{API}|{self.operation}|{target.project_id}",
        )

    def marked(self, write: Write, mark: str) -> Write:
        return write

    def merge(self, writes: Sequence[Write]) -> JsonObject:
        project_id, ids = merged_ids(writes)
        return self._command(project_id, ids)

    def items(self, body: Mapping[str, Any], ids: Sequence[str]) -> Mapping[str, ItemAnswer]:
        return item_answers(body.get("InstanceStatusList"), "Id")

    def result(self, body: Mapping[str, Any]) -> JsonObject:
        return {}

    def met(self, error: Refused) -> bool:
        return says_met(error, self.met_codes)

    async def baseline(self, look: Look, write: Write, event: Event | None) -> JsonObject:
        own = event and event.instance
        if own and own.id == write.target.id:
            now: verdict.Record | None = verdict.record_of(own)
        else:
            now = await self._record(look, write.target)
        if now is None:
            return {}
        runs = None if not self.countable or verdict.times_tell(now) else await logged_runs(look, write.target)
        return verdict.to_json(now) if runs is None else {**verdict.to_json(now), "runs": verdict.counted(runs)}

    def standing(self, write: Write, decided: Mapping[str, Any], now: Mapping[str, Any]) -> Standing:
        if not now and not self.idempotent:
            return Standing("changed", f"project {write.target.project_id} has no such instance (any more)")
        return self.standing_rule(verdict.from_json(decided), verdict.from_json(now))

    async def probe(self, look: Look, write: Write, baseline: Mapping[str, Any]) -> Probe:
        now = await self._record(look, write.target)
        if now is None or not baseline:
            return "unclear"
        before = verdict.from_json(baseline)
        found = self.probe_rule(before, now)
        if found != "unclear" or not self.countable:
            return found
        runs = await logged_runs(look, write.target)
        return "unclear" if runs is None else verdict.runs_probe(before, verdict.counted_in(baseline), runs)

    async def progress(self, look: Look, write: Write, baseline: Mapping[str, Any]) -> Progress:
        now = await self._record(look, write.target)
        return self.progress_rule(verdict.from_json(baseline), now) if now else "pending"

    async def effects(self, look: Look, write: Write, baseline: Mapping[str, Any]) -> int | None:
        runs = await logged_runs(look, write.target) if self.countable and baseline else None
        if runs is None:
            return None
        since = verdict.runs_since(verdict.from_json(baseline), verdict.counted_in(baseline), runs)
        return None if since is None else verdict.asked_for(since)

    async def _record(self, look: Look, target: Target) -> verdict.Record | None:
        return await _record(look, target)

    def _command(self, project_id: str, ids: Sequence[str]) -> JsonObject:
        instances = [{"Id": instance_id} for instance_id in ids]
        return {
            "OperateCommand": {
                "ProjectId": int(project_id),
                "Operation": self.operation,
                "InstanceIdList": instances,
            }
        }


async def _record(look: Look, target: Target) -> verdict.Record | None:
    view = await look.instance(target.project_id, target.id)
    return verdict.record_of(view.instance) if view else None


async def _altered(paused: bool, look: Look, write: Write, baseline: Mapping[str, Any], sends: int) -> str:
    """What of the instance is not as a write left it that sets the flag so and nothing else."""
    now = await _record(look, write.target)
    return altered(verdict.from_json(baseline), now, paused=paused) if baseline else "what it was before is not known"


def altered(before: verdict.Record, now: verdict.Record | None, *, paused: bool) -> str:
    """What of the record is not as a write leaves the one before that sets the pause flag so; "" where nothing is."""
    if now is None:
        return "Dataphin does not know the instance any more"
    if before.paused is paused:
        return f"the instance was {'paused' if paused else 'not paused'} before: there is nothing to take back"
    if now.paused is not paused:
        return f"the instance is {'not paused any more' if paused else 'paused again'}"
    if now.status != before.status:
        return f"the instance is {now.status} now and was {before.status}"
    return "" if now.started_at == before.started_at else "another run of the instance has begun"


INSTANCE_STEPS: tuple[Step, ...] = (
    InstanceStep(
        "rerun_instance",
        "RERUN",
        verdict.rerun_probe,
        verdict.rerun_progress,
        verdict.rerun_standing,
        Reverse(
            why="a run writes over its data from the beginning: terminate_instance ends one that is under way, and "
            "only another run makes good what it wrote"
        ),
        frozenset({"TaskToRerunNotFinished", "TaskRunning"}),
        idempotent=False,
        countable=True,
    ),
    InstanceStep(
        "terminate_instance",
        "TERMINATE",
        verdict.terminate_probe,
        verdict.terminate_progress,
        verdict.terminate_standing,
        Reverse(why="a run that was ended cannot go on: rerun_instance begins a new one"),
        frozenset({"TaskToKillHasFinished"}),
    ),
    InstanceStep(
        "set_instance_success",
        "SET_SUCCESS",
        verdict.set_success_probe,
        verdict.set_success_progress,
        verdict.set_success_standing,
        Reverse(
            why="what hangs below may have begun because of it, and no call makes a success a failure: rerun_instance "
            "runs the instance again"
        ),
    ),
    InstanceStep(
        "pause_instance",
        "PAUSE",
        verdict.pause_probe,
        verdict.pause_progress,
        verdict.pause_standing,
        Reverse("resume_instance", partial(_altered, True)),
    ),
    InstanceStep(
        "resume_instance",
        "RESUME",
        verdict.resume_probe,
        verdict.resume_progress,
        verdict.resume_standing,
        Reverse("pause_instance", partial(_altered, False)),
        frozenset({"TaskToResumeNotPaused"}),
    ),
)
