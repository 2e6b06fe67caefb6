"""Telling other rules: an event of a type of one's own."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field

from phinops.event import JsonObject
from phinops.execute.steps.bare import BareStep
from phinops.execute.steps.kind import BadStep, Step
from phinops.execute.steps.values import OR_EMPTY, Params, is_template

LARGEST = 64 * 1024
"""Characters of JSON that the data of an event may have."""

_TYPE = re.compile(r"custom\.[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


def _type(value: str) -> str:
    if is_template(value):
        raise ValueError("cannot come from a template: which rules it wakes must be known beforehand")
    if len(value) > 100 or not _TYPE.fullmatch(value):
        raise ValueError(f"must be custom.NAME, NAME of letters, digits, `-`, `_` and `.`, not {value!r}")
    return value


class EmitParams(Params):
    """`type: custom.NAME`, and the event's `data`."""

    type: Annotated[str, AfterValidator(_type), Field(description="The event's type: custom.NAME.")]
    data: Annotated[dict[str, Any], OR_EMPTY, Field(description="What the event holds as `data`.")] = Field(
        default_factory=dict
    )


@dataclass(frozen=True, slots=True)
class EmitStep(BareStep):
    """The step `emit`."""

    name: str = "emit"
    params: type[BaseModel] = EmitParams


EMIT: Step = EmitStep()


def check_size(data: JsonObject) -> None:
    """Look whether an event may hold so much.

    Raises:
        BadStep: it is too large.
    """
    size = len(json.dumps(data, ensure_ascii=False))
    if size > LARGEST:
        raise BadStep(f"emit: data has {size} characters of JSON, {LARGEST} are allowed")
