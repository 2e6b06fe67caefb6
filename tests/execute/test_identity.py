"""Who a write is about, where something is protected: named by the event, else read, else not known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from phinops.clock import LoopClock
from phinops.event import Event, Instance, Node, Project
from phinops.execute.guard import Protected
from phinops.execute.identity import KEPT, Identities, named_in
from phinops.execute.steps.kind import InstanceView, NodeView, Target, Write
from phinops.firing import Identity
from phinops.virtual import run
from stillness import StillLook
from worlds import START

NODES, PROJECTS = Protected(nodes=("dwd_pay_*",)), Protected(projects=("finance*",))


@dataclass
class Known(StillLook):
    """`looks` counts reads."""

    looks: list[str] = field(default_factory=list)

    async def instance(self, project_id: str, instance_id: str) -> InstanceView | None:
        self.looks.append(instance_id)
        node = Node("n_1", "dwd_pay_day")
        return InstanceView(Instance(instance_id), node, project_id) if instance_id == "t_1" else None

    async def node(self, project_id: str, node_id: str) -> NodeView | None:
        self.looks.append(node_id)
        return NodeView(Node("n_1", "dwd_pay_day"), project_id) if node_id == "n_1" else None


class Projects:
    """One list of projects."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self._known = known

    async def named(self, name: str, now: datetime) -> Project:
        return Project(name, self._known[name]) if name in self._known else Project("", name)


def _write(kind: Any = "instance", name: str = "t_1", project: str = "7", **params: Any) -> Write:
    return Write("s", "A", Target(kind, name, project), params)


def _of(protected: Protected, write: Write, event: Event | None = None) -> tuple[Identity | None, list[str]]:
    look = Known()

    async def main() -> Identity | None:
        lists = [Projects({"7": "retail"}), Projects({"7": "finance_api", "8": "finance_dw"})]
        return await Identities(protected, look, lists, LoopClock(START)).of(write, event)

    return run(main()), look.looks


EVENT = Event(
    id="ev", type="instance.failed", time=START, tenant="t", source="instances", project=Project("9", "finance_x"),
    instance=Instance("t_5"), node=Node("n_5", "ods"),
)  # fmt: skip


def test_without_anything_protected_nobody_is_looked_at() -> None:
    assert _of(Protected(), _write()) == (None, [])
    assert _of(NODES, _write("http", "POST https://x/", "")) == (None, [])


def test_an_instance_is_known_by_its_node_and_an_event_spares_the_look() -> None:
    assert _of(NODES, _write()) == (Identity(frozenset({"n_1", "dwd_pay_day"})), ["t_1"])
    assert _of(NODES, _write(name="t_5"), EVENT) == (Identity(frozenset({"n_5", "ods"})), [])
    assert _of(NODES, _write("node", "n_5"), EVENT) == (Identity(frozenset({"n_5", "ods"})), [])
    assert _of(NODES, _write(name="t_1"), EVENT)[1] == ["t_1"]


@pytest.mark.parametrize(("kind", "name"), [("instance", "t_9"), ("node", "n_9")])
def test_what_dataphin_does_not_show_is_not_known(kind: str, name: str) -> None:
    found, _ = _of(NODES, _write(kind, name))
    assert found
    assert found.unknown == f"the name of {kind} {name} cannot be read"


def test_a_project_has_its_names_of_every_list() -> None:
    assert _of(PROJECTS, _write()) == (Identity(projects=frozenset({"7", "retail", "finance_api"})), [])
    found, _ = _of(PROJECTS, _write(project="9"))
    assert found == Identity(projects=frozenset({"9"}), unknown="the name of project 9 cannot be read")
    found, _ = _of(PROJECTS, _write(project="9"), EVENT)
    assert found == Identity(projects=frozenset({"9", "finance_x"}))
    found, _ = _of(PROJECTS, _write(project=""))
    assert found == Identity(unknown="it names no project")


def test_a_call_is_about_whatever_its_parameters_name() -> None:
    command = {
        "ProjectId": 8,
        "NodeIdList": [{"Id": "n_1"}, "n_2"],
        "NodeType": "SCRIPT",
        "RootInstanceId": {"Id": "t_3", "FieldInstanceIdList": []},
        "Comment": "t_4",
        "Nested": {"Text": "n_ten", "Operation": "RERUN"},
        "NodeName": "dwd_pay_x",
    }
    named = named_in(_write("api", "A", "", Command=command, Env="PROD"))
    assert named.projects == {"8"}
    assert named.nodes == {"n_1", "n_2", "n_ten", "dwd_pay_x"}
    assert named.instances == {"t_3", "t_4"}
    assert not named.wide
    assert named_in(_write("api", "A#1", "", Text="n_1 and t_1", Flag=True, Count=3)) == named_in(
        _write("api", "A", "")
    )


@pytest.mark.parametrize("params", [{"C": {"ContainAllDownStream": True}}, {"DownstreamRange": "ALL_INSTANCE"}])
def test_what_takes_along_all_that_hangs_below_may_reach_anything(params: dict[str, Any]) -> None:
    found, _ = _of(NODES, _write(**params))
    assert found
    assert found.unknown == "it takes along whatever hangs below its target"
    assert not named_in(_write(C={"ContainAllDownStream": False})).wide


def test_a_name_is_read_once_in_a_while() -> None:
    async def main() -> None:
        clock, look = LoopClock(START), Known()
        identities = Identities(NODES, look, (), clock)
        for _ in range(3):
            await identities.of(_write("node", "n_1"))
        assert look.looks == ["n_1"]
        await clock.sleep(timedelta(seconds=KEPT + 1).total_seconds())
        await identities.of(_write("node", "n_1"))
        assert look.looks == ["n_1", "n_1"]

    run(main())
