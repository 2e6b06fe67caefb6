"""Leases of pauses come to their end: their nodes are resumed, by firings like all others.

What is due is found in the store, so that restarts change nothing; whether somebody has touched the node since is read
when it is due, by the firing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Literal

import anyio
import structlog

from phinops.arrive.arrival import Arrival
from phinops.channels import Notices
from phinops.clock import LOOK_AGAIN, Clock
from phinops.course import Courses
from phinops.errors import StoreError, StoreLost
from phinops.event import Event
from phinops.execute.desk import Alarm
from phinops.execute.reverse import is_leased
from phinops.firing import Aftermath, Firing, StepResult
from phinops.pipeline import Pipeline
from phinops.record import journal, leases, reversals
from phinops.record.leases import HOLDS, Ended, Lease
from phinops.record.sqlite import Store
from phinops.record.tx import Snapshot, Tx
from phinops.reversal import STEP, event_of, firing_of

log = structlog.get_logger(__name__)

RETRIES = 12
"""How often a resumption that is refused is tried again: for an hour and a half, longer than any hourly limit lasts."""

SOON = 5.0
"""Seconds between two looks while a node is being resumed."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is to be done about a lease now: nothing, to resume its node, or to end it so, for a reason.

    `tell`: people ought to know.
    """

    what: Literal["", "resume"] | Ended = ""
    reason: str = ""
    tell: bool = False


def standing(lease: Lease, past: Aftermath, others: Collection[Lease], now: datetime) -> Standing:
    """How a lease stands at a moment. `past` is its pause with what followed, `others` are the leases that are open.

    While it is not known what became of the pause, or of a later write on the node, nothing is done.
    """
    if lease.pause in ("failed", "absent"):
        return Standing("void", "its pause was not done")
    if lease.pause == "abandoned":
        return Standing("left", "nobody knows whether it was paused by us", tell=True)
    if lease.pause not in HOLDS:
        return Standing()
    if lease.resuming:
        return _resumed(lease) if lease.resumed_at else Standing()
    anew = next((each for each in others if _takes_over(each, lease)), None)
    if anew is not None:
        return Standing("cancelled", f"the node was paused anew by {anew.action_id}, with a lease of its own")
    later = [each for each in past.later if not is_leased(each)]
    if any(each.state != "done" for each in later):
        return Standing()
    if later:
        last = later[-1]
        said = f"{last.action_id} ({last.api}) came after its pause"
        resumed = last.api == "ResumePhysicalNode"
        return Standing("cancelled", said) if resumed else Standing("left", said, tell=True)
    return Standing("resume") if now >= lease.due else Standing()


def _takes_over(other: Lease, lease: Lease) -> bool:
    """Whether the other lease is of a later pause of the same node: it was running again in between."""
    same = (other.tenant, other.node_id) == (lease.tenant, lease.node_id)
    return same and other.action_id != lease.action_id and other.pause in HOLDS and other.since > lease.since


def _resumed(lease: Lease) -> Standing:
    """What came of the firing that was to resume the node."""
    result = lease.results.get(STEP) or StepResult("unknown", lease.firing_reason)
    if result.outcome in ("verified", "accepted"):
        return Standing("resumed", result.reason)
    if result.outcome in ("timed_out", "failed"):
        return Standing("resumed", f"Dataphin took the resumption and does not show it: {result.reason}", tell=True)
    return Standing("left", result.reason or result.outcome, tell=True)


class Leases:
    """Ends leases. `run` looks after those that are due; `woken` says that there is something to look at."""

    def __init__(
        self,
        store: Store,
        pipeline: Pipeline,
        courses: Courses,
        notices: Notices,
        tenants: Collection[str],
        clock: Clock,
        zone: tzinfo,
        beat: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._pipeline = pipeline
        self._courses = courses
        self._notices = notices
        self._tenants = tenants
        self._clock = clock
        self._zone = zone
        self._beat = beat
        self._look = anyio.Event()

    def woken(self) -> None:
        """A lease was taken, or something has happened that may end one."""
        self._look.set()

    def saw(self, events: Sequence[Event]) -> None:
        """What has been recorded: an action of ours that is settled may be the pause of a lease, or end one."""
        if any(event.type == "action.settled" for event in events):
            self.woken()

    async def run(self) -> None:
        """End leases when they are due, until cancelled.

        Raises:
            StoreLost: another process has taken the store over.
        """
        while True:
            self._look = anyio.Event()
            try:
                wait = await self._look_after()
            except StoreLost:
                raise
            except StoreError as error:
                log.warning("leases.stalled", reason=str(error))
                wait = SOON
            self._beat(2 * LOOK_AGAIN)
            with anyio.move_on_after(self._clock.real(wait)):
                await self._look.wait()

    async def _look_after(self) -> float:
        """Do what is to be done now; seconds until the next look."""
        found = await self._store.read(_open)
        now = self._clock.now()
        wait = LOOK_AGAIN
        everyone = [lease for lease, _ in found]
        for lease, past in found:
            if lease.tenant not in self._tenants:
                continue
            stands = standing(lease, past, everyone, now)
            if stands.what == "resume":
                await self._resume(lease, past)
            elif stands.what:
                await self._end(lease, stands.what, stands)
            if stands.what == "resume" or lease.resuming:
                wait = min(wait, SOON)
            elif lease.due > now:
                wait = min(wait, (lease.due - now).total_seconds())
        return wait

    async def _resume(self, lease: Lease, past: Aftermath) -> None:
        event = event_of(past.action, lease.rule, "lease.ended", self._clock.now().astimezone(self._zone), "")
        firing = firing_of(event, past.action, "resume_node", lease.rule, lease.rule_hash, retry=RETRIES)
        began: list[Firing] = []

        def also(tx: Tx) -> None:
            if leases.begin_end(tx, lease.action_id, firing.id):
                journal.put_firing(tx, firing)
                reversals.put_reversal(
                    tx, firing.id, lease.action_id, "lease", why=f"the lease was over at {lease.due.isoformat()}"
                )
                began.append(firing)

        await self._pipeline.take(Arrival(event.source, event.tenant, (event,)), also=also)
        log.info("lease.ended", node=lease.node_id, action=lease.action_id, firing=firing.id)
        for each in began:
            self._courses.begin(each, event)

    async def _end(self, lease: Lease, how: Ended, stands: Standing) -> None:
        alarm = Alarm(
            f"lease {lease.action_id}",
            "phinops leaves a node as it is" if how == "left" else "A resumed node does not show it",
            f"node {lease.node_id} of project {lease.project_id} was paused by {lease.rule} ({lease.action_id}) until "
            f"{lease.due.astimezone(self._zone).isoformat()}: {stands.reason}. If it is paused, resume it by hand.",
        )

        notices = self._notices.of(lease.tenant, alarm) if stands.tell else ()

        def op(tx: Tx) -> bool:
            changed = leases.end(tx, lease, how, stands.reason)
            for each in notices if changed else ():
                journal.put_notice(tx, each.id, None, 0, each.notifier, each.payload)
            return changed

        if await self._store.write(op):
            log.info("lease.over", node=lease.node_id, action=lease.action_id, how=how, reason=stands.reason)
            self._notices.wake()


def _open(tx: Snapshot) -> list[tuple[Lease, Aftermath]]:
    found = []
    for lease in leases.open_leases(tx):
        past = reversals.aftermath(tx, lease.action_id, lease.resuming)
        if past is not None:
            found.append((lease, past))
    return found
