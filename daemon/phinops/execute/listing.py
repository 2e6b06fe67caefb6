"""How the service is asked for lists of what is looked at."""

from __future__ import annotations

from typing import NamedTuple

from phinops.event import JsonObject, Node
from phinops.execute.steps.flow import Schedule

PAGE_SIZE = 100  # no maximum is documented; sibling APIs name 100, or clamp to it without saying so
LINEAGE_DEPTH = 6  # the deepest that GetInstanceDownStream takes

_LINEAGE_TYPES = {
    "": "DATA_PROCESS",
    "SCRIPT": "DATA_PROCESS",
    "DATA_PROCES": "DATA_PROCESS",  # as the documents spell it in one place
    "LOGICAL_TABLE": "BBOX_LOGIC_TABLE_NODE",
}
"""NodeType of GetInstanceDownStream where a record's type is of a coarser list."""


class Listing(NamedTuple):
    """One list of the service: the API, its query without the page, and where the rows of its reply lie."""

    api: str
    query: JsonObject
    rows: str


class NodeKind(NamedTuple):
    """What ListNodes must be told of a node before it shows it."""

    biz_type: str
    sub_type: str


def node_kind(node: Node) -> NodeKind:
    """What ListNodes must be told to show this node."""
    logical = node.type == "LOGICAL_TABLE" or node.type.startswith("BBOX_") or node.type == "BLACK_BOX"
    return NodeKind("LOGICAL_TABLE" if logical else "SCRIPT", node.sub_type)


def node_listing(project_id: str, kind: NodeKind) -> Listing:
    """The list of a project's nodes of that kind."""
    query = {"ProjectId": int(project_id), "NodeBizType": kind.biz_type, "NodeSubBizTypeList": [kind.sub_type]}
    return Listing("ListNodes", query, "NodeList")


def instance_listing(project_id: str, schedule: Schedule, first: str, last: str) -> Listing:
    """The list of a project's instances of that kind; the business dates are in the form that requests have."""
    query = {"ProjectId": int(project_id), "ScheduleType": schedule, "MinBizDate": first, "MaxBizDate": last}
    return Listing("ListInstances", query, "Data")


def lineage_type(node_type: str) -> str:
    """What GetInstanceDownStream must be told of an instance whose node is of this type."""
    return _LINEAGE_TYPES.get(node_type, node_type)
