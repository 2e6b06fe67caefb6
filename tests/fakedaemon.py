"""A daemon that says what a test tells it to, for the API, and the API on a port, for the command line."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

from anyio.from_thread import start_blocking_portal

from phinops.config import Server
from phinops.event import JsonObject
from phinops.problem import Problem
from phinops.record.audit import Wanted
from phinops.surface.door import door_for
from phinops.surface.listening import bind, serving
from phinops.surface.server import build_app
from phinops.surface.service import Health, QuotaKey, ResolveAs, Samples

STATUS: JsonObject = {
    "ready": True,
    "reasons": [],
    "paused": None,
    "store": {
        "bytes": 35_200_000,
        "file_bytes": 36_000_000,
        "oldest_event": "2026-01-05T08:00:00+08:00",
        "pruned_before": None,
    },
    "tenants": [
        {
            "name": "prod",
            "sources": [
                {"name": "alerts", "state": "good", "last_good": "2026-01-05T00:00:00+00:00", "interval_s": 30.0},
                {"name": "impacts", "state": "resting", "last_good": None, "interval_s": None},
            ],
            "quota": [{"pool": "1+2", "used": 7, "limit": 50_000, "reserve": 10_000}],
        }
    ],
}


QUOTA: JsonObject = {
    "tenant": "prod",
    "tenants": ["prod"],
    "pool": "1+2",
    "day": "2026-01-05",
    "used": 41_000,
    "left": 9_000,
    "limit": 50_000,
    "reserve": 10_000,
    "spent": False,
    "pace_per_hour": 3000.4,
    "runs_out": "2026-01-05T21:00:00+08:00",
    "resets": "2026-01-06T00:00:00+08:00",
    "spenders": [
        {"source": "rules", "rule": "rerun", "api": "GetPhysicalInstance", "calls": 20_500},
        {"source": "alerts", "rule": "", "api": "ListAlertEvents", "calls": 8_200},
    ],
}
UNLIMITED: JsonObject = {
    **QUOTA,
    **{"pool": "3", "left": None, "limit": None, "reserve": None, "runs_out": None, "spenders": []},
}


ACCOUNT: JsonObject = {
    "rule": "rerun",
    "version": "0f2c",
    "event_id": "ev_1",
    "time": "2026-01-05T08:00:00+08:00",
    "outcome": "fired",
    "state": "done",
    "reason": "",
    "mode": "armed",
    "key": "t_1",
    "condition": {
        "kind": "any", "text": "a || b", "holds": True, "reason": "", "decides": False, "values": {},
        "parts": [
            {"kind": "is", "text": "event.instance.paused", "holds": None, "reason": "it is null", "decides": False,
             "values": {}, "parts": []},
            {"kind": "is", "text": "b", "holds": True, "reason": "", "decides": False,
             "values": {"event.node.name": "x", "event.node.paused": None, "event.instance.attempts": 1}, "parts": []},
        ],
    },
    "first_false": "",
    "guards": [],
    "history": None,
    "firing": "fi_1",
    "actions": [
        {"step": "rerun_instance", "step_id": "again", "outcome": "verified", "reason": "it is SUCCESS",
         "api": "OperateInstance", "target": "t_1"},
        {"step": "notify", "step_id": "notify-2", "outcome": "", "reason": "", "api": "", "target": "oncall"},
    ],
}  # fmt: skip


LEASE: JsonObject = {
    "action_id": "act_1", "rule": "freeze", "project_id": "7", "node_id": "n_1", "state": "running", "reason": "",
    "since": "2026-01-05T08:00:00+08:00", "due": "2026-01-05T10:00:00+08:00", "firing_id": "",
}  # fmt: skip
PLAN: JsonObject = {
    "action": "act_1", "step": "resume_node", "api": "ResumePhysicalNode", "target": "n_1", "project_id": "7",
    "params": {"ResumeCommand": {"ProjectId": 7, "NodeIdList": ["n_1"]}}, "tenant": "prod", "rule": "freeze",
}  # fmt: skip
UNDONE: JsonObject = {
    "action": "act_1", "firing_id": "fi_2", "state": "done", "reason": "", "undone_by": "act_2", "outcome": "verified",
}  # fmt: skip


@dataclass
class Reloaded:
    accepted: bool
    problems: tuple[Problem, ...] = ()
    changed: Mapping[str, Any] = field(default_factory=dict)


UNKNOWN: JsonObject = {
    "id": "act_1", "firing_id": "fi_1", "rule": "rerun-once", "step": "rerun_instance", "api": "OperateInstance",
    "target": "t_1", "project": "7", "outcome": "unknown", "reason": "reading the target found the write unclear",
    "firing": "needs_decision", "request": {"Operation": "RERUN"}, "before": {"status": "FAILED"},
    "now": {"status": "RUNNING"}, "found": "applied",
}  # fmt: skip


@dataclass
class FakeResolutions:
    """Knows one action, act_1, and keeps what was said of it; `error` is raised instead."""

    said: list[tuple[str, ...]] = field(default_factory=list)
    error: Exception | None = None
    known: JsonObject = field(default_factory=lambda: UNKNOWN)

    async def look(self, action_id: str) -> JsonObject | None:
        return self.known if action_id == "act_1" else None

    async def resolve(self, action_id: str, answer: ResolveAs, by: str, reason: str) -> JsonObject | None:
        if self.error is not None:
            raise self.error
        self.said.append((action_id, answer, by, reason))
        return {**self.known, "outcome": "accepted", "firing": "running"} if action_id == "act_1" else None


@dataclass
class FakeSwitch:
    """Keeps what it was asked."""

    asked: list[Any]
    error: Exception | None = None

    async def pause(self, by: str, reason: str) -> JsonObject:
        if self.error is not None:
            raise self.error
        self.asked.append(("pause", by, reason))
        return {"at": "2026-01-05T08:00:00+08:00", "by": by, "reason": reason}

    async def resume(self, by: str) -> JsonObject | None:
        self.asked.append(("resume", by))
        return None


@dataclass
class FakeSilences:
    """Keeps what it was asked; `si_1` is there."""

    asked: list[Any]

    async def add(self, parts: Mapping[str, str], ends: datetime, *, author: str, reason: str) -> JsonObject:
        if not parts:
            raise ValueError("say what is to be silenced")
        self.asked.append(("silence", dict(parts), author, reason))
        return {"id": "si_1", "ends": ends.isoformat()}

    async def end(self, silence_id: str, *, by: str) -> bool:
        self.asked.append(("expire", silence_id, by))
        return silence_id == "si_1"

    async def listed(self, limit: int, *, ended: bool = False) -> list[JsonObject]:
        self.asked.append(("silences", limit, ended))
        return []


@dataclass
class FakeNotices:
    """Keeps what it was asked; `msg_1` is dead."""

    asked: list[Any]

    async def listed(self, limit: int, zone: tzinfo, *, state: str = "", notifier: str = "") -> list[JsonObject]:
        self.asked.append(("notices", limit, state, notifier))
        return [{"id": "msg_1", "state": "dead"}]

    async def send_again(self, by: str, id: str = "") -> list[str]:
        self.asked.append(("again", id))
        return ["msg_1"] if id in ("", "msg_1") else []


@dataclass
class FakeService:
    """A daemon that says what the test tells it to, and keeps what it was asked."""

    health: Health = (True, [])
    reloaded: Reloaded = field(default_factory=lambda: Reloaded(True, changed={"added": ["a"]}))
    error: Exception | None = None
    answering: Any = None
    hooked: tuple[int, str] = (202, "")
    copy: str = ""
    asked: list[Any] = field(default_factory=list)
    askers: list[str] = field(default_factory=list)
    pools: list[JsonObject] = field(default_factory=lambda: [QUOTA, UNLIMITED])
    resolutions: FakeResolutions = field(default_factory=FakeResolutions)
    undone: JsonObject = field(default_factory=lambda: UNDONE)
    account: JsonObject = field(default_factory=lambda: ACCOUNT)
    pages: dict[int, JsonObject] = field(default_factory=lambda: {0: {"newest": None, "next": None, "events": []}})

    zone: tzinfo = UTC

    @property
    def notices(self) -> FakeNotices:
        return FakeNotices(self.asked)

    @property
    def silences(self) -> FakeSilences:
        return FakeSilences(self.asked)

    @property
    def kill_switch(self) -> FakeSwitch:
        return FakeSwitch(self.asked, self.error)

    def status(self) -> JsonObject:
        return STATUS

    def ready(self) -> Health:
        return self.health

    def healthy(self) -> Health:
        return self.health

    async def events(self, limit: int, tenant: str = "") -> list[JsonObject]:
        return [{"kind": "event", "limit": limit, "tenant": tenant}]

    async def firings(self, limit: int, tenant: str = "") -> list[JsonObject]:
        return [{"kind": "firing", "limit": limit, "tenant": tenant}]

    async def actions(self, limit: int, tenant: str = "") -> list[JsonObject]:
        if self.error is not None:
            raise self.error
        return [{"kind": "action", "limit": limit, "tenant": tenant}]

    async def leases(self, limit: int, tenant: str = "") -> list[JsonObject]:
        return [{**LEASE, "limit": limit, "tenant": tenant}]

    async def undo_preview(self, action_id: str) -> JsonObject:
        self.asked.append(action_id)
        if self.error is not None:
            raise self.error
        return PLAN

    async def undo(self, action_id: str, who: str, why: str, wait: timedelta) -> JsonObject:
        self.asked.append((action_id, who, why, wait))
        if self.error is not None:
            raise self.error
        return self.undone

    async def recorded(self, tenant: str, since: datetime, after: int, limit: int) -> JsonObject:
        self.asked.append((tenant, since, after, limit))
        return self.pages[after]

    async def audit(self, wanted: Wanted, after: int, limit: int) -> JsonObject:
        self.asked.append((wanted, after, limit))
        return self.pages[after]

    async def backup(self) -> str:
        if self.error is not None:
            raise self.error
        return self.copy

    async def explain(self, name: str, rule: str = "") -> list[JsonObject] | None:
        self.asked.append((name, rule))
        return [self.account] if name.startswith(("ev_", "fi_")) else None

    async def quota(self, by: QuotaKey | None = None, limit: int = 10, tenant: str = "") -> list[JsonObject]:
        self.asked.append((by, limit, tenant))
        if self.error is not None:
            raise self.error
        return self.pools

    async def quota_samples(self) -> Samples:
        if self.error is not None:
            raise self.error
        return {"calls_by_source": [({"source": "alerts", "level": "1"}, 5.0)]}

    async def counts(self) -> JsonObject:
        if self.error is not None:
            raise self.error
        totals = {"events": 4, "firings": 3, "open": 1, "doubled": 0, "leases": 2, "approvals": 2}
        return {**totals, "actions": {"verified": 2}, "notices": {"sent": 1}}

    async def reload(self) -> Reloaded:
        return self.reloaded

    async def call(
        self,
        api: str,
        params: JsonObject,
        wait: timedelta,
        tenant: str | None,
        *,
        override: bool = False,
        by: str = "api",
    ) -> JsonObject:
        self.asked.append((api, params, wait, tenant, *(["override"] if override else [])))
        self.askers.append(by)
        if self.error is not None:
            raise self.error
        return {"Code": "OK"}

    async def hook(self, name: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
        self.asked.append((name, headers["webhook-id"], len(body)))
        return self.hooked

    def metrics_snapshot(self) -> Mapping[str, Iterable[tuple[Mapping[str, str], float]]]:
        return {"events_total": [({"type": "instance.failed"}, 3.0)]}


def config_text(port: int = 1, more: str = "", *, name: str = "prod", before: str = "") -> str:
    """The config of one tenant whose daemon listens on `port`; `before` is what stands before all tables.

    The variables of its secrets are set nowhere.
    """
    return f"""\
{before}[[tenants]]
name = "{name}"
endpoint = "http://127.0.0.1:1"
op_tenant_id = 1
edition = "basic"
access_key_id = {{ env = "PHINOPS_TEST_KEY" }}
access_key_secret = {{ env = "PHINOPS_TEST_KEY" }}
[server]
listen = "127.0.0.1:{port}"
{more}"""


def write_config(folder: Path, port: int, more: str = "", *, name: str = "prod", before: str = "") -> Path:
    """Write the text of a config."""
    path = folder / "phinops.toml"
    path.write_text(config_text(port, more, name=name, before=before), encoding="utf-8")
    return path


@contextmanager
def answering(service: FakeService, token: str = "t0ken") -> Generator[int]:
    """The API of `service` on a free port of loopback, served by another thread."""
    with bind(Server(listen="127.0.0.1:0")) as listener, start_blocking_portal() as portal:
        port: int = listener.getsockname()[1]
        app = build_app(service, door_for(Server(), port, [token]))
        with portal.wrap_async_context_manager(serving(app, listener)):
            yield port
