"""What the replies to batch writes say of each item, and what refusals mean."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from typing import Any

from phinops.errors import Refused
from phinops.event import JsonObject
from phinops.execute.steps.kind import BATCH_LIMIT, ItemAnswer, Write


def merged_ids(writes: Sequence[Write]) -> tuple[str, list[str]]:
    """The project and the distinct target ids of writes that share a batch, in order.

    Raises:
        ValueError: they do not belong into one call.
    """
    if len({(write.batch, write.api) for write in writes}) != 1 or not writes[0].batch:
        raise ValueError("only writes of one batch travel in one call")
    ids = list(dict.fromkeys(write.target.id for write in writes))
    if len(ids) > BATCH_LIMIT:
        raise ValueError(f"{len(ids)} targets in one call, at most {BATCH_LIMIT}")
    return writes[0].target.project_id, ids


def lone_params(writes: Sequence[Write]) -> JsonObject:
    """The parameters of a write that travels alone.

    Raises:
        ValueError: there are several, or none.
    """
    if len(writes) != 1:
        raise ValueError(f"{len(writes)} writes in a call for one")
    return writes[0].params


def item_answers(rows: Any, key: str) -> dict[str, ItemAnswer]:
    """Each row's answer by the id under `key`.

    Only SUCCESS is documented for `Status`, so an item counts as refused when it bears an error message or its status
    speaks of failure; any other status is taken as accepted.
    """
    found = [row for row in rows if isinstance(row, Mapping) and row.get(key)] if isinstance(rows, list) else []
    return {str(row[key]): _answer(row) for row in found}


def _answer(row: Mapping[str, Any]) -> ItemAnswer:
    status = str(row.get("Status") or "")
    message = str(row.get("ErrorMessage") or "").strip()
    if message or "FAIL" in status.upper():
        return ItemAnswer(False, message or status)
    return ItemAnswer(True)


def says_met(error: Refused, met_codes: Set[str]) -> bool:
    """Whether the refusal names one of the codes as a whole word, as `DPN.TaskScheduler.Task.TaskRunning` does."""
    return not met_codes.isdisjoint(re.findall(r"\w+", f"{error.code} {error.message}"))
