"""How instances of one project are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import date, tzinfo
from typing import Any

from phinops.arrive.arrival import ReadApi
from phinops.arrive.paging import ListApi
from phinops.errors import Malformed
from phinops.event import Instance, Node
from phinops.vendor import STATUS_FILTERS, read_instance, read_node, read_object, read_payload


@dataclass(frozen=True, slots=True)
class Row:
    """One instance as the service tells it."""

    instance: Instance
    node: Node
    raw: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Span:
    """Business dates, both included."""

    first: date
    last: date

    def holds(self, biz_date: str) -> bool:
        """Whether an instance of that date, YYYY-MM-DD, is listed; one without a date may be anywhere."""
        return not biz_date or self.first.isoformat() <= biz_date <= self.last.isoformat()


class InstanceList:
    """The scheduled instances of one project."""

    def __init__(self, reader: ReadApi, project_id: str, zone: tzinfo, biz_date_format: str) -> None:
        self._reader = reader
        self._project_id = project_id
        self._zone = zone
        self._biz_date_format = biz_date_format

    def listed(self, span: Span, states: Set[str] = frozenset(), node_id: str = "") -> ListApi:
        """The list of those of `span` in one of `states` (none: in any), of one node or of all."""
        asked: dict[str, Any] = {
            "ProjectId": self._project_id,
            "ScheduleType": "NORMAL",
            "MinBizDate": span.first.strftime(self._biz_date_format),
            "MaxBizDate": span.last.strftime(self._biz_date_format),
        }
        if states:
            asked["RunStatusList"] = [status for state in sorted(states) for status in STATUS_FILTERS[state]]
        if node_id:
            asked["NodeId"] = node_id

        def query(page: int, size: int) -> Mapping[str, Any]:
            return {"ListQuery": {**asked, "Page": page, "PageSize": size}}

        return ListApi("ListInstances", "PageResult", "Data", query, self._read)

    async def get(self, instance_id: str) -> Row:
        """One physical instance.

        Raises:
            ApiError: it was not answered, or the answer cannot be read.
            QuotaSpent: the day has no call left for polls.
        """
        api = "GetPhysicalInstance"
        body = await self._reader.read(api, {"InstanceId": instance_id, "ProjectId": self._project_id})
        try:
            return self._read(read_payload(api, body, "Instance"))[1]
        except ValueError as error:
            raise Malformed(api, "Malformed", f"{error} (Id {instance_id})") from error

    def _read(self, row: object) -> tuple[str, Row]:
        record = read_object(row, "Instance")
        instance = read_instance(record, self._zone)
        return instance.id, Row(instance, read_node(record.get("NodeInfo")), record)
