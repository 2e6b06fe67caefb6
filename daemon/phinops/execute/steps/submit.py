"""What steps have in common that submit something which then lives on by itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import BaseModel

from phinops.errors import Malformed, Refused
from phinops.event import Instance, JsonObject
from phinops.execute.steps.answers import lone_params
from phinops.execute.steps.flow import Days, Schedule
from phinops.execute.steps.kind import (
    REFUSED,
    WANTED,
    ItemAnswer,
    Look,
    Path,
    Progress,
    Reverse,
    Setting,
    Standing,
    Write,
)
from phinops.vendor import read_text

SUBMITTED = "submitted"
"""Under this name a step's row keeps the id that the reply gave: of a flow, or of the job that makes one."""

_WRITTEN = Reverse(
    why="its runs write over their data: terminate_instance ends those that are under way, and only other runs make "
    "good what they wrote"
)

MOST = 500
"""Instances that are compared at most, or followed."""


@dataclass(frozen=True, slots=True)
class SubmitStep:
    """A call that submits something on one target. Its reply has the id of that under `field`; below `command` the
    service keeps a text of ours under `text`, "" where it keeps none.

    Two submissions are two, and the first may run on after its outcome is known: a day or an instance has failed, say,
    and others have not ended. So none is repeated by itself but one that was refused.
    """

    name: str
    params: type[BaseModel]
    api: str
    target: Literal["instance", "node"] | None
    field: str
    command: str
    text: str = ""
    scalar: str = ""
    beside: frozenset[str] = frozenset()
    conditions: frozenset[str] = frozenset()
    probe_key: str = ""
    verifiable: bool = True
    idempotent: bool = False
    repeatable: frozenset[str] = REFUSED
    countable: bool = True
    reverse: Reverse = _WRITTEN

    def writes(self, params: Any) -> bool:
        return True

    def apis(self, params: Any) -> tuple[str, ...]:
        return (self.api,)

    def problems(self, params: Any, setting: Setting) -> list[tuple[Path, str]]:
        return []

    def marked(self, write: Write, mark: str) -> Write:
        if not self.text:
            return write
        name = f"{write.given.get('name') or ''} [phinops {mark}]".strip()
        return replace(write, params={self.command: {**write.params[self.command], self.text: name}})

    def merge(self, writes: Sequence[Write]) -> JsonObject:
        return lone_params(writes)

    def items(self, body: Mapping[str, Any], ids: Sequence[str]) -> Mapping[str, ItemAnswer]:
        return dict.fromkeys(ids, ItemAnswer(True))

    def result(self, body: Mapping[str, Any]) -> JsonObject:
        submitted = read_text(body.get(self.field), self.field)
        return {SUBMITTED: submitted} if submitted else {}

    def met(self, error: Refused) -> bool:
        return False  # whatever is there already is not this submission

    def standing(self, write: Write, decided: Mapping[str, Any], now: Mapping[str, Any]) -> Standing:
        return WANTED  # what was submitted before is no reason not to submit this


async def instances_of(look: Look, write: Write, schedule: Schedule, days: Days) -> Sequence[Instance] | None:
    """The instances of the write's node, of that kind and on those days; None where they cannot be compared.

    Raises:
        ApiError, QuotaSpent: they could not be read, and may be later.
    """
    try:
        return await look.flows.of_node(write.target.project_id, write.target.id, schedule, days, MOST)
    except (Refused, Malformed):
        return None  # not every installation lists every kind


def ids_of(instances: Sequence[Instance] | None) -> JsonObject:
    """A baseline of which instances there were; `new_since` compares with it."""
    return {"there": None if instances is None else sorted(each.id for each in instances)}


def new_since(baseline: Mapping[str, Any], now: Sequence[Instance] | None) -> Sequence[Instance] | None:
    """The instances that were not there before; None where that cannot be told."""
    there: Collection[str] | None = baseline.get("there")
    if there is None or now is None:
        return None
    known = frozenset(there)
    return [each for each in now if each.id not in known]


def end_of(instances: Sequence[Instance]) -> Progress:
    """How far instances have come together: one that failed is their end, success only if all have it."""
    states = {each.status for each in instances}
    if "FAILED" in states:
        return "failed"
    return "verified" if states == {"SUCCESS"} else "pending"
