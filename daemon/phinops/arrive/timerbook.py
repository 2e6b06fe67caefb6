"""Every timer that is set, at hand: what the store has of them, so that nothing must be read for what a poll sees."""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from datetime import datetime, tzinfo

from phinops.arrive.arrival import Arrival, Standing
from phinops.arrive.lasting import Asked, Plan, Timer, asked_anew, entered_at, settled, timers_of
from phinops.event import STATE_EVENTS, Event, Node

Place = tuple[str, str]
"""Tenant and project."""

_ENTERED = frozenset(STATE_EVENTS.values())


class TimerBook:
    """The timers of all tenants. `plan` says what an arrival changes; once that is in the store, `keep` knows it too.

    `zone` is the one in which events tell times. `sooner` is called when a timer is due sooner than all others.
    """

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._places: defaultdict[Place, dict[str, dict[Asked, Timer]]] = defaultdict(dict)
        self._queue: list[tuple[datetime, int, Timer]] = []
        self._order = itertools.count()
        self.sooner: Callable[[], None] = lambda: None

    def plan(self, arrival: Arrival, asked: Collection[Asked], now: datetime) -> Plan:
        """What the arrival means for timers, while rules ask for `asked`.

        Its events count as well as what stands: an instance that was seen to enter a state has left all others.
        """
        plan = Plan()
        if not asked and not self._places:
            return plan
        here = now.astimezone(self._zone)
        seen = {each.instance.id: (each, entered_at(each.instance, here)) for each in arrival.standing}
        seen |= {each.instance.id: (each, event.time) for event in arrival.events if (each := _entering(event))}
        for standing, entered in seen.values():
            before = self._of(arrival.tenant, standing)
            known = _with_past(standing, before)
            wanted = timers_of(asked, arrival.tenant, known, entered)
            settled(before, wanted, known, now, arrival.old, plan)
        plan.drop.extend(timer for timer in self._absent(arrival, asked) if timer.object_id not in seen)
        plan.events.sort(key=lambda event: event.time)
        return plan

    def asked_anew(self, asked: Collection[Asked]) -> Plan:
        """What it means that rules ask for `asked` from now on."""
        plan = Plan()
        for objects in self._places.values():
            for timers in objects.values():
                asked_anew(timers.values(), asked, plan)
        return plan

    def keep(self, plan: Plan) -> None:
        """The plan is in the store."""
        first = self.next_due()
        for timer in plan.drop:
            self._drop(timer)
        for timer in plan.put:
            self._places[timer.place].setdefault(timer.object_id, {})[timer.asked] = timer
            if not timer.told:
                heapq.heappush(self._queue, (timer.due, next(self._order), timer))
        due = self.next_due()
        if due is not None and (first is None or due < first):
            self.sooner()

    def count(self, place: Place) -> int:
        """How many instances of the place have timers."""
        return len(self._places.get(place, ()))

    def next_due(self) -> datetime | None:
        """When the first of the timers that are not told is due."""
        while self._queue and not self.is_set(self._queue[0][2]):
            heapq.heappop(self._queue)
        return self._queue[0][0] if self._queue else None

    def take_due(self, now: datetime) -> list[Timer]:
        """The timers that are due and not told, the first first; whoever takes them has to look."""
        found = []
        while (due := self.next_due()) is not None and due <= now:
            found.append(heapq.heappop(self._queue)[2])
        return found

    def is_set(self, timer: Timer) -> bool:
        """Whether the timer is what is known of its instance still."""
        return self._places.get(timer.place, {}).get(timer.object_id, {}).get(timer.asked) is timer

    def _drop(self, timer: Timer) -> None:
        objects = self._places.get(timer.place, {})
        timers = objects.get(timer.object_id, {})
        timers.pop(timer.asked, None)
        if not timers:
            objects.pop(timer.object_id, None)
        if not objects:
            self._places.pop(timer.place, None)

    def _of(self, tenant: str, standing: Standing) -> Collection[Timer]:
        return self._places.get((tenant, standing.project.id), {}).get(standing.instance.id, {}).values()

    def _absent(self, arrival: Arrival, asked: Collection[Asked]) -> Iterator[Timer]:
        """Timers of instances that the arrival should have seen, or that are gone."""
        roll = arrival.roll
        known = [each for each in asked if roll and roll.states.issuperset(each.states)]
        if roll and known:
            for timers in self._places.get((arrival.tenant, roll.project), {}).values():
                yield from (each for name in known if (each := timers.get(name)) and roll.holds(each.biz_date))
        if arrival.gone:
            for (tenant, _), objects in self._places.items():
                if tenant == arrival.tenant:
                    for object_id in arrival.gone & objects.keys():
                        yield from objects[object_id].values()


def _entering(event: Event) -> Standing | None:
    """What an event says of the state of an instance."""
    if event.instance is None or event.type not in _ENTERED:
        return None
    return Standing(event.project, event.instance, event.node or Node(), event.raw)


def _with_past(standing: Standing, before: Collection[Timer]) -> Standing:
    """The instance with what its timers know of its earlier runs, where it was looked at by itself."""
    timer = next(iter(before), None)
    if standing.instance.attempts is not None or timer is None:
        return standing
    instance = replace(standing.instance, attempts=timer.attempts, previous_status=timer.previous)
    name = standing.project.name or timer.project.name
    return replace(standing, instance=instance, project=replace(standing.project, name=name))
