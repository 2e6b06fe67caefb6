"""Waiting: for some time, or until something is so."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema

from phinops.durations import parse_duration
from phinops.execute.steps.bare import BareStep
from phinops.execute.steps.kind import Path, Setting, Step
from phinops.execute.steps.values import Duration, Params


def _condition(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()  # `until: true` is a bool to YAML and an expression to us
    if isinstance(value, str) and not value.strip():
        raise ValueError("is empty")
    return value


class WaitParams(Params):
    """`wait: DURATION`, or `wait: { until: CEL, timeout: DURATION }`."""

    duration: Annotated[Duration | None, Field(description="How long to wait.")] = None
    until: Annotated[
        str | None,
        BeforeValidator(_condition),
        WithJsonSchema({"type": "string", "description": "CEL: the wait is over once it is true."}),
    ] = None
    timeout: Annotated[Duration | None, Field(description="How long to wait for `until` at most.")] = None

    @property
    def longest(self) -> timedelta:
        """How long the wait takes at most, once its texts are rendered."""
        return parse_duration(self.duration or self.timeout or "")


@dataclass(frozen=True, slots=True)
class WaitStep(BareStep):
    """The step `wait`."""

    name: str = "wait"
    params: type[BaseModel] = WaitParams
    scalar: str = "duration"
    conditions: frozenset[str] = frozenset({"until"})

    def problems(self, params: WaitParams, setting: Setting) -> list[tuple[Path, str]]:
        if params.duration is not None:
            others = [name for name in ("until", "timeout") if getattr(params, name) is not None]
            return [
                ((name,), f"«{name}» has no place beside a duration: wait for it or for so long") for name in others
            ]
        if params.until is None:
            return [((), "«wait» takes a duration such as 10m, or { until: CONDITION, timeout: DURATION }")]
        if params.timeout is None:
            return [((), "«timeout» is missing: say how long to wait for «until» at most")]
        return []


WAIT: Step = WaitStep()
