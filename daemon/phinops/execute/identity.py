"""Who a write is about: the nodes and projects that it names, with their ids and their names, to see what is protected.

What cannot be found out is said to be unknown, and the guard refuses it. Without anything protected nothing is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from phinops.clock import Clock
from phinops.event import Event, Node, Project
from phinops.execute.cached import Cached
from phinops.execute.guard import Protected
from phinops.execute.steps.kind import Look, Write
from phinops.firing import Identity

KEPT = 600.0
"""Seconds for which a node's name is taken to be so still."""

_WIDE = ("ContainAllDownStream", "DownstreamRange")
"""Parameters that have whatever hangs below taken along."""

_NAMING = re.compile(r"(node|instance|project)\w*?(id|ids|idlist|name|names|namelist|list)$", re.IGNORECASE)
_BY_SHAPE = re.compile(r"[nt]_\w+")
_INHERITS = frozenset({"id", "idlist", "name"})


class Names(Protocol):
    """Knows projects by their ids."""

    async def named(self, name: str, now: datetime) -> Project:
        """The project of that id or name; with an empty id when it is not known."""
        ...


@dataclass(slots=True)
class Named:
    """What a write names: ids, and names, as they stand in its parameters."""

    nodes: set[str] = field(default_factory=set)
    instances: set[str] = field(default_factory=set)
    projects: set[str] = field(default_factory=set)
    wide: bool = False


class Identities:
    """Finds out who writes on one tenant are about, as far as `protected` asks for it."""

    def __init__(self, protected: Protected, look: Look, projects: Sequence[Names], clock: Clock) -> None:
        self._protected = protected
        self._look = look
        self._projects = projects
        self._clock = clock
        self._nodes: Cached[Node | None] = Cached(clock, KEPT)

    async def of(self, write: Write, event: Event | None = None) -> Identity | None:
        """Who the write is about; the event's own record is taken for what it names. None: nothing is protected.

        Raises:
            ApiError, QuotaSpent, StoreError: it could not be read.
        """
        if not self._protected or write.target.kind == "http":
            return None
        named = named_in(write)
        nodes, projects = frozenset[str](), frozenset[str]()
        unknown = ["it takes along whatever hangs below its target"] if named.wide else []
        if self._protected.nodes:
            nodes, unnamed = await self._nodes_of(named, event)
            unknown += unnamed
        if self._protected.projects:
            projects, unnamed = await self._projects_of(named, event)
            unknown += unnamed
        return Identity(nodes, projects, "; ".join(unknown))

    async def _nodes_of(self, named: Named, event: Event | None) -> tuple[frozenset[str], list[str]]:
        """The ids and names of the nodes, and what is not known of them."""
        project = min(named.projects, default="")
        found, unknown = set(named.nodes), []
        for kind, ids in (("instance", named.instances), ("node", named.nodes)):
            for each in sorted(ids):
                node = _told(kind, each, event) or await self._node(kind, project, each)
                if node is None or not node.id or not node.name:
                    unknown.append(f"the name of {kind} {each} cannot be read")
                else:
                    found |= {node.id, node.name}
        return frozenset(found), unknown

    async def _node(self, kind: str, project: str, name: str) -> Node | None:
        async def read() -> Node | None:
            if kind == "node":
                node = await self._look.node(project, name)
                return node.node if node else None
            instance = await self._look.instance(project, name)
            return instance.node if instance else None

        return await self._nodes.get((kind, name), read)

    async def _projects_of(self, named: Named, event: Event | None) -> tuple[frozenset[str], list[str]]:
        """The ids and names of the projects, and what is not known of them."""
        found, unknown = set(named.projects), []
        if not named.projects and (named.nodes or named.instances):
            unknown.append("it names no project")
        for each in sorted(named.projects):
            known = [await names.named(each, self._clock.now()) for names in self._projects]
            known += [event.project] if event is not None and event.project.id == each else []
            whole = [project for project in known if project.id and project.name]
            found |= {text for project in whole for text in (project.id, project.name)}
            if not whole:
                unknown.append(f"the name of project {each} cannot be read")
        return frozenset(found), unknown


def _told(kind: str, name: str, event: Event | None) -> Node | None:
    """The node as the event's own record has it."""
    if event is None or event.node is None or not event.node.name:
        return None
    own = event.instance.id if kind == "instance" and event.instance else event.node.id
    return event.node if own == name and event.node.id else None


def named_in(write: Write) -> Named:
    """The nodes, instances and projects that a write's target and its parameters name."""
    found = Named()
    target = write.target
    kinds: Mapping[str, set[str]] = {"node": found.nodes, "instance": found.instances, "project": found.projects}
    if target.kind in kinds:
        kinds[target.kind].add(target.id)
    if target.project_id:
        found.projects.add(target.project_id)
    for kind, value in _naming(write.params, ""):
        kinds[kind].add(value)
    found.wide = _wide(write.params)
    return found


def _naming(value: Any, kind: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            by_key = _NAMING.search(str(key))
            inherited = kind if str(key).lower() in _INHERITS else ""
            yield from _naming(item, by_key[1].lower() if by_key else inherited)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _naming(item, kind)
    elif isinstance(value, str) and _BY_SHAPE.fullmatch(value):
        yield "node" if value.startswith("n_") else "instance", value
    elif kind and isinstance(value, str | int) and not isinstance(value, bool) and value != "":
        yield kind, str(value)


def _wide(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(value.get(key) for key in _WIDE) or any(map(_wide, value.values()))
    return isinstance(value, list | tuple) and any(map(_wide, value))
