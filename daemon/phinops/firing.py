"""What a rule does about one event: the values that travel from the decision to the settled action.

A firing carries its own plan, written when it was born: a reload of the rule files touches only firings born later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Literal

from phinops.event import Event, JsonObject

FiringState = Literal[
    "waiting",  # `for` is running out; `wake_at` says when the object is read again
    "queued",  # its key is busy; whether it may fire is asked again once the key is free
    "ready",  # may run
    "running",  # its steps are being walked
    "settling",  # a write of unknown fate is being read back
    "needs_decision",  # a write could not be settled by reading
    "done",
    "failed",  # ended by a refused or unknown step with `on_error: stop`
    "skipped",  # a guard said no; `reason` says which
]

Outcome = Literal["verified", "failed", "timed_out", "accepted", "unknown", "refused", "skipped", "shadow"]

INWARD = frozenset({"notify", "read", "wait", "emit", "approve"})
"""Kinds of the journal's rows that change nothing outside of phinops."""

TELLING = frozenset({"notify", "approve"})
"""Kinds of the journal's rows that tell people something, by those who are in their target."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Mode = Literal["off", "shadow", "armed"]
"""What a rule may do: nothing at all, everything but write and tell, or all of it."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What became of a step: what later steps see as `steps.ID`, and why."""

    outcome: Outcome
    reason: str = ""
    action_id: str = ""

    def to_json(self) -> JsonObject:
        """What `step_result` reads back."""
        return {"outcome": self.outcome, "reason": self.reason, "action_id": self.action_id}


def step_result(document: Mapping[str, Any]) -> StepResult:
    """The result that `StepResult.to_json` wrote."""
    return StepResult(document["outcome"], document.get("reason", ""), document.get("action_id", ""))


@dataclass(frozen=True, slots=True)
class Firing:
    """One rule on one event. `plan` is the rule's JSON as it was; `cursor` is the index of the next step; `facts` are
    what of the past the decision was judged by; `now` is the event with its object as it was last read, None while
    that was not read again; `stop` says why it is to end at the next safe point, "" when it is not to.
    """

    id: str
    event_id: str
    tenant: str
    rule: str
    rule_hash: str
    mode: Mode
    key: str
    plan: JsonObject
    state: FiringState
    reason: str = ""
    cursor: int = 0
    wake_at: datetime | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    results: Mapping[str, StepResult] = field(default_factory=dict)
    facts: JsonObject = field(default_factory=dict)
    now: Event | None = None
    stop: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """An event that counts for a rule over several: `at` is its own time, `came` when it was recorded."""

    event_id: str
    type: str
    at: datetime
    came: datetime


@dataclass(frozen=True, slots=True)
class Intent:
    """One write to one target, recorded before it is sent.

    `state` is `intent` while its fate is open, then `done`, `absent` (known not to have happened), `failed` (refused),
    `unknown` (a person must decide) or `abandoned` (a person decided that it will never be known); a write that was not
    needed is `skipped`; a step that waits is `waiting`, until `verify_until` at the latest. `probe` is
    what the target looked like before.
    """

    action_id: str
    firing_id: str
    n: int
    step_id: str
    attempt: int
    kind: str
    api: str
    tenant: str
    target_kind: str
    target_id: str
    project_id: str
    request: JsonObject
    probe: JsonObject
    state: str = "intent"
    outcome: str = ""
    request_id: str = ""
    result: JsonObject = field(default_factory=dict)
    t_intent: datetime | None = None
    t_done: datetime | None = None
    verify_until: datetime | None = None


def has_told(step: Intent) -> bool:
    """Whether people were told by that step, or in shadow would have been; one that asked has, whatever they said."""
    asked = "approval" in step.request["params"]
    return step.kind in TELLING and (step.outcome != "refused" or asked)


@dataclass(frozen=True, slots=True)
class Aftermath:
    """An action with what followed. `later` are our other writes on its target since then that were done or may have
    been, oldest first; `sends` is how often the same may have been sent to the target, the action included.
    """

    action: Intent
    later: Sequence[Intent] = ()
    sends: int = 1


@dataclass(frozen=True, slots=True)
class TargetLimit:
    """`limits.targets` of a rule: so many distinct targets within so long."""

    max: int
    within: timedelta


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a write is about: the ids and names of its nodes and of its projects, as far as they are known.

    `unknown` says what of it is not known, "" when all is.
    """

    nodes: frozenset[str] = frozenset()
    projects: frozenset[str] = frozenset()
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class Reach:
    """How many nodes hang below a write's target, and how many its rule allows."""

    below: int
    max: int


@dataclass(frozen=True, slots=True)
class Ask:
    """A write that asks to leave, with the limits of its rule as its plan has them.

    `identity` is None where nobody has looked. `person`: somebody asks for it by hand; `override`: also of what is
    protected.
    """

    intent: Intent
    rule: str
    targets: TargetLimit | None = None
    reach: Reach | None = None
    identity: Identity | None = None
    person: bool = False
    override: bool = False


@dataclass(frozen=True, slots=True)
class Tally:
    """Writes in a row that Dataphin refused or that were settled as not done.

    `reason` is that of the last, `under_way` the newest write since the first of them whose outcome is not known yet.
    """

    failures: int = 0
    failed_at: datetime | None = None
    reason: str = ""
    under_way: str = ""


@dataclass(frozen=True, slots=True)
class Pause:
    """No write may leave: since when, who said so, and why."""

    at: datetime
    by: str
    reason: str = ""

    def told(self, zone: tzinfo) -> str:
        """For people, with the time in `zone`."""
        why = f": {self.reason}" if self.reason else ""
        since = self.at.astimezone(zone).isoformat(sep=" ", timespec="seconds")
        return f"paused by {self.by} since {since}{why}"


@dataclass(frozen=True, slots=True)
class WriteFacts:
    """What the guard of writes reads of the past, within the transaction that commits the intent.

    `unsettled` is another action on the same target whose fate is not known; `settling` says that it is being read
    back, so that it will be known. `now` is the time of the transaction.
    """

    writes_last_hour: int
    targets: frozenset[tuple[str, str]] = frozenset()
    unsettled: str | None = None
    settling: bool = False
    now: datetime = EPOCH
    pause: Pause | None = None
    of_rule: Tally = Tally()
    of_target: Tally = Tally()


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a write may not leave. `passing`: not now, but it may ask again.

    `subject` is what people are told of, once an hour; "" when they are not.
    """

    reason: str
    passing: bool = False
    subject: str = ""


Guard = Callable[[Sequence[tuple[Ask, WriteFacts]]], Sequence[Objection | None]]
"""One judgement for each write; None lets it leave."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice for one notifier; `id` stays the same over every try to deliver it."""

    id: str
    notifier: str
    payload: JsonObject
