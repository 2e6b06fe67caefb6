"""Asking people: what follows is done only once one of them has said yes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, Field

from phinops.durations import format_duration, parse_duration
from phinops.execute.steps.bare import BareStep
from phinops.execute.steps.kind import BadStep, Path, Setting, Step
from phinops.execute.steps.notify import Recipients, unknown_notifiers
from phinops.execute.steps.values import Duration, Params, Text, is_template

SOONEST, LATEST = timedelta(minutes=1), timedelta(days=7)
"""Between these lies the time that people may be given."""


class ApproveParams(Params):
    """`to` is a notifier or a list of them, all of the config where it is left out; `expires` how long they have."""

    to: Annotated[
        Recipients | None, Field(description="A notifier of the config, or a list of them; without it every one.")
    ] = None
    expires: Annotated[Duration, Field(description="How long people have to answer. No answer means no.")] = "1h"
    message: Annotated[Text, Field(description="What people are told beside the calls themselves.")] = ""

    @property
    def span(self) -> timedelta:
        """How long people have, once `expires` is rendered.

        Raises:
            BadStep: it is too short or too long.
        """
        span = parse_duration(self.expires)
        if wrong := _out_of_bounds(span):
            raise BadStep(f"approve: «expires» {wrong}")
        return span


@dataclass(frozen=True, slots=True)
class ApproveStep(BareStep):
    """The step `approve`."""

    name: str = "approve"
    params: type[BaseModel] = ApproveParams

    def problems(self, params: ApproveParams, setting: Setting) -> list[tuple[Path, str]]:
        found: list[tuple[Path, str]] = [(("to",), each) for each in unknown_notifiers(params.to or (), setting)]
        if not is_template(params.expires) and (wrong := _out_of_bounds(parse_duration(params.expires))):
            found.append((("expires",), f"«expires» {wrong}"))
        return found


APPROVE: Step = ApproveStep()


def _out_of_bounds(span: timedelta) -> str:
    if SOONEST <= span <= LATEST:
        return ""
    return f"must be from {format_duration(SOONEST)} to {format_duration(LATEST)}, not {format_duration(span)}"
