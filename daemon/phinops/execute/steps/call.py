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
    WANTED,
    BadStep,
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
    TargetKind,
    Write,
)
from phinops.execute.steps.values import OR_EMPTY, Params, is_template
from phinops.masking import masked

REPLY_LIMIT = 16 * 1024
"""Bytes of JSON of a reply that are kept with the step."""


_NOT_KNOWN = Reverse(why="phinops does not know what takes a call back: make the call that does with `phinops call`")


class ProbeParams(Params):
    """How a write is read back: a read with its parameters, and what must be so of its reply once the write is done."""

    call: Annotated[str, Field(min_length=1, description="An API that only reads.")]
    with_: Annotated[dict[str, Any], OR_EMPTY] = Field(
        default_factory=dict, alias="with", description="The parameters of the read."
    )
    if_: Annotated[str, Field(min_length=1, alias="if", description="CEL over `reply` and `sent`: true once done.")]


class CallParams(Params):
    """`call: API` and, beside it, `with: {Name: value}` and the `probe` of a write."""

    call: str = Field(min_length=1)
    with_: Annotated[dict[str, Any], OR_EMPTY] = Field(default_factory=dict, alias="with")
    probe: ProbeParams | None = None


@dataclass(frozen=True, slots=True)
class CallStep(BareStep):
    """The step `call`. A write's outcome shows in its reply, and by its probe, if it has one, also afterwards."""

    name: str = "call"
    params: type[BaseModel] = CallParams
    scalar: str = "call"
    beside: frozenset[str] = frozenset({"with", "probe"})
    probe_key: str = "probe"
    verifiable: bool = True
    reverse: Reverse = _NOT_KNOWN

    def writes(self, params: CallParams) -> bool:
        return not is_read(params.call)

    def apis(self, params: CallParams) -> tuple[str, ...]:
        return (params.call, params.probe.call) if params.probe else (params.call,)

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
            *((("with", *found.path), found.message) for found in problems_of(spec, params.with_, templates=True)),
            *_filled_in(params),
            *(_probe_problems(params.call, params.probe, setting) if params.probe else ()),
        ]

    async def write(self, params: CallParams, event: Event, look: Look) -> Write:
        spec = _spec(params)
        wrong = problems_of(spec, params.with_)
        if wrong:
            raise BadStep("; ".join(f"{'.'.join(map(str, found.path))}: {found.message}" for found in wrong))
        # The times of events are on the tenant's clocks, which is how the service reads texts of time.
        given = convert(spec, params.with_, event.time.tzinfo)
        target = _target(spec.name, given)
        return Write(step=self.name, api=spec.name, target=target, params=given, given=_probe_of(params.probe, event))

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

    async def baseline(self, look: Look, write: Write, event: Event | None) -> JsonObject:
        if not write.given:
            return {}
        holds, why = await _shows(look, write)
        return {"holds": holds, "why": why}

    def standing(self, write: Write, decided: Mapping[str, Any], now: Mapping[str, Any]) -> Standing:
        if not write.given or now.get("holds") is False:
            return WANTED
        if now.get("holds"):
            return Standing("met", f"{write.given['call']} shows already what its probe asks for")
        return Standing("changed", f"it could not be told afterwards whether it was done: {now.get('why')}")

    async def probe(self, look: Look, write: Write, baseline: Mapping[str, Any]) -> Probe:
        holds = (await _shows(look, write))[0] if write.given else None
        return {True: "applied", False: "absent", None: "unclear"}[holds]  # type: ignore[return-value]

    async def progress(self, look: Look, write: Write, baseline: Mapping[str, Any]) -> Progress:
        return "verified" if write.given and (await _shows(look, write))[0] else "pending"

    def result(self, body: Mapping[str, Any]) -> JsonObject:
        return kept_reply(body)


CALL: Step = CallStep()


def _spec(params: CallParams) -> ApiSpec:
    try:
        return load_catalog().require(params.call)
    except UnknownApi as error:
        raise BadStep(str(error)) from None


def _probe_problems(api: str, probe: ProbeParams, setting: Setting) -> list[tuple[Path, str]]:
    """What is wrong with how a write is read back."""
    if is_read(api):
        return [(("probe",), f"{api} only reads: there is nothing to read back")]
    try:
        spec = load_catalog().require(probe.call)
    except UnknownApi as error:
        return [(("probe", "call"), str(error))]
    if not spec.reads:
        return [(("probe", "call"), f"{probe.call} writes: a probe only reads")]
    if setting.edition is not None and not allowed(spec, setting.edition):
        message = f"the {setting.edition} edition does not have {spec.name}, which needs {spec.edition}"
        return [(("probe", "call"), message)]
    found: list[tuple[Path, str]] = [
        (("probe", "with", *each.path), each.message) for each in problems_of(spec, probe.with_, templates=True)
    ]
    if is_template(probe.if_):
        found.append((("probe", "if"), "a condition is no template: what was sent is `sent`"))
    return found


def _probe_of(probe: ProbeParams | None, event: Event) -> JsonObject:
    """What a write keeps of its probe, ready to be asked.

    Raises:
        BadStep: a parameter is wrong.
    """
    if probe is None:
        return {}
    spec = load_catalog().require(probe.call)
    wrong = problems_of(spec, probe.with_)
    if wrong:
        texts = (f"probe.with.{'.'.join(map(str, found.path))}: {found.message}" for found in wrong)
        raise BadStep("; ".join(texts))
    return {"call": spec.name, "with": convert(spec, probe.with_, event.time.tzinfo), "if": probe.if_}


async def _shows(look: Look, write: Write) -> tuple[bool | None, str]:
    """Whether the write shows to be done, by its probe."""
    return await look.shows(write.given["call"], write.given["with"], write.given["if"], write.params)


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
