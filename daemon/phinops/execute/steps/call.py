"""Any API of the catalog as a step: reads return their reply, writes cannot be read back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, Field

from phinops.catalog.catalog import ApiSpec, UnknownApi, is_read, load_catalog
from phinops.catalog.check import convert, problems_of
from phinops.catalog.quotas import allowed
from phinops.event import Event, JsonObject
from phinops.execute.steps.answers import item_answers
from phinops.execute.steps.bare import BareStep
from phinops.execute.steps.kind import (
    BadStep,
    ItemAnswer,
    Look,
    Path,
    Reverse,
    Setting,
    Step,
    Target,
    TargetKind,
    Write,
)
from phinops.execute.steps.values import OR_EMPTY, Params, is_template
from phinops.masking import masked

REPLY_LIMIT = 16 * 1024
"""Bytes of JSON of a reply that are kept with the step."""


_NOT_KNOWN = Reverse(why="phinops does not know what takes a call back: make the call that does with `phinops call`")


class CallParams(Params):
    """`call: API` and, beside it, `with: {Name: value}`."""

    call: str = Field(min_length=1)
    with_: Annotated[dict[str, Any], OR_EMPTY] = Field(default_factory=dict, alias="with")


@dataclass(frozen=True, slots=True)
class CallStep(BareStep):
    """The step `call`. A write's outcome shows in its reply or not at all: there is nothing that could be read back."""

    name: str = "call"
    params: type[BaseModel] = CallParams
    scalar: str = "call"
    beside: frozenset[str] = frozenset({"with"})
    reverse: Reverse = _NOT_KNOWN

    def writes(self, params: CallParams) -> bool:
        return not is_read(params.call)

    def apis(self, params: CallParams) -> tuple[str, ...]:
        return (params.call,)

    def problems(self, params: CallParams, setting: Setting) -> list[tuple[Path, str]]:
        if is_template(params.call):
            return [
                (("call",), "an API's name cannot come from a template: whether it writes must be known beforehand")
            ]
        try:
            spec = load_catalog().require(params.call)
        except UnknownApi as error:
            return [(("call",), str(error))]
        if setting.edition is not None and not allowed(spec, setting.edition):
            return [(("call",), f"the {setting.edition} edition does not have {spec.name}, which needs {spec.edition}")]
        return [
            (("with", *found.path), found.message) for found in problems_of(spec, params.with_, templates=True)
        ] + _filled_in(params)

    async def write(self, params: CallParams, event: Event, look: Look) -> Write:
        spec = _spec(params)
        wrong = problems_of(spec, params.with_)
        if wrong:
            raise BadStep("; ".join(f"{'.'.join(map(str, found.path))}: {found.message}" for found in wrong))
        # The times of events are on the tenant's clocks, which is how the service reads texts of time.
        given = convert(spec, params.with_, event.time.tzinfo)
        return Write(step=self.name, api=spec.name, target=_target(spec.name, given), params=given)

    def merge(self, writes: Sequence[Write]) -> JsonObject:
        if len(writes) != 1:
            raise ValueError("a call travels alone")
        return writes[0].params

    def items(self, body: Mapping[str, Any], ids: Sequence[str]) -> Mapping[str, ItemAnswer]:
        """One answer for the whole call: it is refused when any item of a batch reply is."""
        rows = {
            **item_answers(body.get("InstanceStatusList"), "Id"),
            **item_answers(body.get("NodeOperateResultList"), "NodeId"),
        }
        refused = [f"{item}: {answer.message}" for item, answer in rows.items() if not answer.ok]
        return dict.fromkeys(ids, ItemAnswer(not refused, "; ".join(refused)))

    def result(self, body: Mapping[str, Any]) -> JsonObject:
        return kept_reply(body)


CALL: Step = CallStep()


def _spec(params: CallParams) -> ApiSpec:
    try:
        return load_catalog().require(params.call)
    except UnknownApi as error:
        raise BadStep(str(error)) from None


def _filled_in(params: CallParams) -> list[tuple[Path, str]]:
    if "OpTenantId" not in params.with_:
        return []
    return [(("with", "OpTenantId"), "OpTenantId is filled in from the tenant's config: leave it out")]


def kept_reply(body: Mapping[str, Any]) -> JsonObject:
    """The reply as it is kept: `reply`, secrets masked; one over `REPLY_LIMIT` bytes as its beginning, `reply_text`."""
    reply = masked(body)
    text = json.dumps(reply, ensure_ascii=False, separators=(",", ":"), default=str).encode()
    if len(text) <= REPLY_LIMIT:
        return {"reply": reply}
    return {"reply_text": text[:REPLY_LIMIT].decode(errors="ignore"), "bytes": len(text)}


_TARGETS: Mapping[str, tuple[TargetKind, str, str]] = {
    "OperateInstance": ("instance", "OperateCommand", "InstanceIdList"),
    "PausePhysicalNode": ("node", "PauseCommand", "NodeIdList"),
    "ResumePhysicalNode": ("node", "ResumeCommand", "NodeIdList"),
    "CreateNodeSupplement": ("node", "CreateCommand", "NodeIdList"),
    "ExecuteManualNode": ("node", "ExecuteCommand", "NodeId"),
    "FixData": ("instance", "FixDataCommand", "RootInstanceId"),
}
"""Where the calls that steps make as well name their targets: one target is known to both as the same."""


def _target(api: str, params: Mapping[str, Any]) -> Target:
    """What the call changes: the one instance or node it names, else the call itself, alike for alike parameters."""
    kind, command, ids = _TARGETS.get(api, ("", "", ""))
    inside = params.get(command)
    named = inside.get(ids) if isinstance(inside, Mapping) else None
    listed = named if isinstance(named, list | tuple) else [named] if named else []
    if len(listed) == 1 and isinstance(inside, Mapping):
        only = listed[0]
        found = only.get("Id") if isinstance(only, Mapping) else only
        return Target(kind, str(found), str(inside.get("ProjectId", "")))
    text = json.dumps(params, sort_keys=True, ensure_ascii=False)
    return Target("api", f"{api}#{hashlib.sha256(text.encode()).hexdigest()[:8]}" if params else api)
