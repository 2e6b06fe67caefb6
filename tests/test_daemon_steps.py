"""Steps that wait, emit and go outside, in a daemon as a whole."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from loopback import raw, serving
from served import Served, eventually, running

LONG_WAIT = """
rules:
  - id: told-when-mended
    on: instance.failed
    mode: armed
    do:
      - id: mended
        wait: { until: 'event.instance.status == "SUCCESS"', timeout: 10m }
      - if: steps.mended.outcome == "verified" && event.instance.status == "SUCCESS"
        emit:
          type: custom.mended
          data: { node: "{{ event.node.name }}", attempts: "{{ event.instance.attempts }}" }
"""

LISTENER = """
  - id: ticket
    on: custom.mended
    if: event.data.attempts == 1 && event.data.node == "dws_orders_1d"
    mode: armed
    do:
      - id: open
        http:
          url: "URL/tickets"
          headers: { X-Node: "{{ event.data.node }}" }
          body: { node: "{{ event.data.node }}", n: "{{ event.data.attempts }}" }
      - id: look
        if: steps.open.outcome == "accepted"
        http: { url: "URL/tickets/7" }
      - if: steps.look.reason.contains("ready")
        emit: { type: custom.done }
"""


async def _waiting(here: Served) -> None:
    await eventually(
        lambda: here.daemon.firings(9),
        lambda rows: any(row["rule"] == "told-when-mended" and "waits until" in row["reason"] for row in rows),
        "it waits",
    )


async def _mend(here: Served, instance_id: str) -> None:
    command = {"ProjectId": 131001, "Operation": "RERUN", "InstanceIdList": [{"Id": instance_id}]}
    await here.daemon.call("OperateInstance", {"OperateCommand": command}, timedelta(seconds=9), None)


async def _events(here: Served, kind: str) -> list[dict[str, Any]]:
    return [event for event in await here.daemon.events(200) if event["type"] == kind]


async def test_a_wait_outlives_a_reload_and_what_it_emits_wakes_another_rule_that_goes_outside(tmp_path: Path) -> None:
    async with serving(lambda got: raw(b"ready")) as outside:
        listener = LISTENER.replace("URL", outside.url)
        async with running(tmp_path, LONG_WAIT + listener) as here:
            failed = here.simulator.tenant.fail_instance("dws_orders_1d", takes=0.5)
            await _waiting(here)
            here.write_rules("rules:" + listener)
            assert (await here.daemon.reload()).accepted
            await _mend(here, failed.id)
            (mended,) = await eventually(lambda: _events(here, "custom.mended"), bool, "it is emitted")
            assert mended["data"] == {"node": "dws_orders_1d", "attempts": 1}
            await eventually(lambda: _events(here, "custom.done"), bool, "the other rule went through")
            actions = {row["id"]: row for row in await here.daemon.actions(50)}
            assert actions[mended["caused_by"]]["step"] == "emit"
            assert [row["target"] for row in actions.values() if row["step"] == "http"] == [
                f"GET {outside.url}/tickets/7",
                f"POST {outside.url}/tickets",
            ]
        assert [(got.method, got.target) for got in outside.got] == [("POST", "/tickets"), ("GET", "/tickets/7")]
        assert outside.got[0].body == b'{"node": "dws_orders_1d", "n": 1}'
        assert outside.got[0].headers["x-node"] == "dws_orders_1d"


async def test_in_shadow_waits_pass_nothing_is_emitted_and_only_reads_go_outside(tmp_path: Path) -> None:
    rules = """
rules:
  - id: all
    on: instance.failed
    mode: armed
    do:
      - wait: 10m
      - emit: { type: custom.mended }
      - http: { url: "URL/write", body: x }
      - http: { url: "URL/read" }
"""
    async with serving(lambda got: raw(b"ready")) as outside:
        async with running(tmp_path, rules.replace("URL", outside.url), shadow=True) as here:
            here.simulator.tenant.fail_instance("dws_orders_1d", takes=0.5)
            rows = await here.settled(4)
        assert [row["outcome"] for row in reversed(rows)] == ["shadow", "shadow", "shadow", "accepted"]
        assert [got.target for got in outside.got] == ["/read"]


async def test_rules_that_wake_each_other_come_to_an_end(tmp_path: Path) -> None:
    rules = """
rules:
  - id: begin
    on: instance.failed
    do: [ { emit: { type: custom.ping } } ]
  - id: ping
    on: custom.ping
    do: [ { emit: { type: custom.pong } } ]
  - id: pong
    on: custom.pong
    do: [ { emit: { type: custom.ping } } ]
"""
    async with running(tmp_path, rules) as here:
        here.simulator.tenant.fail_instance("dws_orders_1d", takes=0.5)
        firings = await eventually(
            lambda: here.daemon.firings(99),
            lambda rows: any(row["state"] == "skipped" for row in rows),
            "one is skipped",
        )
        skipped = [row for row in firings if row["state"] == "skipped"]
        assert "the rule's own actions fired it 5 times in 24h" in skipped[0]["reason"]
        assert sum(row["rule"] == "ping" and row["state"] == "done" for row in firings) == 6
