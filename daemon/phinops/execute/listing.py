"""How the service is asked for lists of what is looked at."""

from __future__ import annotations

from typing import NamedTuple

from phinops.event import JsonObject, Node


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
