"""Cron: a rule's due times become events, each once.

What is due is computed from the last due time that was committed, so neither a late tick nor a restart repeats or
loses one; due times that passed while nobody looked are one event, for the latest. The timer wheel only says when to
look again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo

import anyio
import structlog
from cronsim import CronSim, CronSimError

from phinops.arrive.arrival import Arrival, Memory
from phinops.clock import Clock
from phinops.errors import PhinopsError
from phinops.event import Event, JsonObject, Schedule, event_id

log = structlog.get_logger(__name__)

LONGEST_SLEEP = 60.0
"""Seconds after which the wheel looks again in any case: the wall clock may have been set meanwhile."""

TRY_AGAIN = 5.0
"""Seconds until due times that could not be committed are tried again."""


def next_due(cron: str, after: datetime, zone: tzinfo) -> datetime | None:
    """The first due time later than `after`, on the clocks of `zone`; None when there is none in 50 years.

    Of a time that a change of the clocks skips or repeats there is one: the moment after the gap, the first of two.

    Raises:
        ValueError: `cron` is not a cron expression.
    """
    return _step(cron, after.astimezone(zone), zone, reverse=False)


def latest_due(cron: str, after: datetime, until: datetime, zone: tzinfo) -> datetime | None:
    """The last due time later than `after` and not later than `until`, or None.

    Raises:
        ValueError: `cron` is not a cron expression.
    """
    first = next_due(cron, after, zone)
    if first is None or first > until:
        return None
    # The step back starts a second later, because it leaves out the moment that it starts from.
    last = _step(cron, until.astimezone(zone) + timedelta(seconds=1), zone, reverse=True)
    return last if last is not None and first < last <= until else first


def _step(cron: str, start: datetime, zone: tzinfo, *, reverse: bool) -> datetime | None:
    try:
        found = next(CronSim(cron, start, reverse=reverse), None)
    except CronSimError as error:
        raise ValueError(f"«{cron}» is not a cron expression: {error}") from error
    # Moments of one zone compare by their digits, not by what they mean, where the clocks change.
    return found.astimezone(UTC) if found else None


class ScheduleSource:
    """The due times of all rules that have a cron.

    `crons` gives the present expression of each such rule by its id; `zone` is the one that they are meant in.
    """

    name = "schedule"

    def __init__(
        self, tenant: str, memory: Memory, crons: Callable[[], Mapping[str, str]], *, zone: tzinfo, clock: Clock
    ) -> None:
        self._tenant = tenant
        self._memory = memory
        self._crons = crons
        self._zone = zone
        self._clock = clock
        self._look = asyncio.Event()

    async def poll(self, now: datetime) -> Arrival:
        """`schedule.fired` for each rule that became due since the last committed poll.

        A rule that is new, or has a new expression, is due from now on. An expression that cannot be read is logged
        and never due: the rule's check has said so.
        """
        cursor = await self._memory.cursor(self.name) or {}
        past: Mapping[str, JsonObject] = cursor.get("rules", {})
        rules: dict[str, JsonObject] = {}
        events = []
        for rule, cron in self._crons().items():
            known = past.get(rule)
            last = datetime.fromisoformat(known["last"]) if known and known["cron"] == cron else None
            due = self._latest(rule, cron, last, now) if last else None
            if due:
                events.append(self._fired(rule, cron, due))
            rules[rule] = {"cron": cron, "last": (due or last or now.astimezone(UTC)).isoformat()}
        events.sort(key=lambda event: event.time)
        return Arrival(self.name, self._tenant, tuple(events), cursor={"rules": rules})

    def next_look(self, now: datetime) -> datetime:
        """When to poll next: at the next due time of any rule, and after `LONGEST_SLEEP` in any case."""
        latest = now + timedelta(seconds=LONGEST_SLEEP)
        dues = [due for cron in set(self._crons().values()) if (due := self._next(cron, now))]
        return min([latest, *dues])

    def changed(self) -> None:
        """The rules are other ones than before: look at once."""
        self._look.set()

    async def run(self, once: Callable[[datetime], Awaitable[object]]) -> None:
        """Call `once` at the start, whenever a rule is due, and when the rules have changed; until cancelled.

        `once` polls and commits. When it fails, what was due is still due a little later.
        """
        # Half of a start's imports, and only needed by who runs for long.
        from phinops.arrive.wheel import Wheel

        async with Wheel(self._clock, self._wait, self._look.set) as wheel:
            while True:
                self._look.clear()
                good = await self._attempt(once)
                wheel.turn()
                with anyio.move_on_after(None if good else self._clock.real(TRY_AGAIN)):
                    await self._look.wait()

    async def _attempt(self, once: Callable[[datetime], Awaitable[object]]) -> bool:
        try:
            await once(self._clock.now())
        except PhinopsError as error:
            log.warning("schedule.failed", tenant=self._tenant, reason=str(error))
            return False
        return True

    def _wait(self) -> float:
        now = self._clock.now()
        return (self.next_look(now) - now).total_seconds()

    def _latest(self, rule: str, cron: str, last: datetime, now: datetime) -> datetime | None:
        try:
            return latest_due(cron, last, now, self._zone)
        except ValueError as error:
            log.warning("schedule.unreadable", rule=rule, reason=str(error))
            return None

    def _next(self, cron: str, now: datetime) -> datetime | None:
        try:
            return next_due(cron, now, self._zone)
        except ValueError:
            return None

    def _fired(self, rule: str, cron: str, due: datetime) -> Event:
        here = due.astimezone(self._zone)
        return Event(
            id=event_id("schedule", self._tenant, rule, str(int(due.timestamp())), "fired"),
            type="schedule.fired",
            time=here,
            tenant=self._tenant,
            source="schedule",
            raw={"rule": rule},
            schedule=Schedule(cron=cron, due=here),
        )
