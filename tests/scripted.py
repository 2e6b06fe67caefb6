"""A scripted Dataphin on the wire of a whole daemon in virtual time: what instances are is written beforehand."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import anyio
import httpx

from phinops.clock import Clock
from phinops.config import Config
from phinops.event import Instance, Node

PROJECT = "7"
LASTS = 60.0
"""Seconds that a rerun takes; then it has succeeded."""


@dataclass(frozen=True, slots=True)
class Change:
    """From a moment on, in seconds of the clock's monotonic time, an instance is in a state."""

    at: float
    status: str


@dataclass(slots=True)
class ScriptedDataphin(httpx.AsyncBaseTransport):
    """Answers reads from the script, and reruns what it is told to; `reruns` counts what arrived.

    A call that has arrived is done, whether or not its caller still waits for the answer.
    """

    clock: Clock
    start: datetime  # when the clock's monotonic time was 0
    script: Mapping[str, Sequence[Change]]
    reruns: Counter[str] = field(default_factory=Counter)
    runs: dict[str, float] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        await anyio.sleep(0.03)
        api = request.headers.get("x-acs-action", "")
        self.asked[api] += 1
        params = dict(parse_qsl(request.url.query.decode())) | dict(parse_qsl(body.decode()))
        answer = {
            "Success": True,
            "Code": "OK",
            "RequestId": f"r{sum(self.asked.values())}",
            **self._answer(api, params),
        }
        await anyio.sleep(0.03)
        return httpx.Response(200, json=answer, request=request)

    def _answer(self, api: str, params: Mapping[str, str]) -> dict[str, Any]:
        match api:
            case "GetPhysicalInstance":
                return {"Instance": self._record(params["InstanceId"])}
            case "OperateInstance":
                ids = [item["Id"] for item in json.loads(params["OperateCommand"])["InstanceIdList"]]
                for each in ids:
                    self.reruns[each] += 1
                    self.runs[each] = self.clock.monotonic()
                return {"InstanceStatusList": [{"Id": each, "Status": "SUCCESS"} for each in ids]}
            case "ListProjects":
                return {"PageResult": {"ProjectList": [], "TotalCount": 0}}
            case "ListAlertEvents":
                return {"ListResult": {"AlertEventList": [], "Data": [], "TotalCount": 0}}
            case _:
                return {"PageResult": {"Data": [], "TotalCount": 0}}

    def instance(self, name: str) -> Instance:
        """The instance as it is now."""
        now, began = self.clock.monotonic(), self.runs.get(name)
        if began is not None:
            over = now - began >= LASTS
            ended = self._moment(began + LASTS) if over else None
            return Instance(name, "SUCCESS" if over else "RUNNING", started_at=self._moment(began), ended_at=ended)
        latest = max((each for each in self.script[name] if each.at <= now), key=lambda each: each.at)
        return self.at(name, latest.status, latest.at)

    def at(self, name: str, status: str, at: float) -> Instance:
        """An instance whose run, begun a minute before, came to its end at that moment."""
        return Instance(name, status, started_at=self._moment(at - 60), ended_at=self._moment(at), attempts=1)

    def _record(self, name: str) -> dict[str, Any]:
        found = self.instance(name)
        times = {"StartExecuteTime": found.started_at, "EndExecuteTime": found.ended_at}
        return {
            "Id": name,
            "StatusList": [found.status],
            "NodeInfo": {"Id": "n_1", "Name": "dws", "Type": "DATA_PROCESS"},
            **{key: int(value.timestamp() * 1000) for key, value in times.items() if value},
        }

    def _moment(self, at: float) -> datetime:
        return self.start + timedelta(seconds=at)


NODE = Node(id="n_1", name="dws", type="DATA_PROCESS")


def make_config(folder: Path, rules: Path) -> Config:
    """The config of a daemon on the script, with one notifier that nobody hears."""
    secrets = {"id": "key", "secret": "secret", "url": "http://127.0.0.1:9/", "hook": "whsec_" + "aGg" * 8}
    for name, value in secrets.items():
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(value, encoding="utf-8")
    never = {"every": "24h"}
    return Config.model_validate(
        {
            "timezone": "Asia/Shanghai",
            "tenants": [
                {
                    "name": "t",
                    "endpoint": "http://127.0.0.1:9",
                    "op_tenant_id": 1,
                    "edition": "basic",
                    "access_key_id": {"file": folder / "id"},
                    "access_key_secret": {"file": folder / "secret"},
                    "sources": {"instances": never, "alerts": never, "impacts": never},
                }
            ],
            "notifiers": {
                "oncall": {"type": "webhook", "url": {"file": folder / "url"}, "secret": {"file": folder / "hook"}}
            },
            "hooks": {"deploy": {"secret": {"file": folder / "hook"}}},
            "rules": {"paths": [rules]},
        }
    )
