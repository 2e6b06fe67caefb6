"""Carries out `notify`: the notice is in the outbox in the transaction that records the step."""

from __future__ import annotations

import hashlib

from phinops.execute.journal import Journal
from phinops.execute.notify.note import note_payload
from phinops.execute.steps.kind import Target, Write
from phinops.execute.steps.notify import NotifyParams
from phinops.execute.walk import Walk, recorded, result_of
from phinops.firing import Intent, Notice, StepResult


class Announcer:
    """The step `notify`."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def do(self, walk: Walk, params: NotifyParams, attempt: int) -> StepResult:
        shadow = walk.firing.mode == "shadow"
        names = list(params.to)
        rendered = {"title": params.title, "message": params.message, "severity": params.severity}
        firing = walk.firing
        payload = note_payload(rendered, rule=firing.rule, firing_id=firing.id, event=walk.scene.event)
        write = Write("notify", "", Target("", ", ".join(names)), payload)
        row = walk.row(attempt, write, outcome="shadow" if shadow else "accepted")
        notices = [Notice(_id_of(firing.id, walk.planned.n, attempt, name), name, payload) for name in names]
        return await recorded(self._journal, row, [] if shadow else notices)

    async def take_up(self, walk: Walk, earlier: Intent) -> StepResult:
        return result_of(earlier)


def _id_of(firing: str, n: int, attempt: int, notifier: str) -> str:
    """The same at every try to record it: one that had to be told before it could be is not told again."""
    text = f"{firing}/{n}/{attempt}/{notifier}"
    return f"msg_{hashlib.sha256(text.encode()).hexdigest()[:32]}"
