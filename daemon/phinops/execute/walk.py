"""One step of one firing while it is being done: what it is, what it may speak of, and its rows in the journal."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, Protocol

from pydantic import BaseModel

from phinops.event import Event, JsonObject
from phinops.execute.journal import Journal
from phinops.execute.leave import Leave
from phinops.execute.steps.kind import BadStep, Look, Step, Target, Write, checked
from phinops.execute.stop import Stop
from phinops.firing import INWARD, Ask, Firing, Intent, Notice, Outcome, Reach, StepResult, TargetLimit

_ELSEWHERE = INWARD | {"http"}
"""Steps that change nothing in Dataphin."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What conditions and templates of a step may speak of; `events` are those of a rule over several."""

    event: Event
    results: Mapping[str, StepResult]
    variables: JsonObject
    events: Sequence[Event] = ()
    inputs: JsonObject = field(default_factory=dict)


def scene_of(firing: Firing, event: Event, results: Mapping[str, StepResult], events: Sequence[Event]) -> Scene:
    """What a firing's conditions and templates may speak of, with its event as it was last seen."""
    return Scene(event, results, firing.plan.get("vars", {}), events, firing.plan.get("inputs", {}))


class Words(Protocol):
    """Evaluates what rules say: their conditions and their templates."""

    def holds(self, condition: str, scene: Scene, name: str = "if") -> tuple[bool, str]:
        """Whether the condition ("" always is) is true, and if not, why; `name` is what the text calls it."""
        ...

    def render(self, value: Any, scene: Scene) -> Any:
        """The value with every template in it filled in.

        Raises:
            BadStep: a template cannot be rendered for this event.
        """
        ...


Wanted = Callable[[Look], Awaitable[str]]
"""Why a write is not wanted any more as its target is now, or "". Raises the client's errors."""


class Unwanted(BadStep):
    """The step's `write` is known, and is not to be carried out: it is refused, or skipped where it is not needed."""

    def __init__(self, reason: str, write: Write, outcome: Literal["refused", "skipped"] = "refused") -> None:
        super().__init__(reason)
        self.write = write
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Planned:
    """One step of a plan as the firing keeps it."""

    n: int
    id: str
    kind: str
    params: JsonObject
    condition: str
    on_error: str
    within: timedelta | None
    retry: int = 0


@dataclass(frozen=True, slots=True)
class Walk:
    """One step of one firing while it is being done. `wrote`: an earlier try of it may have changed its target.

    `reach` is what hangs below that, where it is limited. `wanted` is asked whenever the target is looked at before its
    write leaves. `leave` is what people said of it, None where nobody was asked.
    """

    firing: Firing
    planned: Planned
    step: Step
    scene: Scene
    stop: Stop = field(default_factory=Stop)
    wrote: bool = False
    reach: Reach | None = None
    wanted: Wanted | None = None
    leave: Leave | None = None

    @property
    def limits(self) -> Mapping[str, Any]:
        """The limits of the firing's rule, as its plan has them."""
        found: Mapping[str, Any] = self.firing.plan.get("limits", {})
        return found

    def row(
        self, attempt: int, write: Write, *, outcome: Outcome | None = None, state: str = "done", reason: str = ""
    ) -> Intent:
        """The journal's row for this step."""
        return Intent(
            action_id=f"act_{uuid.uuid4().hex[:20]}",
            firing_id=self.firing.id,
            n=self.planned.n,
            step_id=self.planned.id,
            attempt=attempt,
            kind=self.planned.kind,
            api=write.api,
            tenant=self.firing.tenant,
            target_kind=write.target.kind,
            target_id=write.target.id,
            project_id=write.target.project_id,
            request={"params": write.params, "batch": write.batch, **_more(write)},
            probe={},
            state=state,
            outcome=outcome or "",
            result={"reason": reason} if reason else {},
        )

    def hold_to(self, write: Write) -> None:
        """Look whether people were shown this very write, where they were asked.

        Raises:
            Unwanted: it is not what they said yes to.
        """
        if self.leave and (wrong := self.leave.objection(write)):
            raise Unwanted(wrong, write)

    def marked(self, attempt: int, write: Write) -> Write:
        """The write as this attempt at this step sends it."""
        return self.step.marked(write, f"{self.firing.id}/{self.planned.id}/{attempt}")

    def ask(self, intent: Intent) -> Ask:
        """The intent, asking to leave under the limits of the firing's rule."""
        limit = self.limits.get("targets")
        targets = TargetLimit(limit["max"], timedelta(seconds=limit["per_s"])) if limit else None
        return Ask(intent, self.firing.rule, targets, self.reach)

    def wrote_before(self) -> bool:
        """Whether an earlier step of the firing, or try of this one, may have changed something in Dataphin."""
        return self.wrote or any(
            step["kind"] not in _ELSEWHERE and self._result_of(step["id"]) not in ("skipped", "refused", "shadow")
            for step in self.firing.plan["steps"][: self.planned.n]
        )

    def _result_of(self, step_id: str) -> str:
        found = self.scene.results.get(step_id)
        return found.outcome if found else "skipped"


class Doer(Protocol):
    """Carries out the steps of a kind, and records them."""

    async def do(self, walk: Walk, params: Any, attempt: int) -> StepResult:
        """Do the step by its rendered parameters; its rows begin with this attempt.

        Raises:
            BadStep: it cannot be carried out, and no row says so yet.
            Stopped: it was asked to stop, and has no write under way.
        """
        ...

    async def take_up(self, walk: Walk, earlier: Intent) -> StepResult:
        """Go on with an attempt that is in the journal, begun by an earlier process or before the store failed.

        Raises:
            BadStep, Stopped: as `do`.
        """
        ...


def is_false(words: Words, planned: Planned, scene: Scene) -> bool:
    """Whether the step's condition is false, and not one that has no value."""
    return bool(planned.condition) and words.holds(f"!(\n{planned.condition}\n)", scene)[0]


def params_of(words: Words, step: Step, planned: Planned, scene: Scene) -> BaseModel:
    """The step's parameters with their templates filled in.

    Raises:
        BadStep: one cannot be rendered for this event, or gives what the step does not take.
    """
    as_written = {name: planned.params[name] for name in step.conditions if name in planned.params}
    rest = {name: value for name, value in planned.params.items() if name not in as_written}
    return checked(step, {**words.render(rest, scene), **as_written})


def planned_step(n: int, document: Mapping[str, Any]) -> Planned:
    """A step of a plan from the JSON that the firing keeps."""
    within = document.get("verify_s")
    return Planned(
        n=n,
        id=document["id"],
        kind=document["kind"],
        params=document["params"],
        condition=document.get("if") or "",
        on_error=document.get("on_error", "stop"),
        within=None if within is None else timedelta(seconds=within),
        retry=document.get("retry", 0),
    )


def write_of(intent: Intent) -> Write:
    """The write that an intent recorded."""
    target: Any = Target(intent.target_kind, intent.target_id, intent.project_id)  # type: ignore[arg-type]
    request = intent.request
    lease = request.get("lease_s")
    return Write(
        intent.kind,
        intent.api,
        target,
        request["params"],
        request.get("batch", ""),
        request.get("given", {}),
        None if lease is None else timedelta(seconds=lease),
    )


def _more(write: Write) -> JsonObject:
    """What not every write has."""
    given: JsonObject = {"given": write.given} if write.given else {}
    return {**given, "lease_s": write.lease.total_seconds()} if write.lease else given


async def recorded(journal: Journal, row: Intent, notices: Sequence[Notice] = ()) -> StepResult:
    """Record a step that is over with the notices that it sends; its result."""
    await journal.put_step(row, notices)
    return result_of(row)


def result_of(row: Intent) -> StepResult:
    """The result of a step that its row says is over."""
    outcome: Any = row.outcome or row.state
    reason = row.result.get("reason") or row.result.get("verify") or row.result.get("settled") or ""
    return StepResult(outcome, str(reason), row.action_id)
