"""Which projects are watched, and what their names are: read once a day, and again when a name is not known."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

import anyio
import structlog

from phinops.arrive.arrival import ReadApi
from phinops.arrive.paging import ListApi, read_all
from phinops.errors import ApiError, Malformed, QuotaSpent
from phinops.event import JsonObject, Project
from phinops.vendor import read_id, read_list, read_object, read_text

log = structlog.get_logger(__name__)

REFRESH = timedelta(days=1)
ASK_AGAIN = timedelta(minutes=10)
"""A name that is not known is asked for at most this often, for all names together."""

Wanted = Literal["all"] | Sequence[str]
Fetch = Callable[[], Awaitable[Mapping[str, Project]]]
"""Reads all projects, under their ids and under every name."""


class Kept(Protocol):
    """Keeps a document over restarts. Raises StoreError."""

    async def load(self) -> JsonObject | None:
        """What was saved, or None."""
        ...

    async def save(self, document: JsonObject) -> None:
        """Keep it."""
        ...


class ProjectList:
    """The watched projects out of those that the service lists.

    `wanted` is "all" or ids and names. An entry that is a number is watched even when the service does not list it
    (a key may be allowed to read a project's instances and not the list); a name that it does not list is logged.
    `kept` holds the list over restarts, which thus cost no calls.
    """

    def __init__(self, fetch: Fetch, wanted: Wanted, kept: Kept | None = None) -> None:
        self._fetch = fetch
        self._wanted = wanted
        self._kept = kept
        self._by_name: Mapping[str, Project] = {}
        self._read_at: datetime | None = None
        self._tried_at: datetime | None = None
        self._recalled = False
        self._reading = anyio.Lock()

    async def watched(self, now: datetime) -> tuple[Project, ...]:
        """The projects to poll, by id.

        Raises:
            ApiError: they were never read, and the list is needed.
            QuotaSpent: the same, for want of calls.
        """
        async with self._reading:
            await self._recall()
            if self._read_at is None or now - self._read_at >= REFRESH:
                await self._refresh(now, needed=self._read_at is None and not self._all_ids())
        if self._wanted == "all":
            found = {project.id: project for project in self._by_name.values()}
        else:
            found = {project.id: project for name in self._wanted if (project := self._pick(name))}
        return tuple(found[key] for key in sorted(found))

    async def numbered(self, project_id: str, now: datetime) -> Project | None:
        """The watched project of that id, None for any other; raises as `watched` does."""
        return next((each for each in await self.watched(now) if each.id == project_id), None)

    async def named(self, name: str, now: datetime) -> Project:
        """The project of that name, watched or not; with an empty id when the service does not list it."""
        if name and name not in self._by_name:
            # Whoever asks first is waited for: another source's answer, once under way, knows the name too.
            async with self._reading:
                await self._recall()
                if name not in self._by_name and self._may_ask(now):
                    await self._refresh(now, needed=False)
        return self._by_name.get(name, Project(name=name))

    async def _recall(self) -> None:
        """What an earlier process read, once."""
        if self._kept is None or self._recalled or self._read_at is not None:
            return
        document = await self._kept.load()
        self._recalled = True
        if document:
            self._by_name = {name: Project(*project) for name, project in document["projects"].items()}
            self._read_at = datetime.fromisoformat(document["read_at"])

    async def _keep(self, now: datetime) -> None:
        if self._kept is not None:
            projects = {name: [project.id, project.name] for name, project in self._by_name.items()}
            await self._kept.save({"read_at": now.isoformat(), "projects": projects})

    def _may_ask(self, now: datetime) -> bool:
        return self._tried_at is None or now - self._tried_at >= ASK_AGAIN

    def _all_ids(self) -> bool:
        return self._wanted != "all" and all(name.isdecimal() for name in self._wanted)

    async def _refresh(self, now: datetime, *, needed: bool) -> None:
        if not needed and not self._may_ask(now):
            return
        self._tried_at = now
        try:
            self._by_name = await self._fetch()
        except (ApiError, QuotaSpent) as error:
            if needed:
                raise
            log.warning("projects.unreadable", reason=str(error))
            return
        self._read_at = now
        await self._keep(now)
        if self._wanted != "all":
            for name in self._wanted:
                if not self._pick(name):
                    log.warning("project.unknown", project=name)

    def _pick(self, name: str) -> Project | None:
        return self._by_name.get(name) or (Project(id=name) if name.isdecimal() else None)


def _index(projects: Mapping[str, tuple[Project, tuple[str, ...]]]) -> Mapping[str, Project]:
    """By every name that a person or an alert may use; an id is never taken by another project's name."""
    named = {name: project for project, names in projects.values() for name in names if name}
    return named | {project.id: project for project, _ in projects.values()}


def tenant_projects(reader: ReadApi, wanted: Wanted, env: str, kept: Kept | None = None) -> ProjectList:
    """The projects of a tenant, by ListProjects.

    Of a pair of projects for development and production only the one of `env` is listed: the other has no
    instances in it.
    """

    def query(page: int, size: int) -> Mapping[str, Any]:
        return {"ListQuery": {"PageNo": page, "PageSize": size}}

    def read(row: object) -> tuple[str, tuple[Project, tuple[str, ...]] | None]:
        record = read_object(row, "Project")
        project = Project(id=read_id(record), name=read_text(record.get("Name"), "Name"))
        paired = read_text(record.get("Mode"), "Mode") == "DEV_PROD"
        if paired and read_text(record.get("Env"), "Env") not in ("", env):
            return project.id, None
        return project.id, (project, (read_text(record.get("DisplayName"), "DisplayName"), project.name))

    async def fetch() -> Mapping[str, Project]:
        listing = await read_all(reader, ListApi("ListProjects", "PageResult", "ProjectList", query, read))
        return _index({key: found for key, found in listing.values.items() if found})

    return ProjectList(fetch, wanted, kept)


def data_service_projects(reader: ReadApi, wanted: Wanted, kept: Kept | None = None) -> ProjectList:
    """The data service projects of the key's owner: those that are his, and those that he is authorized for."""

    async def fetch() -> Mapping[str, Project]:
        found = await _members(reader, "GetDataServiceMyProjects")
        try:
            found |= await _members(reader, "GetDataServiceAuthorizedProjects")
        except ApiError as error:
            log.warning("projects.unreadable", reason=str(error))
        return _index(found)

    return ProjectList(fetch, wanted, kept)


async def _members(reader: ReadApi, api: str) -> dict[str, tuple[Project, tuple[str, ...]]]:
    body = await reader.read(api, {})
    found: dict[str, tuple[Project, tuple[str, ...]]] = {}
    for row in _rows(api, body):
        try:
            record = read_object(row, "ProjectList")
            project = Project(read_id(record, "ProjectId"), read_text(record.get("ProjectName"), "ProjectName"))
        except ValueError as error:
            log.warning("source.row_skipped", api=api, reason=str(error))
            continue
        found[project.id] = (project, (project.name,))
    return found


def _rows(api: str, body: Mapping[str, Any]) -> Sequence[Any]:
    try:
        return read_list(body.get("ProjectList"), "ProjectList")
    except ValueError as error:
        raise Malformed(api, "Malformed", str(error)) from error
