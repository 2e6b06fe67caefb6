"""The source `impacts`: which APIs of the data service fail, per data service project.

Cheapest first: one summary a project and window, and detail only where that counts errors. Windows of a fixed length
are laid end to end. The one that has begun is looked at with every poll, so that an API that starts failing is seen
soon; each is looked at until it is over and has settled, and its last count is what `impact.changed` and
`impact.closed` go by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo

from phinops.arrive.arrival import Arrival, Fault, Memory, Part, ReadApi
from phinops.arrive.poll.impactlist import Failing, ImpactList, Window
from phinops.arrive.progress import Forgetting, in_order
from phinops.arrive.projects import ProjectList
from phinops.arrive.sift import Impacted, ImpactSeen, Sifted, Sight, impact_change, recall, seconds, sift_impact
from phinops.errors import ApiError, QuotaSpent
from phinops.event import Api, Impact, JsonObject, Project

SETTLING = timedelta(seconds=60)
"""How long after its end a window is counted for the last time: the service adds calls up by the minute."""

AT_MOST = timedelta(days=7)
"""The longest span to ask for in one call (Alibaba's agent skills advise no more); what is older than that after
downtime is not read any more."""

CATCH_UP = 3
"""So many windows that are over are read one by one; more, after downtime, as one long window."""

DETAILED = 20
"""Of so many APIs that an event is due for are the applications read, a window; those with most errors first."""


@dataclass(slots=True)
class _Look:
    """One project's part of a poll. `states` are those of its APIs, as this poll has moved them so far."""

    project: Project
    asked: ImpactList
    states: dict[str, ImpactSeen]
    next: datetime
    windows: int
    sifted: list[Sifted] = field(default_factory=list)
    moved: dict[str, JsonObject] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


class ImpactSource:
    """The failing APIs of the watched data service projects.

    `window` is the length of a window, of whole seconds; `lookback` how far the first start looks back; `zone` that
    of the service's texts.
    """

    name = "impacts"

    def __init__(
        self,
        tenant: str,
        reader: ReadApi,
        memory: Memory,
        projects: ProjectList,
        *,
        zone: tzinfo,
        window: timedelta = timedelta(minutes=10),
        lookback: timedelta = timedelta(hours=1),
    ) -> None:
        self._tenant = tenant
        self._reader = reader
        self._memory = memory
        self._projects = projects
        self._zone = zone
        self._window = window
        self._lookback = lookback
        self._forgetting = Forgetting()

    async def parts(self, now: datetime) -> Sequence[Part]:
        """The watched data service projects. Raises ApiError, QuotaSpent: they are not known and cannot be read."""
        return [Part(project.id, project.name) for project in await self._projects.watched(now)]

    async def poll(self, now: datetime, part: Part) -> Arrival:
        """What changed in a project since its last poll that was committed.

        Raises:
            ApiError: it was not answered; its windows are read when it is answered again.
            QuotaSpent: the day has no call left for polls.
        """
        past = await self._memory.cursor(f"{self.name}/{part.id}")
        look = await self._look(now, Project(part.id, part.name), past)
        return Arrival(
            source=self.name,
            tenant=self._tenant,
            events=in_order(look.sifted),
            seen=look.moved,
            cursor={"next": seconds(look.next)},
            forget_before=self._forgetting.before(now if past else None, now),
            faults=tuple(replace(fault, where=part.name or part.id) for fault in look.faults),
            calls=look.asked.calls,
            follow_ups=look.asked.calls - look.windows,
            part=part.id,
        )

    async def _look(self, now: datetime, project: Project, past: JsonObject | None) -> _Look:
        here = now.astimezone(self._zone)
        begin = datetime.fromtimestamp(past["next"], UTC).astimezone(self._zone) if past else None
        windows, following = windows_at(here, begin, self._window, here - self._lookback)
        tracked = await self._memory.tracked(self.name, project.id)
        states = {key: state for key, document in tracked.items() if (state := recall(ImpactSeen, document))}
        look = _Look(project, ImpactList(self._reader, project.id, self._zone), states, following, len(windows))
        sight = Sight(self._tenant, here, here, stock=past is None)
        for window in windows:
            await self._read(look, window, sight)
        look.faults += look.asked.faults
        return look

    async def _read(self, look: _Look, window: Window, sight: Sight) -> None:
        failing: list[Failing] = []
        faults = len(look.asked.faults)
        if await look.asked.errors(window):
            failing = await look.asked.failing(window)
        readable = len(look.asked.faults) == faults
        keys = {f"{look.project.id}/{one.api.id}": one for one in failing}
        new = [key for key in keys if key not in look.states]
        if new:
            found = await self._memory.seen(self.name, new)
            look.states |= {key: state for key in new if (state := recall(ImpactSeen, found.get(key)))}
        detailed = 0
        for key, one in keys.items():
            known = look.states.get(key)
            if impact_change(known, seconds(window.start) or 0, one.errors, whole=window.whole):
                detailed += 1
                impacted = await self._detail(look, one, window, within=detailed <= DETAILED)
                _keep(look, key, sift_impact(sight, look.project, one.api, impacted, known))
        if not readable:
            # A row that could not be read may be the API that seems to be quiet.
            return
        quiet = Impact(errors=0, error_rate=0.0, window_start=window.start, window_end=window.end)
        for key, known in [(key, state) for key, state in look.states.items() if key not in keys]:
            api = Api(key.partition("/")[2], known.name)
            _keep(look, key, sift_impact(sight, look.project, api, Impacted(quiet, window.whole), known))

    async def _detail(self, look: _Look, one: Failing, window: Window, *, within: bool) -> Impacted:
        if not within:
            return look.asked.plain(one, window)
        try:
            return await look.asked.detail(one, window)
        except (ApiError, QuotaSpent) as error:
            # That it fails is known, and worth telling without knowing whom it hits.
            look.faults.append(Fault(look.project.name, str(error)))
            return look.asked.plain(one, window)


def windows_at(
    now: datetime, begin: datetime | None, length: timedelta, first: datetime
) -> tuple[list[Window], datetime]:
    """The windows to read now, in order, and where those that are over end.

    `begin` is where the last poll's ended; at the first start, when it is None, everything from `first` on is one
    window. After those that are over come those that are not settled yet, down to the present one.
    """
    over = _aligned(now - SETTLING, length)
    if begin is None:
        begin = min(max(first, over - AT_MOST), over)
        step = over - begin
    else:
        # A clock that was set back leaves the windows where they are.
        over = max(over, begin)
        begin = max(begin, over - AT_MOST)
        step = length if over - begin <= CATCH_UP * length else over - begin
    windows = []
    while begin < over:
        windows.append(Window(begin, min(begin + step, over), whole=True))
        begin += step
    return windows + _begun(now, over, length), over


def _begun(now: datetime, over: datetime, length: timedelta) -> list[Window]:
    """The windows that are not counted for the last time yet, the newest two of them: the last is the present one."""
    starts = []
    while over < now:
        starts.append(over)
        over += length
    return [Window(start, min(now, start + length), whole=False) for start in starts[-2:]]


def _aligned(moment: datetime, length: timedelta) -> datetime:
    size = int(length.total_seconds())
    return datetime.fromtimestamp(int(moment.timestamp()) // size * size, moment.tzinfo)


def _keep(look: _Look, key: str, sifted: Sifted) -> None:
    if sifted.state is None:
        return
    look.sifted.append(sifted)
    look.moved[key] = sifted.state
    look.states[key] = ImpactSeen(**sifted.state)
