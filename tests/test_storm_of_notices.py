"""Five hundred failures in a minute through each chat service: few messages, none refused, every failure told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from fake_receivers import Chat, FeishuRobot, Robot, SlackHook, WeComRobot
from phinops.channels import Notices
from phinops.clock import LoopClock
from phinops.config import Notifier
from phinops.config.secret import Secret
from phinops.execute.notify.post import Post
from phinops.record import journal
from phinops.record.sqlite import Store
from phinops.virtual import run
from worlds import START

ADDRESSES = {
    "dingtalk": "https://oapi.dingtalk.com/robot/send?access_token=x",
    "feishu": "https://open.feishu.cn/open-apis/bot/v2/hook/x",
    "wecom": "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=693a91f6",
    "slack": "https://hooks.slack.com/services/T0/B0/x",
}
FAILURES = 500


def most_within(span: float, moments: Sequence[float]) -> int:
    return max(sum(at - span < other <= at for other in moments) for at in moments)


def notifier(folder: Path, kind: Any) -> Notifier:
    path = folder / "url"
    path.touch(0o600)
    path.write_text(ADDRESSES[kind])
    return Notifier(type=kind, url=Secret(file=path))


async def storm(chat: Chat, clock: LoopClock, config: Notifier, deaths: Sequence[float]) -> dict[str, int]:
    """What became of the notices; at each of `deaths`, in seconds, the deliveries are cut off and begin anew."""
    async with Store.open(":memory:", clock) as store, Post(transport=httpx.MockTransport(chat)) as post:

        def told(n: int) -> dict[str, str]:
            return {"title": f"dws_{n:03d} fails", "message": f"t_{n} failed again", "rule": "tell"}

        async def fail() -> None:
            for n in range(FAILURES):
                await store.write(lambda tx, n=n: journal.put_notice(tx, f"m{n}", None, 0, "oncall", told(n)))  # type: ignore[misc]
                await clock.sleep(60.0 / FAILURES)

        async with anyio.create_task_group() as group:
            group.start_soon(fail)
            ends = [*deaths, 400.0]
            for seconds in (end - begin for begin, end in zip([0.0, *ends], ends, strict=False)):
                notices = Notices({"oncall": config}, store, post, clock)
                with anyio.move_on_after(seconds):
                    async with anyio.create_task_group() as life:
                        life.start_soon(notices.run)
                        while True:
                            await clock.sleep(0.5)
                            notices.wake()
        return await store.read(lambda tx: {row["state"]: row["n"] for row in tx.all("notice_counts")})


@pytest.mark.parametrize("deaths", [(), (20.0, 21.5, 50.0)], ids=["undisturbed", "killed three times"])
@pytest.mark.parametrize(
    ("kind", "fake"), [("dingtalk", Robot), ("feishu", FeishuRobot), ("wecom", WeComRobot), ("slack", SlackHook)]
)
def test_every_failure_is_told_and_no_message_is_refused(
    tmp_path: Path, kind: str, fake: Any, deaths: Sequence[float]
) -> None:
    async def main() -> tuple[Chat, dict[str, int]]:
        clock = LoopClock(START - timedelta(seconds=asyncio.get_running_loop().time()))
        chat: Chat = fake(clock=lambda: clock.now().timestamp())
        return chat, await storm(chat, clock, notifier(tmp_path, kind), deaths)

    chat, states = run(main())
    assert sum(states.values()) == FAILURES
    assert set(states) == {"sent", "merged"}
    assert chat.refused == 0
    for span, most in chat.limits.items():
        assert most_within(span, chat.times) <= most
    told = "\n".join(chat.texts())
    assert all(f"dws_{n:03d} fails" in told for n in range(FAILURES))
