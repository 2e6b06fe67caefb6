"""Every step of rule files by its key."""

from __future__ import annotations

from collections.abc import Mapping

from phinops.execute.steps.approve import APPROVE
from phinops.execute.steps.backfill import BACKFILL
from phinops.execute.steps.call import CALL
from phinops.execute.steps.emit import EMIT
from phinops.execute.steps.fix import FIX_DATA
from phinops.execute.steps.http import HTTP
from phinops.execute.steps.instance import INSTANCE_STEPS
from phinops.execute.steps.kind import Step
from phinops.execute.steps.manual import RUN_MANUAL_NODE
from phinops.execute.steps.node import NODE_STEPS
from phinops.execute.steps.notify import NOTIFY
from phinops.execute.steps.wait import WAIT

_SUBMITTING = (BACKFILL, FIX_DATA, RUN_MANUAL_NODE)

STEPS: Mapping[str, Step] = {
    step.name: step for step in (*INSTANCE_STEPS, *NODE_STEPS, *_SUBMITTING, CALL, NOTIFY, HTTP, WAIT, APPROVE, EMIT)
}
