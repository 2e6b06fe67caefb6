"""What Dataphin's own logs tell: what was done to a node, and when an instance ran."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import tzinfo

from phinops import vendor
from phinops.execute.steps.kind import NodeOperation, Taskrun


def operations_of(rows: Iterable[vendor.Record], zone: tzinfo) -> Sequence[NodeOperation]:
    """The lines of a node's operation log, newest first.

    Raises:
        ValueError: a line cannot be read.
    """
    lines = [_operation(row, zone) for row in rows]
    return sorted(lines, key=lambda line: line.time.timestamp() if line.time else 0.0, reverse=True)


def taskruns_of(rows: Iterable[vendor.Record], zone: tzinfo) -> Sequence[Taskrun]:
    """The runs of an instance as its log lists them, oldest first, without their texts.

    Raises:
        ValueError: a run cannot be read.
    """
    return [_taskrun(row, zone) for row in rows]


def _operation(row: vendor.Record, zone: tzinfo) -> NodeOperation:
    return NodeOperation(
        type=vendor.read_text(row.get("OperationType"), "OperationType"),
        time=vendor.read_time(row.get("OperationTime"), zone, "OperationTime"),
        operator=vendor.read_text(row.get("Operator"), "Operator"),
    )


def _taskrun(row: vendor.Record, zone: tzinfo) -> Taskrun:
    return Taskrun(
        id=vendor.read_text(row.get("TaskrunId"), "TaskrunId"),
        status=vendor.read_state(row.get("Status"), "Status"),
        started_at=vendor.read_time(row.get("StartTime"), zone, "StartTime"),
        ended_at=vendor.read_time(row.get("EndTime"), zone, "EndTime"),
    )
