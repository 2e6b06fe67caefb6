"""A poll that takes a call or more for each project: one that fails does not stop the others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from phinops.arrive.arrival import Fault
from phinops.errors import ApiError, PhinopsError, QuotaSpent
from phinops.event import Project

AT_ONCE = 4
"""So many projects are read at the same time."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Round(Generic[T]):
    """What became of each project, by id: one or the other, or neither when the day's calls ended before it."""

    looks: dict[str, T] = field(default_factory=dict)
    errors: dict[str, PhinopsError] = field(default_factory=dict)

    def faults(self, projects: Iterable[Project], partial: Callable[[T], Sequence[Fault]]) -> tuple[Fault, ...]:
        """What is missing, under the names of the projects."""
        found: list[Fault] = []
        for project in projects:
            name = project.name or project.id
            if project.id in self.looks:
                found += [replace(fault, where=name) for fault in partial(self.looks[project.id])]
            elif project.id in self.errors:
                found.append(Fault(name, str(self.errors[project.id])))
        return tuple(found)


async def each_project(projects: Sequence[Project], look: Callable[[Project], Awaitable[T]]) -> Round[T]:
    """Look at the projects in this order, `AT_ONCE` at a time, until the day's calls are spent.

    Raises:
        ApiError: no project was answered.
        QuotaSpent: the day had no call left for the first.
        StoreError: what was seen before cannot be read.
    """
    done: Round[T] = Round()

    async def attempt(project: Project) -> None:
        try:
            done.looks[project.id] = await look(project)
        except PhinopsError as error:
            done.errors[project.id] = error

    for start in range(0, len(projects), AT_ONCE):
        async with asyncio.TaskGroup() as group:
            for project in projects[start : start + AT_ONCE]:
                group.create_task(attempt(project))
        if not all(isinstance(error, ApiError) for error in done.errors.values()):
            break
    fatal = [error for error in done.errors.values() if not isinstance(error, ApiError | QuotaSpent)]
    if done.errors and not done.looks:
        fatal += done.errors.values()
    if fatal:
        raise fatal[0]
    return done
