"""What a step is: the values that travel between the steps and those that carry them out.

A step turns its rendered parameters and the event into a `Write`: one API call on one target. Writes of the
same `batch` may travel in one call (`merge`, `items`). What a write did is read back (`baseline`, `probe`,
`progress`) through a `Look`, never guessed from the clock: only values of the service are compared with
values of the service.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ValidationError

from phinops.catalog.catalog import Edition
from phinops.errors import PhinopsError, Refused
from phinops.event import Event, Instance, JsonObject, Node
from phinops.execute.steps.flow import Flows

BATCH_LIMIT = 50
"""Targets that travel in one call at most. Dataphin documents no limit; 50 is our own caution."""

TargetKind = Literal["instance", "node", "api", "http", ""]
Probe = Literal["applied", "absent", "unclear"]
Progress = Literal["pending", "verified", "failed"]
Path = tuple[str | int, ...]

REFUSED = frozenset({"refused"})
NO_GOOD = REFUSED | {"failed", "timed_out"}
"""Outcomes after which a step may be worth another try."""


class BadStep(PhinopsError):
    """The step cannot be carried out as it was rendered for this event; the text says why, for people."""


class Needless(BadStep):
    """The target is already as the step would leave it: there is nothing to send."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a write changes. For "api" the id is the API's name, for "http" the method and the address without its
    query; "" is no target at all.
    """

    kind: TargetKind
    id: str
    project_id: str = ""


@dataclass(frozen=True, slots=True)
class Write:
    """One call on one target, ready to be journalled and sent.

    `params` are the API's own, without OpTenantId and Env. Writes with the same `batch` may be merged into
    one call of at most `BATCH_LIMIT`; with "" the write travels alone. `given` are the step's parameters in the words
    of rule files, of steps whose call says them in others. `lease`: after so long phinops takes it back by itself.
    """

    step: str
    api: str
    target: Target
    params: JsonObject
    batch: str = ""
    given: JsonObject = field(default_factory=dict)
    lease: timedelta | None = None


@dataclass(frozen=True, slots=True)
class ItemAnswer:
    """What the reply to a batch says of one target; `message` is the service's own text, "" when it gave
    none.
    """

    ok: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class InstanceView:
    """An instance's record as it was just read. `raw` is the service's own."""

    instance: Instance
    node: Node
    project_id: str
    raw: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node as it was just read; `node.paused` is None where no list of the service shows it."""

    node: Node
    project_id: str


@dataclass(frozen=True, slots=True)
class NodeOperation:
    """One line of a node's operation log: PAUSE_TASK, RESUME_TASK, UPDATE_NODE and so on."""

    type: str
    time: datetime | None
    operator: str = ""


@dataclass(frozen=True, slots=True)
class Taskrun:
    """One run of an instance, as the log of its runs has it; `status` in our words."""

    id: str
    status: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How a target stands to a write that is about to leave: the write is `wanted`, its goal is `met` already, or the
    target is `changed`, not what was decided on any more. `words` say what is so, for people.
    """

    kind: Literal["wanted", "met", "changed"]
    words: str = ""


WANTED = Standing("wanted")


class Look(Protocol):
    """Reads live state. Every method raises the client's errors (`ApiError`, `QuotaSpent`) when it cannot."""

    @property
    def flows(self) -> Flows:
        """Reads what was submitted and lives on by itself."""
        ...

    async def instance(self, project_id: str, instance_id: str) -> InstanceView | None:
        """The instance's record, or None when the service knows no such instance in the project."""
        ...

    async def instances(self, project_id: str, ids: Collection[str]) -> Mapping[str, InstanceView]:
        """The records of those that the service knows, by id."""
        ...

    async def node(self, project_id: str, node_id: str) -> NodeView | None:
        """The node, or None when the service knows no such node in the project."""
        ...

    async def operations(self, node_id: str) -> Sequence[NodeOperation]:
        """The node's operation log, newest first."""
        ...

    async def shows(
        self, api: str, params: JsonObject, condition: str, sent: Mapping[str, Any]
    ) -> tuple[bool | None, str]:
        """Whether the reply of a read is as the condition says, `sent` being what a write was sent with.

        None where that cannot be told of the reply, and why not.
        """
        ...

    async def taskruns(self, project_id: str, instance_id: str) -> Sequence[Taskrun]:
        """Every run of the instance, oldest first. Costs a call of level 2 that carries the whole texts of the log."""
        ...


Altered = Callable[[Look, Write, Mapping[str, Any], int], Awaitable[str]]
"""Reads the target of a done write: what of it is not as the write left it, for people, or "".

It is given the write, its baseline, and how often it may have been sent. Raises the client's errors.
"""


async def _never_restored(look: Look, write: Write, baseline: Mapping[str, Any], sends: int) -> str:
    return "nothing takes it back"


@dataclass(frozen=True, slots=True)
class Reverse:
    """How a done write is taken back: by the step of the kind `step`, if its target is still as the write left it.

    Where nothing truly restores what was, `step` is "" and `why` says why, and what a person can do.
    """

    step: str = ""
    altered: Altered = _never_restored
    why: str = ""


class Setting(Protocol):
    """What `check` knows beyond the rule itself. None: without a config it was not checked."""

    @property
    def edition(self) -> Edition | None: ...

    @property
    def notifiers(self) -> Collection[str] | None: ...


class Step(Protocol):
    """One kind of step. Each has one instance, listed in `phinops.execute.steps.table.STEPS`."""

    @property
    def name(self) -> str:
        """Its key in rule files."""
        ...

    @property
    def params(self) -> type[BaseModel]:
        """The model of its parameters; strings may hold templates until they are rendered."""
        ...

    @property
    def target(self) -> Literal["instance", "node"] | None:
        """What it acts on when its parameters name nothing: the event's own instance or node."""
        ...

    @property
    def scalar(self) -> str:
        """The parameter that a plain value after the step's key stands for (`call: API`), or ""."""
        ...

    @property
    def beside(self) -> frozenset[str]:
        """Parameters that are written beside the step's key and not below it (`with`)."""
        ...

    @property
    def probe_key(self) -> str:
        """The parameter beside it that says how what it did is read back, without which it cannot be, or ""."""
        ...

    @property
    def conditions(self) -> frozenset[str]:
        """Parameters that are CEL: checked as a condition is, and not rendered."""
        ...

    def writes(self, params: Any) -> bool:
        """Whether it changes anything in Dataphin, or elsewhere outside of phinops."""
        ...

    def apis(self, params: Any) -> tuple[str, ...]:
        """The APIs of Dataphin that it calls at least, by name; `params` may hold templates still."""
        ...

    def problems(self, params: Any, setting: Setting) -> list[tuple[Path, str]]:
        """What the model cannot see: the path of each mistake below the parameters, and its text."""
        ...

    async def write(self, params: Any, event: Event, look: Look) -> Write:
        """The call for this event. `params` are rendered and were validated anew (`checked`).

        Raises:
            BadStep: the target is unknown or a value is wrong.
            ApiError, QuotaSpent: the target had to be looked up and could not.
        """
        ...

    def marked(self, write: Write, mark: str) -> Write:
        """The write with `mark`, which tells this attempt from all others, where the service keeps a text of ours."""
        ...

    def merge(self, writes: Sequence[Write]) -> JsonObject:
        """The parameters of one call for all of `writes`, which have the same `batch`."""
        ...

    @property
    def verifiable(self) -> bool:
        """Whether `verify` means anything: whether `progress` can ever see the goal."""
        ...

    @property
    def idempotent(self) -> bool:
        """Whether doing it twice comes to no more than doing it once."""
        ...

    @property
    def repeatable(self) -> frozenset[str]:
        """The outcomes after which doing it once more may help, and begins nothing beside what is still under way."""
        ...

    def items(self, body: Mapping[str, Any], ids: Sequence[str]) -> Mapping[str, ItemAnswer]:
        """What an accepted reply says of each of the targets `ids`, by id.

        A target that is missing here was not spoken of: whether it was done is not known, read it back.
        """
        ...

    def result(self, body: Mapping[str, Any]) -> JsonObject:
        """What is kept of the reply, for later steps and for people; bounded."""
        ...

    def met(self, error: Refused) -> bool:
        """Whether a refusal of a call on one target says that its goal is met or under way already."""
        ...

    async def baseline(self, look: Look, write: Write, event: Event | None) -> JsonObject:
        """What the target looks like before the write, as JSON.

        `event` is the firing's event while nothing has happened to the target since it was seen: its record
        saves a read. None (an earlier step wrote to the target, or this is another attempt) makes it read.
        """
        ...

    def standing(self, write: Write, decided: Mapping[str, Any], now: Mapping[str, Any]) -> Standing:
        """Whether the write is still wanted of a target that looks like `now`, both as `baseline` gives it.

        `decided` is what it looked like when the rule decided; empty where that is not known.
        """
        ...

    async def probe(self, look: Look, write: Write, baseline: Mapping[str, Any]) -> Probe:
        """Whether a write of unknown outcome was done. Asked again later when the read fails."""
        ...

    async def progress(self, look: Look, write: Write, baseline: Mapping[str, Any]) -> Progress:
        """How far an accepted write has come: `verified` is the goal, `failed` another end.

        Beside what the target looked like, `baseline` has what `result` kept of the reply, if one came.
        """
        ...

    @property
    def reverse(self) -> Reverse:
        """How a done write is taken back, or why it cannot be."""
        ...

    @property
    def countable(self) -> bool:
        """Whether `effects` can tell how often a write was done."""
        ...

    async def effects(self, look: Look, write: Write, baseline: Mapping[str, Any]) -> int | None:
        """How often what the write does shows to have been done since the baseline; None: it cannot be told."""
        ...


def checked(step: Step, rendered: Mapping[str, Any]) -> BaseModel:
    """The step's parameters from rendered values.

    Raises:
        BadStep: a value is not what the parameter takes; the text names each with its reason.
    """
    try:
        return step.params.model_validate(dict(rendered))
    except ValidationError as error:
        reasons = (f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in error.errors(include_input=False))
        raise BadStep(f"{step.name}: " + "; ".join(reasons)) from None
