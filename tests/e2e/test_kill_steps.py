"""kill -9 while a rule waits, and while a request of its own is under way."""

from __future__ import annotations

from pathlib import Path

import pytest

from loopback import HANG, Got, raw, serving
from phinops.clock import SystemClock
from phinops.simulate import serve
from running import Running, write_config
from served import QUICK

RULES = """
rules:
  - id: ask
    on: instance.failed
    mode: armed
    do:
      - id: rest
        wait: 3s
      - http: { url: "URL/tickets", body: { node: "{{ event.node.name }}" } }
        retry: 3
        on_error: continue
      - emit: { type: custom.asked }
"""


@pytest.mark.serial
async def test_a_wait_goes_on_and_a_request_whose_answer_is_lost_is_not_sent_again(tmp_path: Path) -> None:
    def hang(got: Got) -> bytes:
        return HANG if got.target == "/tickets" else raw(b"")

    async with serving(hang) as outside, serve("quiet", clock=SystemClock()) as simulator:
        daemon = Running(write_config(tmp_path, simulator, RULES.replace("URL", outside.url), QUICK))
        try:
            daemon.start()
            await daemon.until(lambda: daemon.ready, "ready")
            simulator.tenant.fail_instance("dws_orders_1d", takes=0.5)
            await daemon.until(lambda: daemon.count("SELECT count(*) FROM step WHERE state = 'waiting'") == 1, "waits")
            daemon.kill()
            daemon.start()
            await daemon.until(lambda: len(outside.got) == 1, "the request is under way")
            assert daemon.count("SELECT count(*) FROM step WHERE state = 'intent' AND kind = 'http'") == 1
            daemon.kill()
            daemon.start()
            await daemon.until(
                lambda: daemon.count("SELECT count(*) FROM event WHERE type = 'custom.asked'") == 1, "ok"
            )
            assert daemon.count("SELECT count(*) FROM step WHERE outcome = 'unknown' AND kind = 'http'") == 1
            assert daemon.count("SELECT count(*) FROM step WHERE kind = 'wait'") == 1
            assert await daemon.stop() == 0
        finally:
            daemon.abandon()
        assert len(outside.got) == 1
