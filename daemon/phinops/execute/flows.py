"""Reads what was submitted once and then lives on by itself: backfills, fixes and manual runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date, tzinfo
from typing import Any

from phinops import vendor
from phinops.event import Instance, JsonObject
from phinops.execute.listing import LINEAGE_DEPTH, PAGE_SIZE, Listing, instance_listing, lineage_type
from phinops.execute.memory import remember
from phinops.execute.replies import reading, rows_of
from phinops.execute.steps.flow import Dagrun, Days, Schedule, Submission


class FlowReader:
    """What one tenant submitted, as `phinops.execute.steps.flow.Flows` asks for it.

    Nothing that may change is cached. `zone` is that of the service's texts of time, `biz_date_format` the business
    unit's partition format.
    """

    def __init__(
        self,
        read: Callable[[str, JsonObject], Awaitable[Mapping[str, Any]]],
        zone: tzinfo,
        biz_date_format: str,
    ) -> None:
        self._read = read
        self._zone = zone
        self._biz_date_format = biz_date_format
        self._schedules: dict[str, Schedule] = {}
        self._made: dict[str, Sequence[str]] = {}
        self._jobs: dict[str, Submission] = {}

    def dated(self, biz_date: str) -> str:
        """A business date, YYYY-MM-DD, in the form that this tenant's requests have."""
        return date.fromisoformat(biz_date).strftime(self._biz_date_format)

    def schedule_of(self, instance_id: str) -> Schedule:
        """Which list shows the instance, as far as it is known."""
        return self._schedules.get(instance_id, "NORMAL")

    async def of_node(
        self, project_id: str, node_id: str, schedule: Schedule, days: Days, most: int
    ) -> Sequence[Instance] | None:
        """The node's instances of that kind on these business dates; None where there are more than `most`.

        Raises:
            ApiError, QuotaSpent: they could not be read; so all the others do.
        """
        listing = instance_listing(project_id, schedule, self.dated(days.first), self.dated(days.last))
        found = await self._listed(listing._replace(query={**listing.query, "NodeId": node_id}), most)
        for each in found or ():
            remember(self._schedules, each.id, schedule)
        return found

    async def of_flow(self, project_id: str, schedule: Schedule, flow_id: str) -> Sequence[str]:
        """The ids of the instances in the project that the flow consists of, empty while it has none.

        Which they are is asked for until there are some, and remembered then.
        """
        if flow_id not in self._made:
            query = {"ProjectId": int(project_id), "ScheduleType": schedule, "FlowId": flow_id}
            found = await self._listed(Listing("ListInstances", query, "Data"), PAGE_SIZE)
            ids = tuple(each.id for each in found or ())
            if not ids:
                return ()
            for each in ids:
                remember(self._schedules, each, schedule)
            remember(self._made, flow_id, ids)
        return self._made[flow_id]

    async def below(self, instance_id: str, node_type: str) -> Sequence[Instance]:
        """The instances that hang below, down to `LINEAGE_DEPTH`, nearest first, each with its id and status."""
        api = "GetInstanceDownStream"
        get = {"InstanceId": instance_id, "NodeType": lineage_type(node_type)}
        body = await self._read(api, {"DownStreamDepth": LINEAGE_DEPTH, "InstanceGet": get})
        with reading(api):
            rows = rows_of(body, "InstanceRelationList")
            rows.sort(key=lambda row: vendor.read_count(row.get("DownStreamDepth"), "DownStreamDepth") or 0)
            found = {each.id: each for each in map(_related, rows)}
        return [each for each in found.values() if each.id != instance_id]

    async def submission(self, job_id: str) -> Submission:
        """How far a job has come that makes a flow; once it has one, that is remembered."""
        if job_id in self._jobs:
            return self._jobs[job_id]
        api = "GetOperationSubmitStatus"
        body = await self._read(api, {"JobId": job_id})
        row = vendor.read_payload(api, body, "OperationSubmitJob")
        with reading(api):
            found = Submission(
                vendor.read_text(row.get("OperationStatus"), "OperationStatus").upper(),
                vendor.read_text(row.get("ExternalBizId"), "ExternalBizId"),
            )
        if found.flow_id:
            remember(self._jobs, job_id, found)
        return found

    async def dagruns(self, flow_id: str) -> Sequence[Dagrun]:
        """The dagruns of a backfill, one for each business date."""
        api = "GetSupplementDagrun"
        body = await self._read(api, {"SupplementId": flow_id})
        with reading(api):
            return [self._dagrun(row) for row in rows_of(body, "DagrunList")]

    async def _listed(self, listing: Listing, most: int) -> list[Instance] | None:
        """All that the list shows, page by page; None where there are more than `most`."""
        found: dict[str, Instance] = {}
        number = seen = 0
        while True:
            number += 1
            query = {**listing.query, "Page": number, "PageSize": PAGE_SIZE}
            body = await self._read(listing.api, {"ListQuery": query})
            page = vendor.read_page(listing.api, body, "PageResult", listing.rows)
            with reading(listing.api):
                found |= {each.id: each for each in (vendor.read_instance(row, self._zone) for row in page.rows)}
            seen += len(page.rows)
            if max(page.total or 0, len(found)) > most:
                return None
            if not page.rows or (seen >= page.total if page.total is not None else len(page.rows) < PAGE_SIZE):
                return list(found.values())

    def _dagrun(self, row: vendor.Record) -> Dagrun:
        return Dagrun(
            vendor.read_biz_date(row.get("BizDate"), self._zone),
            vendor.read_text(row.get("Status"), "Status").upper(),
        )


def _related(row: vendor.Record) -> Instance:
    info = vendor.read_object(row.get("InstanceInfo"), "InstanceInfo")
    return Instance(id=vendor.read_id(info), status=vendor.read_state(row.get("RunStatus"), "RunStatus"))
