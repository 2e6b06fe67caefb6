"""Alerts that Dataphin pushes through its custom message channel: seen once, at once, and fewer polls for it."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from phinops.config import Hook
from phinops.config.secret import Secret
from phinops.simulate.invent import Size, invent
from phinops.simulate.model import Notification
from phinops.surface.rehearsal.day import MIDNIGHT, ZONE
from phinops.virtual import run
from vigil import Vigil, vigil

LONG = bool(os.environ.get("PHINOPS_LONG"))
HOURS = 24 if LONG else 5
TOKEN = "0123456789"

RULES = """\
rules:
  - id: note-alerts
    on: [alert.opened, alert.repeated]
    mode: shadow
    do:
      - notify: { to: nobody, message: "{{ event.alert.reason }}" }
  - id: note-failures
    on: instance.failed
    mode: shadow
    do:
      - notify: { to: nobody, message: "{{ event.instance.id }}" }
"""


def message(sent: Notification) -> dict[str, Any]:
    """What Dataphin posts of a notification, its metadata as text."""
    alert = sent.alert
    metadata = {
        "event_id": str(alert.id),
        "reason": alert.reason,
        "instance_id": alert.unique_key,
        "node_name": alert.object_name,
        "project_name": alert.project_name,
        # It is sent some seconds after the alert.
        "notify_time": datetime.fromtimestamp(sent.at + 3, ZONE).strftime("%Y-%m-%d %H:%M:%S"),
    }
    kind = {"VDM_BATCH": "BATCH_PROCESS_ALARM", "DQE": "DATA_QUALITY_ALARM"}.get(alert.system, "BASELINE_ALARM")
    return {"message_type": kind, "message_metadata": json.dumps(metadata), "receiver_name": sent.receiver}


def hooked(here: Vigil, folder: Path) -> None:
    """The config of the vigil, with a hook that Dataphin posts to."""
    path = folder / "push-token"
    path.touch(mode=0o600)
    path.write_text(TOKEN)
    hook = Hook(secret=Secret(file=path), auth="bearer", format="dataphin")
    here.config = here.config.model_copy(update={"hooks": {"dataphin": hook}})


async def post(here: Vigil, document: Mapping[str, Any], token: str = TOKEN) -> tuple[int, str]:
    body = json.dumps(document).encode()
    return await here.here.hook("dataphin", {"authorization": f"Bearer {token}"}, body)


async def push(here: Vigil, until: float) -> None:
    """Post every notification, twice, as it is sent: an alert may have several receivers."""
    told = 0
    notifications = here.simulator.tenant.alerts.notifications
    while True:
        await here.clock.sleep(1.0)
        for sent in notifications[told:]:
            if here.clock.now().timestamp() < until:
                assert (await post(here, message(sent)))[0] == 202
                assert (await post(here, {**message(sent), "receiver_name": "somebody else"}))[0] == 202
        told = len(notifications)


def watched(folder: Path, *, pushed_for: float) -> tuple[Vigil, Counter[str], set[str], bool]:
    """The day of a made-up tenant on Agile, of which alerts are pushed for so many hours.

    How often the day's alerts were told to be opened, what alerts there were, and whether pushes flow at the end.
    """

    async def live() -> tuple[Vigil, Counter[str], set[str], bool]:
        made = invent(Size(projects=20, failures=50), 1, "agile")
        start = MIDNIGHT.astimezone(UTC)
        async with vigil(
            folder, RULES, edition="agile", scenario=made.scenario, every="auto", start=False, at=start
        ) as here:
            hooked(here, folder)
            await here.start()
            pushing = asyncio.create_task(push(here, start.timestamp() + 3600 * pushed_for))
            await here.minutes(60 * HOURS)
            # What was raised last is polled in time as well.
            ended = here.clock.now().timestamp()
            await here.minutes(150)
            pushing.cancel()
            opened = Counter(event["alert"]["id"] for event in await here.events("alert.opened"))
            raised = {str(alert.id) for alert in here.simulator.tenant.alerts.rows.values() if alert.first < ended}
            flows = next(watch for watch in here.here._watches if watch.source.name == "alerts").pushes.flow
            return here, opened, raised, flows

    return run(live())


def alert_polls(here: Vigil) -> int:
    return sum(api == "ListAlertEvents" for api, _ in here.calls)


@pytest.mark.long
def test_while_alerts_are_pushed_they_are_polled_far_less_and_each_is_one_event(tmp_path: Path) -> None:
    here, opened, raised, flows = watched(tmp_path, pushed_for=48)
    polled, found, there, _ = watched(tmp_path, pushed_for=0)
    print(f"\n{HOURS} h: {alert_polls(here)} polls of alerts with pushes, {alert_polls(polled)} without")
    assert alert_polls(here) <= 0.4 * alert_polls(polled)
    assert flows
    for seen, all_of_them in ((opened, raised), (found, there)):
        assert all_of_them <= set(seen)
        assert set(seen.values()) == {1}


@pytest.mark.long
def test_nothing_is_missed_when_pushes_stop(tmp_path: Path) -> None:
    _, opened, raised, flows = watched(tmp_path, pushed_for=2)
    assert raised <= set(opened)
    assert set(opened.values()) == {1}
    assert not flows


def test_a_pushed_alert_of_a_failed_run_has_its_project_looked_at_at_once(tmp_path: Path) -> None:
    async def live() -> None:
        async with vigil(tmp_path, RULES, scenario="quiet", every=timedelta(hours=2), start=False) as here:
            hooked(here, tmp_path)
            await here.start()
            project = next(iter(here.simulator.tenant.projects.values()))
            before = sum(api == "ListInstances" for api, _ in here.calls)
            document = {
                "message_type": "BATCH_PROCESS_ALARM",
                "event_id": 4711,
                "reason": "VDM_BATCH_ERROR",
                "instance_id": "t_1_20260104_2",
                "project_id": str(project.id),
                "notify_time": "2026-01-05 09:30:20",
            }
            assert await post(here, document) == (202, "")
            await here.minutes(1)
            (event,) = await here.events("alert.opened")
            assert (event["alert"]["id"], event["project"]["id"]) == ("4711", str(project.id))
            assert len(await here.events("hook.dataphin")) == 1
            assert sum(api == "ListInstances" for api, _ in here.calls) == before + 1

    run(live())


@pytest.mark.parametrize(
    ("document", "token", "status"),
    [
        ({"message_type": "TENANT_NOTICE"}, TOKEN, 202),
        ({"message_type": "BATCH_PROCESS_ALARM"}, TOKEN, 400),
        ({"message_type": "BATCH_PROCESS_ALARM", "message_metadata": "{"}, TOKEN, 400),
        ({"alerts": []}, TOKEN, 400),
        ({"message_type": "TENANT_NOTICE"}, "wrong", 401),
    ],
)
def test_what_is_no_message_of_dataphin_s_is_refused_with_the_reason(
    tmp_path: Path, document: dict[str, Any], token: str, status: int
) -> None:
    async def live() -> None:
        async with vigil(tmp_path, RULES, start=False) as here:
            hooked(here, tmp_path)
            await here.start()
            answer = await post(here, document, token)
            assert answer[0] == status
            assert bool(answer[1]) == (status >= 400)
            assert TOKEN not in answer[1]
            await here.minutes(1)
            assert await here.events("alert.opened") == []

    run(live())
