"""One event of each family, and what a firing knows beside its event."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from phinops.event import Alert, Api, App, Event, Impact, Instance, Node, Owner, Project, Schedule
from phinops.firing import StepResult
from settings import SHANGHAI

NOW = datetime(2026, 1, 5, 8, tzinfo=SHANGHAI)

FAILED = Event(
    id="ev_1",
    type="instance.failed",
    time=NOW - timedelta(minutes=5),
    tenant="prod",
    source="instances",
    project=Project("7", "mart"),
    raw={"NodeInfo": {"Id": "n_1", "Tags": ["a", 2, None]}, "Big": 1234567890123456789, "Ratio": 0.5},
    instance=Instance("t_1", "FAILED", "RUNNING", "2026-01-04", started_at=NOW - timedelta(hours=1), attempts=1),
    node=Node("n_1", "dws_orders", owners=(Owner("1", "li"), Owner("2", "wang"))),
)
HOOK = Event("ev_2", "hook.deploy", NOW, "prod", "hooks", body={"ok": True, "list": [], "n": 3})
ALERT = Event("ev_3", "alert.opened", NOW, "prod", "alerts", alert=Alert("a_1", params={"owner": "li"}, times=2))
IMPACT = Event(
    "ev_4", "impact.opened", NOW, "prod", "impacts", api=Api("9"),
    impact=Impact(errors=3, error_rate=0.25, apps=(App("k", "shop", 3),), window_end=NOW),
)  # fmt: skip
DUE = Event("ev_5", "schedule.fired", NOW, "", "schedule", schedule=Schedule("0 8 * * *", NOW))

STEPS = {"rerun": StepResult("failed", "it failed again")}
VARS: Mapping[str, Any] = {"most": 3, "teams": ["dws", "ads"], "deep": {"x": {"y": None}}}
