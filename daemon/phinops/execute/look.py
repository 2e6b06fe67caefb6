"""Reads the live state of instances and nodes in few calls.

Requests that come within a moment are answered together. For one target a Get is cheapest; for several of a project
one page of a list may hold many, so pages are read while they promise to be cheaper than a Get for each of those
still missing. Whatever a list did not show is asked for by itself: pages shift, a Get is the last word.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, tzinfo
from typing import Any, TypeVar

import anyio

from phinops import vendor
from phinops.errors import ApiError, PhinopsError, QuotaSpent, Refused
from phinops.event import JsonObject
from phinops.execute.flows import FlowReader
from phinops.execute.gather import MOMENT, Gather
from phinops.execute.listing import (
    LINEAGE_DEPTH,
    PAGE_SIZE,
    Listing,
    NodeKind,
    instance_listing,
    lineage_type,
    node_kind,
    node_listing,
)
from phinops.execute.memory import remember
from phinops.execute.replies import reading, rows_of
from phinops.execute.steps.flow import Schedule
from phinops.execute.steps.kind import BadStep, InstanceView, NodeOperation, NodeView, Target, Taskrun
from phinops.execute.trails import operations_of, taskruns_of

AT_ONCE = 4  # reads side by side; more would only wait in the limiter
UNKNOWN_INSTANCE = frozenset(
    {
        "DPN.TaskScheduler.Task.TaskNotFoundByTaskId",
        "DPN.TaskScheduler.Task.IllegalTaskIdFormat",
        "DPN.OP.ProjectNotExist",  # the instance is of another project
    }
)
UNKNOWN_NODE = frozenset({"DPN.OP.NodeNotFound", "DPN.OP.NodeNotExist", "DPN.TaskScheduler.Node.IllegalNodeIdFormat"})

UNSETTLED = ("FAILED", "RUNNING")
"""What most instances are that are looked at, and few of a long day: about to be written to, or being followed."""

MANY = 5
"""So many instances that a long list left out are looked for in the short one of those that are unsettled."""

_DATED_ID = re.compile(r"t_[0-9]+_([0-9]{8})_[0-9]+")

Read = Callable[[str, JsonObject], Awaitable[Mapping[str, Any]]]
"""One read of Dataphin: the API and its parameters without OpTenantId and Env, giving the reply's body.

Raises the client's errors; whoever made it has bound the priority.
"""

Judge = Callable[[str, Mapping[str, Any], Mapping[str, Any]], tuple[bool | None, str]]
"""A condition, a reply and what a write was sent with: whether it holds, or None where it cannot be told, and why."""

_View = TypeVar("_View", InstanceView, NodeView)


class Look:
    """The live state of one tenant, as `phinops.execute.steps.kind.Look` asks for it.

    Nothing that may change is cached: a request is answered by calls made after it. `zone` is that of the service's
    texts of time, `biz_date_format` the business unit's partition format, `moment` how many real seconds a request
    waits for others to share its calls. `saw` is told of every instance that was asked for and found.
    `judge` says whether a reply is as a probe's condition wants it.
    """

    def __init__(
        self,
        read: Read,
        zone: tzinfo,
        *,
        biz_date_format: str = "%Y-%m-%d",
        moment: float = MOMENT,
        saw: Callable[[InstanceView], None] = lambda _: None,
        judge: Judge = lambda *_: (None, "nobody here knows what a probe means"),
    ) -> None:
        self._judge = judge
        self._read = read
        self._saw = saw
        self._zone = zone
        self.flows = FlowReader(read, zone, biz_date_format)
        self._instances: Gather[InstanceView] = Gather(self._fetch_instances, moment)
        self._nodes: Gather[NodeView] = Gather(self._fetch_nodes, moment)
        self._biz_dates: dict[str, str] = {}
        self._types: dict[str, str] = {}
        self._kinds: dict[str, NodeKind] = {}
        self._pages: dict[tuple[str, ...], int] = {}

    async def instance(self, project_id: str, instance_id: str) -> InstanceView | None:
        """The instance's record, or None when the service knows no such instance in the project.

        Raises:
            ApiError, QuotaSpent: it could not be read.
        """
        return (await self.instances(project_id, (instance_id,))).get(instance_id)

    async def instances(self, project_id: str, ids: Collection[str]) -> Mapping[str, InstanceView]:
        """The records of those that the service knows, by id; raises as `instance` does."""
        found = await self._instances.ask(project_id, ids) if ids else {}
        for view in found.values():
            self._saw(view)
        return found

    async def node(self, project_id: str, node_id: str) -> NodeView | None:
        """The node, or None when the service knows no such node; raises as `instance` does.

        Its pause flag stands only in the list of nodes, which wants the node's type: the first look at a node costs
        two calls, later ones one. `paused` is None for a node that the list does not show.
        """
        return (await self._nodes.ask(project_id, (node_id,))).get(node_id)

    async def operations(self, node_id: str) -> Sequence[NodeOperation]:
        """The node's operation log, newest first; raises as `instance` does."""
        api = "GetPhysicalNodeOperationLog"
        body = await self._read(api, {"NodeId": node_id})
        with reading(api):
            return operations_of(rows_of(body, "OperationLogList"), self._zone)

    async def shows(
        self, api: str, params: JsonObject, condition: str, sent: Mapping[str, Any]
    ) -> tuple[bool | None, str]:
        """Whether the reply of a read is as the condition says; raises as `instance` does."""
        return self._judge(condition, await self._read(api, params), sent)

    async def taskruns(self, project_id: str, instance_id: str) -> Sequence[Taskrun]:
        """Every run of the instance, oldest first; raises as `instance` does."""
        api = "GetPhysicalInstanceLog"
        body = await self._read(api, {"ProjectId": int(project_id), "InstanceId": instance_id})
        with reading(api):
            return taskruns_of(rows_of(body, "TaskrunLogList"), self._zone)

    async def downstream(self, target: Target) -> int:
        """How many distinct nodes or instances hang below the target, down to `LINEAGE_DEPTH`; never cached.

        Several instances of one node below an instance count each: the reply does not name their nodes.

        Raises:
            BadStep: the target is not an instance or a node, or is not known.
            ApiError, QuotaSpent: the lineage could not be read.
        """
        if target.kind == "instance":
            ids = await self._below_instance(target)
        elif target.kind == "node":
            ids = await self._below_node(target)
        else:
            raise BadStep(f"what hangs below {target.id or 'it'} is not known: it is neither an instance nor a node")
        return len(ids - {target.id, ""})

    async def _below_instance(self, target: Target) -> set[str]:
        api = "GetInstanceDownStream"
        if target.id not in self._types and await self.instance(target.project_id, target.id) is None:
            raise BadStep(f"instance {target.id} is unknown in project {target.project_id}")
        get = {"InstanceId": target.id, "NodeType": lineage_type(self._types[target.id])}
        body = await self._read(api, {"DownStreamDepth": LINEAGE_DEPTH, "InstanceGet": get})
        with reading(api):
            infos = [
                vendor.read_object(row.get("InstanceInfo"), "InstanceInfo")
                for row in rows_of(body, "InstanceRelationList")
            ]
            return {vendor.read_text(info.get("Id"), "InstanceInfo.Id") for info in infos}

    async def _below_node(self, target: Target) -> set[str]:
        api = "ListNodeDownStream"
        query: JsonObject = {"NodeIdList": [{"Id": target.id}], "DownStreamDepth": LINEAGE_DEPTH}
        if target.project_id:
            query["ProjectId"] = int(target.project_id)
        body = await self._read(api, {"ListQuery": query})
        with reading(api):
            return {vendor.read_text(row.get("Id"), "NodeInfoList.Id") for row in rows_of(body, "NodeInfoList")}

    async def _fetch_instances(
        self, project_id: str, ids: Collection[str]
    ) -> Mapping[str, InstanceView | PhinopsError]:
        found: dict[str, InstanceView | PhinopsError] = {}
        by_list: dict[tuple[str, Schedule], set[str]] = defaultdict(set)
        for instance_id in ids:
            biz_date = self._biz_dates.get(instance_id) or _date_within(instance_id)
            by_list[biz_date, self.flows.schedule_of(instance_id)].add(instance_id)
        for (biz_date, schedule), wanted in by_list.items():
            if biz_date:
                await self._list_day_into(found, project_id, biz_date, schedule, wanted)
        await self._get_into(found, ids, lambda each: self._get_instance(project_id, each))
        return found

    async def _list_day_into(
        self,
        found: dict[str, InstanceView | PhinopsError],
        project_id: str,
        biz_date: str,
        schedule: Schedule,
        wanted: set[str],
    ) -> None:
        def view(row: vendor.Record) -> InstanceView:
            return self._instance_view(project_id, row)

        sure = not wanted.isdisjoint(self._biz_dates)
        day = self.flows.dated(biz_date)
        listing = instance_listing(project_id, schedule, day, day)
        key = (project_id, biz_date, schedule)
        await self._list_into(found, key, listing, wanted, view, sure=sure)
        rest = wanted - found.keys()
        if len(rest) >= MANY and self._pages.get(key, 0) > 1:
            few = listing._replace(query={**listing.query, "RunStatusList": [*UNSETTLED]})
            await self._list_into(found, (*key, *UNSETTLED), few, rest, view, sure=False)

    async def _get_instance(self, project_id: str, instance_id: str) -> InstanceView | None:
        api = "GetPhysicalInstance"
        body = await self._read_known(api, {"ProjectId": int(project_id), "InstanceId": instance_id}, UNKNOWN_INSTANCE)
        if body is None or body.get("Instance") is None:
            return None
        with reading(api):
            return self._instance_view(project_id, vendor.read_payload(api, body, "Instance"))

    def _instance_view(self, project_id: str, row: vendor.Record) -> InstanceView:
        instance = vendor.read_instance(row, self._zone)
        node = vendor.read_node(row.get("NodeInfo"))
        remember(self._biz_dates, instance.id, instance.biz_date)
        remember(self._types, instance.id, node.type)
        if node.id and node.sub_type:
            remember(self._kinds, node.id, node_kind(node))
        return InstanceView(instance, node, project_id, dict(row))

    async def _fetch_nodes(self, project_id: str, ids: Collection[str]) -> Mapping[str, NodeView | PhinopsError]:
        found: dict[str, NodeView | PhinopsError] = {}
        got: dict[str, NodeView | PhinopsError] = {}
        strangers = [node_id for node_id in ids if node_id not in self._kinds]
        await self._get_into(got, strangers, lambda each: self._get_node(project_id, each))
        by_kind: dict[NodeKind, set[str]] = defaultdict(set)
        for node_id in ids:
            if node_id in self._kinds:
                by_kind[self._kinds[node_id]].add(node_id)
        for kind, wanted in by_kind.items():
            listing = node_listing(project_id, kind)
            await self._list_into(found, (project_id, *kind), listing, wanted, lambda row: _node_view(project_id, row))
        await self._get_into(found, self._kinds.keys() & set(ids), lambda each: self._search_node(project_id, each))
        # What no list shows is there all the same if a Get says so; its flag is not known.
        rest = [node_id for node_id in ids if node_id not in found and node_id not in strangers]
        await self._get_into(got, rest, lambda each: self._get_node(project_id, each))
        return {**got, **found}

    async def _get_node(self, project_id: str, node_id: str) -> NodeView | None:
        api = "GetPhysicalNode"
        body = await self._read_known(api, {"NodeId": node_id}, UNKNOWN_NODE)
        if body is None or body.get("NodeInfo") is None:
            return None
        with reading(api):
            node = replace(vendor.read_node(vendor.read_payload(api, body, "NodeInfo")), id=node_id)
        if node.sub_type:
            remember(self._kinds, node_id, node_kind(node))
        return NodeView(node, project_id)

    async def _search_node(self, project_id: str, node_id: str) -> NodeView | None:
        """The node by ListNodes' search, which takes a whole id."""
        listing = node_listing(project_id, self._kinds[node_id])
        searched = listing._replace(query={**listing.query, "SearchText": node_id})
        page = await self._page(searched, 1)
        with reading(listing.api):
            return next((_node_view(project_id, row) for row in page.rows if _id_of(row) == node_id), None)

    async def _read_known(self, api: str, params: JsonObject, unknown: Collection[str]) -> Mapping[str, Any] | None:
        """The reply's body; None when it is refused because there is no such thing."""
        try:
            return await self._read(api, params)
        except Refused as error:
            if error.code in unknown:
                return None
            raise

    async def _page(self, listing: Listing, number: int) -> vendor.Page:
        query = {**listing.query, "Page": number, "PageSize": PAGE_SIZE}
        body = await self._read(listing.api, {"ListQuery": query})
        return vendor.read_page(listing.api, body, "PageResult", listing.rows)

    async def _list_into(
        self,
        found: dict[str, _View | PhinopsError],
        key: tuple[str, ...],
        listing: Listing,
        wanted: Collection[str],
        view: Callable[[vendor.Record], _View],
        *,
        sure: bool = True,
    ) -> None:
        """Put into `found` what pages of the list show of `wanted`, while that saves calls.

        `key` is what the number of its pages is remembered under. When a page cannot be read, neither can what is
        still missing. A list of which it is not `sure` that it holds them is left when its first page shows none.
        """
        missing = set(wanted)
        number, size, left = 0, 0, self._pages.get(key, 1)
        while 0 < left < len(missing):
            number += 1
            try:
                page = await self._page(listing, number)
            except (ApiError, QuotaSpent) as error:
                found.update(dict.fromkeys(missing, error))
                return
            found.update(_views(page.rows, missing, view))
            missing -= found.keys()
            size = max(size, len(page.rows))
            left = _pages_left(page, number, size)
            remember(self._pages, key, number + left)
            if not sure and len(missing) == len(wanted):
                return

    async def _get_into(
        self,
        found: dict[str, _View | PhinopsError],
        ids: Iterable[str],
        get: Callable[[str], Awaitable[_View | None]],
    ) -> None:
        """Read each of `ids` that is not in `found`, a few at once; why one could not be read is put in its place."""
        room = anyio.CapacityLimiter(AT_ONCE)

        async def read_one(each: str) -> None:
            async with room:
                try:
                    answer = await get(each)
                except (ApiError, QuotaSpent) as error:
                    found[each] = error
                else:
                    if answer is not None:
                        found[each] = answer

        async with anyio.create_task_group() as group:
            for each in set(ids) - found.keys():
                group.start_soon(read_one, each)


def _id_of(row: Any) -> str:
    """The id of a list's row, "" of one that is none."""
    found = row.get("Id") if isinstance(row, Mapping) else None
    return str(found) if isinstance(found, str | int) else ""


def _views(rows: Sequence[Any], wanted: Collection[str], view: Callable[[vendor.Record], _View]) -> dict[str, _View]:
    """Those of `wanted` that the rows show. One that cannot be read is left out: its own read tells what is wrong."""
    found: dict[str, _View] = {}
    for row in rows:
        each = _id_of(row)
        if each in wanted:
            try:
                found[each] = view(row)
            except ValueError:
                continue
    return found


def _date_within(instance_id: str) -> str:
    """The date that ids of the form `t_<digits>_<yyyymmdd>_<digits>` bear, "" for any other.

    That it is the business date is only a guess, good for choosing where to look first.
    """
    shape = _DATED_ID.fullmatch(instance_id)
    try:
        return date.fromisoformat(shape.group(1)).isoformat() if shape else ""
    except ValueError:
        return ""


def _pages_left(page: vendor.Page, number: int, size: int) -> int:
    """How many pages follow page `number`, if the service keeps to `size`, the most rows that it gave in one."""
    if not page.rows:
        return 0
    if page.total is None:
        return int(len(page.rows) >= PAGE_SIZE)
    return max(0, -(-page.total // size) - number)


def _node_view(project_id: str, row: vendor.Record) -> NodeView:
    paused = vendor.read_flag(row.get("SchedulePaused"), "SchedulePaused")
    return NodeView(replace(vendor.read_node(row), paused=paused), project_id)
