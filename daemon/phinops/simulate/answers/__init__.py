"""What the tenant answers: the APIs with full trees from its state, all others with their envelope."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phinops.catalog.catalog import ENVELOPE, ApiSpec
from phinops.simulate.answers.alerts import ALERTS
from phinops.simulate.answers.call import Answerer, Call, Payload
from phinops.simulate.answers.data_service import DATA_SERVICE
from phinops.simulate.answers.instances import INSTANCES
from phinops.simulate.answers.nodes import NODES
from phinops.simulate.answers.projects import PROJECTS
from phinops.simulate.answers.submissions import SUBMISSIONS

ANSWERS: Mapping[str, Answerer] = {
    **ALERTS,
    **DATA_SERVICE,
    **INSTANCES,
    **NODES,
    **PROJECTS,
    **SUBMISSIONS,
}
"""Who answers what."""

_EMPTY: Mapping[str, Any] = {"string": "", "integer": 0, "number": 0, "boolean": True, "object": {}}


def answer(spec: ApiSpec, call: Call) -> Payload:
    """The payload of one call, without the envelope.

    Raises:
        Refusal: the tenant does not do it.
    """
    answerer = ANSWERS.get(spec.name)
    if answerer is not None:
        return answerer(call)
    if not spec.reads:
        project_id = call.arguments.get("ProjectId")
        call.tenant.record(spec.name, "", project_id if isinstance(project_id, int) else 0, "")
    return {field.name: _empty(field.name, field.type) for field in spec.response if field.name not in ENVELOPE}


def _empty(name: str, kind: str) -> Any:
    if kind.startswith("array") or (kind == "any" and name.endswith(("List", "Lists"))):
        return []
    if kind == "any" and name.endswith("Id"):
        return 0
    return _EMPTY.get(kind, {})
