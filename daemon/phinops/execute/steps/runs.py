"""The log of an instance's runs, as far as Dataphin shows it."""

from __future__ import annotations

from collections.abc import Sequence

from phinops.errors import Malformed, Refused
from phinops.execute.steps.kind import Look, Target, Taskrun


async def logged_runs(look: Look, target: Target) -> Sequence[Taskrun] | None:
    """The runs of the target, an instance, oldest first; None where Dataphin will not show them, or shows what is none.

    Raises:
        ApiError, QuotaSpent: the log could not be read, and may be later.
    """
    try:
        return await look.taskruns(target.project_id, target.id)
    except (Refused, Malformed):
        return None
