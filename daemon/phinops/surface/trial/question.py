"""One call that arrives in a trial, and what it is answered when its object is not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from phinops.event import JsonObject
from phinops.surface.trial.tenant import Tenant


class Unknown(Exception):
    """There is no such object; `code` is Dataphin's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Question:
    """One call that arrived: its parameters, on which tenant and when. `dates` is how business dates are written."""

    tenant: Tenant
    params: Mapping[str, Any]
    now: datetime
    dates: str


def page(rows: Sequence[JsonObject], query: Mapping[str, Any], name: str) -> JsonObject:
    """The page that is asked for, its rows under `name`."""
    size = int(query.get("PageSize") or len(rows) or 1)
    first = (int(query.get("Page") or 1) - 1) * size
    return {"PageResult": {name: list(rows[first : first + size]), "TotalCount": len(rows)}}
