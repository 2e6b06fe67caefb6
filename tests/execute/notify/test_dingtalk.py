from __future__ import annotations

from collections import deque

import httpx
import pytest

from fake_receivers import Robot
from phinops.clock import SystemClock
from phinops.errors import ConfigError
from phinops.execute.notify.dingtalk import DingTalkChannel, signature
from phinops.execute.notify.note import Note, Undelivered
from phinops.execute.notify.post import Post
from phinops.execute.notify.table import Wanted, open_channel
from stillness import NOON

SECRET = "SECf00dfeed"
URL = "https://oapi.dingtalk.com/robot/send?access_token=t0k3n"
NOTE = Note(
    id="msg_1",
    time=NOON,
    rule="rerun-orders",
    firing_id="f_1",
    title="订单 still fails",
    message="t_1 failed again",
    severity="critical",
    event={"tenant": "prod"},
    links={"log": "https://log.example"},
)


async def send(robot: Robot, secret: str | None = SECRET, url: str = URL) -> None:
    async with Post(transport=httpx.MockTransport(robot)) as post:
        await DingTalkChannel(url, secret, post, SystemClock()).send(NOTE)


async def refusal(robot: Robot) -> Undelivered:
    with pytest.raises(Undelivered) as caught:
        await send(robot)
    return caught.value


async def test_a_notice_is_a_signed_card() -> None:
    robot = Robot(SECRET)
    await send(robot)
    assert robot.texts() == [
        "### [CRITICAL] 订单 still fails\n\nt_1 failed again\n\n> rerun-orders · prod · f_1\n[log]"
    ]


async def test_a_robot_without_a_secret_gets_no_signature() -> None:
    robot = Robot(None)
    await send(robot, None)
    assert len(robot.shown) == 1


async def test_an_address_without_a_query_is_signed_too() -> None:
    robot = Robot(SECRET)
    await send(robot, url="https://proxy.example/robot")
    assert len(robot.shown) == 1


def test_the_signature_is_the_documented_one() -> None:
    """The value was made with the openssl command line."""
    assert signature("SECf00dfeed", 1700000000000) == "VzBbZAwVQRSLSIxrHnrSXcCbJL2Yss1teM%2BqBYC%2BQWA%3D"


@pytest.mark.parametrize("code", [130101, 410100])
async def test_a_rate_limit_is_waited_out_for_a_minute(code: int) -> None:
    error = await refusal(Robot(SECRET, codes=deque([code])))
    assert (error.retry, error.after) == (True, 60.0)


async def test_a_busy_robot_is_tried_again() -> None:
    error = await refusal(Robot(SECRET, codes=deque([-1])))
    assert (error.retry, error.after) == (True, None)


async def test_the_robot_s_text_is_shown_without_secrets() -> None:
    error = await refusal(Robot(SECRET, codes=deque([300005]), echo="token is not exist {url} SECf00dfeed"))
    assert not error.retry
    assert error.reason.startswith("errcode 300005: token is not exist")
    assert "t0k3n" not in error.reason
    assert SECRET not in error.reason


@pytest.mark.parametrize("body", ["<html>", "[]", '{"errmsg": "ok"}', '{"errcode": null}', '"errcode"'])
async def test_an_answer_that_is_no_robot_s_is_tried_again(body: str) -> None:
    async with Post(transport=httpx.MockTransport(lambda _: httpx.Response(200, text=body))) as post:
        with pytest.raises(Undelivered, match="not one of DingTalk's") as caught:
            await DingTalkChannel(URL, SECRET, post, SystemClock()).send(NOTE)
    assert caught.value.retry


async def test_a_secret_that_is_no_robot_s_is_refused_without_showing_it() -> None:
    async with Post() as post:
        with pytest.raises(ConfigError) as caught:
            DingTalkChannel(URL, "whsec_abc", post, SystemClock())
        assert "whsec_abc" not in str(caught.value)
        assert isinstance(open_channel("dingtalk", Wanted(URL), post, SystemClock()), DingTalkChannel)
