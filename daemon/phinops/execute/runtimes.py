"""How long runs take, learned from those that were seen to succeed: a verification need not look before its time.

Lengths are the service's own: from a run's start to its end as its record tells them. What is not known of a node is
taken from what the tenant's other runs took lately, and before there are any of these from the run that failed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime

from phinops.event import Instance

OF_ALL, OF_ONE = 50, 5
"""So many runs are remembered of all nodes together, and of one."""

ENOUGH = 5
"""So many runs of other nodes say more than the one that failed, whose end may have come early."""

NODES = 20_000
"""Nodes whose runs are remembered; the oldest goes when there are too many."""

LATER = 1.1
"""No run takes just as long as the one before: the lengths of the node's own are made so much longer."""


class RunTimes:
    """The lengths of runs of one tenant, in seconds, of so many `nodes` at most."""

    def __init__(self, nodes: int = NODES) -> None:
        self._nodes = nodes
        self._all: deque[float] = deque(maxlen=OF_ALL)
        self._by_node: dict[str, deque[float]] = {}
        self._last: dict[str, datetime] = {}

    def saw(self, instance: Instance) -> None:
        """Learn from an instance's record, if it tells of a whole run that succeeded; the same run counts once."""
        begin, end = instance.started_at, instance.ended_at
        if instance.status != "SUCCESS" or begin is None or end is None or end <= begin:
            return
        node = node_of(instance.id)
        if self._last.get(node) == begin:
            return
        if node not in self._by_node and len(self._by_node) >= self._nodes:
            oldest = next(iter(self._by_node))
            del self._by_node[oldest], self._last[oldest]
        length = (end - begin).total_seconds()
        self._all.append(length)
        self._by_node.setdefault(node, deque(maxlen=OF_ONE)).append(length)
        self._last[node] = begin

    def likely(self, instance_id: str, before: Mapping[str, object]) -> Sequence[float]:
        """Lengths that a new run of the instance may have, the shortest first; none where nothing is known.

        `before` is the baseline of the write that began it: what the instance looked like.
        """
        if own := self._by_node.get(node_of(instance_id)):
            return sorted(LATER * each for each in own)
        if len(self._all) >= ENOUGH:
            return sorted(self._all)
        begin, end = _moment(before.get("started_at")), _moment(before.get("ended_at"))
        return [(end - begin).total_seconds()] if begin and end and end > begin else []


def node_of(instance_id: str) -> str:
    """What all instances of a node have in common in ids of the form `t_<node>_<date>_<number>`, else the id.

    That it names the node is only a guess, good for choosing when to look first.
    """
    parts = instance_id.split("_")
    return parts[1] if len(parts) == 4 and parts[0] == "t" else instance_id


def _moment(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) and text else None
