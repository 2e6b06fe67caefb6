"""What is meant to be done in a run of the crash matrix, and how Dataphin behaves meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, get_args

from phinops.simulate import Fault, Simulator
from phinops.simulate.faults import Kind as FaultKind
from phinops.simulate.model import Instance

Behaviour = Literal["applies", "applies late", "drops the answer", "loses the call", "refuses"]
BEHAVIOURS: tuple[Behaviour, ...] = get_args(Behaviour)

LATE = (2.0, 6.0, 13.0)
"""Seconds that the gateway may keep a write before it is done: also beyond the client's time-out, never beyond
`settle_after`."""

DROPPING: Sequence[FaultKind] = ("reset_after", "hang_after", "bad_gateway_after", "html_after")
LOSING: Sequence[FaultKind] = ("reset", "hang", "bad_gateway", "error")
REFUSING = ("DPN.OP.NoPermission", "DPN.Commons.InvalidParam")
"""The ways in which answers are dropped and calls lost, and the codes with which they are refused."""

PROJECT = 131001
_HOURS = 5 * 3600.0
FAILING, OTHER = "dws_orders_1d", "dws_users_1d"
"""The node whose instance fails before a run begins, and one of the same project that is as a case says."""


Death = tuple[str, float]
"""Ends a life: when it passes a point of that name ("": any) for the n-th time, or, `ASLEEP`, after so many seconds."""

ASLEEP = "asleep"
ALIVE: Death = ("", 0)


@dataclass(frozen=True, slots=True)
class Run:
    """What is played: lives on one store, each of which has its death but the last.

    `late` is how long the gateway keeps a write that it applies late, where that is not left to the seed.
    """

    case: str
    behaviour: Behaviour
    seed: int
    deaths: Sequence[Death] = ()
    late: float = 0.0


def go_wrong(simulator: Simulator, run: Run) -> float:
    """Let writes fare as the run says; how many seconds the gateway keeps each of them."""
    chance = Random(run.seed)
    if run.behaviour == "applies late":
        return run.late or chance.choice(LATE)
    if run.behaviour == "drops the answer":
        simulator.faults.add(Fault(chance.choice(DROPPING), only="writes"))
    elif run.behaviour == "loses the call":
        simulator.faults.add(Fault(chance.choice(LOSING), only="writes", count=1))
    elif run.behaviour == "refuses":
        simulator.faults.add(Fault("refuse", only="writes", code=chance.choice(REFUSING), message="no"))
    return 0.0


@dataclass(frozen=True, slots=True)
class Case:
    """`steps` are what the one rule does about a failed instance of `FAILING`, `effects` what comes of all of them.

    `{ID}` and `{NODE}` in the steps are the instance that `prepare` makes, and its node. `firings` is how often the
    rule fires, `follow` how many firings come of what was done. `readable` is when reading can tell whether a write was
    done; else it may be left to a person. Without steps it is a person who calls, once: if the first process dies
    before it has recorded that, nobody will.
    """

    name: str
    steps: str
    effects: Mapping[str, int]
    prepare: Callable[[Simulator], Instance]
    firings: int = 1
    follow: int = 0
    readable: Literal["always", "when done", "never"] = "always"

    @property
    def persons(self) -> bool:
        """Whether a person calls, and no rule."""
        return not self.steps

    def firings_under(self, behaviour: Behaviour) -> int:
        """How many firings there are in all."""
        return self.firings + (0 if behaviour == "refuses" else self.follow)

    def rules(self, other: Instance) -> str:
        """The rule file."""
        steps = self.steps.replace("{ID}", other.id).replace("{NODE}", other.node.id)
        return (
            _RULE + "\n".join(f"      {line}" for line in steps.strip().splitlines()) + "\n" if steps else "rules: []"
        )


_RULE = f"""
rules:
  - id: the-rule
    on: instance.failed
    if: event.node.name == "{FAILING}" && event.instance.attempts < 3
    mode: armed
    do:
"""


def _running(simulator: Simulator) -> Instance:
    other = simulator.tenant.add_instance(OTHER)
    other.takes = _HOURS
    simulator.tenant.lives.expect(other)
    simulator.tenant.settle()
    return other


def _held_back(simulator: Simulator) -> Instance:
    other = _running(simulator)
    other.paused = True
    return other


def _of_a_paused_node(simulator: Simulator) -> Instance:
    other = _running(simulator)
    simulator.tenant.node(OTHER).paused = True
    return other


def _two_failed(simulator: Simulator) -> Instance:
    other = simulator.tenant.fail_instance(FAILING, ago=100.0)
    other.takes = 40.0
    return other


def _of_a_manual_node(simulator: Simulator) -> Instance:
    return simulator.tenant.add_instance("clean_up")


_NODE = f'node_id: "{{NODE}}", project_id: "{PROJECT}"'
_WHICH = f'instance_id: "{{ID}}", project_id: "{PROJECT}"'

CASES: Mapping[str, Case] = {
    case.name: case
    for case in (
        Case("rerun", "- rerun_instance: {}\n  verify: { within: 10m }", {"RERUN": 1}, _running),
        Case("reruns in one call", "- rerun_instance: {}", {"RERUN": 2}, _two_failed, firings=2),
        Case(
            "terminate", f"- terminate_instance: {{ {_WHICH} }}\n  verify: {{ within: 5m }}", {"TERMINATE": 1}, _running
        ),
        Case(
            "pause for a time",
            "- pause_node: { lease: 20m }",
            {"PAUSE_TASK": 1, "RESUME_TASK": 1},
            _running,
            follow=1,
        ),
        Case(
            "rerun after a yes",
            "- approve: { to: nobody, expires: 6h }\n- rerun_instance: {}\n  verify: { within: 10m }",
            {"RERUN": 1},
            _running,
        ),
        Case("set success", "- set_instance_success: {}", {"SET_SUCCESS": 1}, _running),
        Case("pause an instance", f"- pause_instance: {{ {_WHICH} }}", {"PAUSE": 1}, _running),
        Case("resume an instance", f"- resume_instance: {{ {_WHICH} }}", {"RESUME": 1}, _held_back),
        Case("pause a node", "- pause_node: {}\n  verify: { within: 5m }", {"PAUSE_TASK": 1}, _running),
        Case(
            "resume a node",
            f"- resume_node: {{ {_NODE} }}",
            {"RESUME_TASK": 1},
            _of_a_paused_node,
        ),
        Case(
            "call",
            "- call: PausePhysicalNode\n"
            f"  with: {{ PauseCommand: {{ ProjectId: {PROJECT}, NodeIdList: ['{{{{ event.node.id }}}}'] }} }}",
            {"PAUSE_TASK": 1},
            _running,
            readable="never",
        ),
        Case(
            "call with a probe",
            f"""
- call: PausePhysicalNode
  with: {{ PauseCommand: {{ ProjectId: {PROJECT}, NodeIdList: ['{{{{ event.node.id }}}}'] }} }}
  probe:
    call: ListNodes
    with:
      ListQuery:
        {{ ProjectId: {PROJECT}, NodeBizType: SCRIPT, NodeSubBizTypeList: [MAX_COMPUTE_SQL], Page: 1, PageSize: 100 }}
    if: reply.PageResult.NodeList.exists(each, each.Id == sent.PauseCommand.NodeIdList[0] && each.SchedulePaused)
""",
            {"PAUSE_TASK": 1},
            _running,
        ),
        Case("a person's call", "", {"PAUSE_TASK": 1}, _running, firings=0, readable="never"),
        Case(
            "backfill",
            f"- backfill: {{ {_NODE}, start: 2026-01-01, end: 2026-01-02 }}\n  verify: {{ within: 1h }}",
            {"CreateNodeSupplement": 1},
            _running,
            readable="when done",
        ),
        Case("fix data", "- fix_data: {}\n  verify: { within: 10m }", {"FIX": 1}, _running),
        Case(
            "a manual run",
            f"- run_manual_node: {{ {_NODE}, biz_date: 2026-01-02 }}\n  verify: {{ within: 10m }}",
            {"ExecuteManualNode": 1},
            _of_a_manual_node,
        ),
        Case(
            "a whole plan",
            """
- pause_node: {}
- id: again
  rerun_instance: {}
  verify: { within: 10m }
- wait: 90s
- resume_node: {}
- notify: { to: nobody, message: "{{ event.node.name }}: {{ steps.again.outcome }}" }
""",
            {"PAUSE_TASK": 1, "RERUN": 1, "RESUME_TASK": 1},
            _running,
        ),
    )
}
