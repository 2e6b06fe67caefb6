"""One call, and what every family of answers needs to answer it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypeVar

from phinops.simulate.arguments import Arguments
from phinops.simulate.calendar import Calendar
from phinops.simulate.model import Node, Project, User
from phinops.simulate.refusal import Refusal, invalid
from phinops.simulate.tenant import Tenant

Payload = dict[str, Any]
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of `user`; `arguments` are in the types of the catalog."""

    api: str
    arguments: Arguments
    tenant: Tenant
    user: User

    @property
    def env(self) -> str:
        """The environment; most APIs mean production when none is named."""
        return str(self.arguments.get("Env", "PROD"))

    def struct(self, name: str) -> Arguments:
        """The struct of that name, empty when it was left out."""
        found: Arguments = self.arguments.get(name, {})
        return found


Answerer = Callable[[Call], Payload]


def permitted_project(call: Call, project_id: int) -> Project:
    """The project of that id.

    Raises:
        Refusal: the tenant has none, or the caller has no role in it.
    """
    project = call.tenant.projects.get(project_id)
    if project is None:
        raise Refusal("DPN.Filter.ProjectNotFound", f"project {project_id} is not in tenant {call.tenant.id}")
    if not project.permitted:
        raise Refusal("DPN.Filter.NoPermission", f"no permission in project {project.name}")
    return project


def node_of(call: Call, node_id: str) -> Node:
    """The node of that id in the call's environment.

    Raises:
        Refusal: the id cannot be one, there is none there, or the caller has no role in its project.
    """
    if not node_id.startswith("n_") or not node_id[2:].isdecimal():
        raise Refusal("DPN.TaskScheduler.Node.IllegalNodeIdFormat", f"{node_id} is not the id of a node")
    node = call.tenant.nodes.get(node_id)
    if node is None or (call.env == "DEV" and node.project.mode == "BASIC"):
        raise Refusal("DPN.OP.NodeNotFound", f"node {node_id} does not exist in {call.env}")
    permitted_project(call, node.project.id)
    return node


def page(call: Call, rows: Sequence[Row], query: Arguments, number: str = "Page") -> tuple[list[Row], int]:
    """One page of `rows`, and how many there are in all.

    A page after the last is empty. Raises Refusal when page or size is below 1.
    """
    index, size = int(query.get(number, 1)), int(query.get("PageSize", 20))
    if index < 1 or size < 1:
        raise invalid(f"{number} and PageSize must be at least 1")
    limit = call.tenant.quirks.page_limit
    size = min(size, limit) if limit else size
    start = max(0, (index - 1) * (size - _shift(call, index)))
    return list(rows[start : start + size]), len(rows)


def _shift(call: Call, index: int) -> int:
    """How many rows have moved over each border before this page (`Quirks.shift_pages`): to and fro in turn."""
    tenant = call.tenant
    if index == 1:
        tenant.sweeps[call.api] += 1
    rows = tenant.quirks.shift_pages
    return rows if tenant.sweeps[call.api] % 2 else -rows


def depth(arguments: Arguments, name: str, default: int) -> int:
    """How far a lineage is followed, 1 to 6. Raises Refusal for anything else."""
    value = int(arguments.get(name, default))
    if not 1 <= value <= 6:
        raise invalid(f"{name} must be from 1 to 6")
    return value


def read_day(text: str, name: str) -> date:
    """A business date, as `yyyy-MM-dd` or `yyyyMMdd`. Raises Refusal for anything else."""
    with suppress(ValueError):
        return date.fromisoformat(text)  # reads 20260131 as well
    raise invalid(f"{name} «{text}» is not a date such as 2026-01-31")


def read_moment(calendar: Calendar, text: str, name: str) -> float:
    """A moment as `yyyy-MM-dd HH:mm:ss` in the tenant's zone. Raises Refusal for anything else."""
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=calendar.zone).timestamp()
    except ValueError as error:
        raise invalid(f"{name} «{text}» is not a time such as 2026-01-31 08:00:00") from error


def chosen(value: object, wanted: Iterable[object] | None) -> bool:
    """Whether a filter lets `value` through; one that is left out or empty lets everything through."""
    return not wanted or value in wanted
