"""A scripted Dataphin for the sources' tests: rows in, the service's own pages out; and a memory that is JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from phinops.arrive.arrival import Arrival
from phinops.event import Event, JsonObject

ZONE = ZoneInfo("Asia/Shanghai")
START = datetime(2026, 1, 5, 12, 0, tzinfo=ZONE)

Answer = Mapping[str, Any] | Exception
Script = Callable[[Mapping[str, Any]], Answer]


def text(moment: datetime) -> str:
    return moment.astimezone(ZONE).strftime("%Y-%m-%d %H:%M:%S")


def millis(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


@dataclass
class FakeDataphin:
    """Answers each API by its script, and keeps what it was asked."""

    scripts: dict[str, Script] = field(default_factory=dict)
    asked: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    async def read(self, api: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        self.asked.append((api, params))
        answer = self.scripts[api](params)
        if isinstance(answer, Exception):
            raise answer
        return {"Success": True, "Code": "OK", "RequestId": "r-1", **answer}

    def calls(self, api: str) -> list[Mapping[str, Any]]:
        return [params for name, params in self.asked if name == api]


def paged(
    rows: Sequence[Any], query: Mapping[str, Any], *, page: str = "Page", clamp: int = 10_000
) -> tuple[list[Any], int]:
    """The page of `rows` that `query` asks for, and their count; pages are cut to `clamp` rows."""
    size = min(query["PageSize"], clamp)
    start = (query[page] - 1) * size
    return list(rows[start : start + size]), len(rows)


def projects(*names: str) -> Script:
    """ListProjects of projects 101, 102, … with these names."""
    rows = [{"Id": 101 + place, "Name": name, "Mode": "BASIC"} for place, name in enumerate(names)]

    def answer(params: Mapping[str, Any]) -> Answer:
        found, total = paged(rows, params["ListQuery"], page="PageNo")
        return {"PageResult": {"ProjectList": found, "TotalCount": total}}

    return answer


class FakeMemory:
    """What was committed, kept as JSON text as a store does."""

    def __init__(self) -> None:
        self.states: dict[tuple[str, str], str] = {}
        self.cursors: dict[str, str] = {}
        self.events: list[Event] = []

    def commit(self, arrival: Arrival) -> list[Event]:
        for key, state in arrival.seen.items():
            self.states[arrival.source, key] = json.dumps(state)
        self.cursors[arrival.place] = json.dumps(arrival.cursor)
        known = {event.id for event in self.events}
        fresh = [event for event in arrival.events if event.id not in known]
        assert len(fresh) == len(arrival.events), "an event that was committed before came again"
        self.events += fresh
        return fresh

    async def seen(self, source: str, ids: Sequence[str]) -> Mapping[str, JsonObject]:
        return {key: json.loads(self.states[source, key]) for key in ids if (source, key) in self.states}

    async def tracked(self, source: str, project: str = "") -> Mapping[str, JsonObject]:
        states = {key: json.loads(state) for (name, key), state in self.states.items() if name == source}
        return {
            key: state for key, state in states.items() if state.get("open") and project in ("", state.get("project"))
        }

    async def cursor(self, place: str) -> JsonObject | None:
        return json.loads(self.cursors[place]) if place in self.cursors else None


def kinds(events: Sequence[Event]) -> list[str]:
    return [event.type for event in events]
