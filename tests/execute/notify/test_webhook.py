from __future__ import annotations

import base64
from collections import deque

import httpx
import pytest

from fake_receivers import WebhookReceiver
from phinops.clock import SystemClock
from phinops.errors import ConfigError
from phinops.execute.notify.note import Note, Undelivered
from phinops.execute.notify.post import Post
from phinops.execute.notify.table import Wanted, open_channel
from phinops.execute.notify.webhook import WebhookChannel
from stillness import NOON

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()
URL = "https://oncall.example/hook/t0ps3cret"
NOTE = Note(
    id="msg_1",
    time=NOON,
    rule="rerun-orders",
    firing_id="f_1",
    title="订单 still fails",
    message="t_1 failed again",
    severity="critical",
    event={"tenant": "prod/华东", "type": "instance.failed"},
    links={"log": "https://log.example"},
)


async def send(receiver: WebhookReceiver, secret: str = SECRET) -> None:
    async with Post(transport=httpx.MockTransport(receiver)) as post:
        await WebhookChannel(URL, secret, post, SystemClock()).send(NOTE)


async def test_a_notice_is_a_signed_cloud_event() -> None:
    receiver = WebhookReceiver(SECRET)
    await send(receiver)
    assert receiver.ids == ["msg_1"]
    assert receiver.events == [
        {
            "specversion": "1.0",
            "id": "msg_1",
            "source": "/phinops/prod%2F%E5%8D%8E%E4%B8%9C",
            "type": "phinops.notification",
            "subject": "rerun-orders",
            "time": "2026-01-05T12:00:00+00:00",
            "datacontenttype": "application/json",
            "data": {
                "rule": "rerun-orders",
                "firing_id": "f_1",
                "title": "订单 still fails",
                "message": "t_1 failed again",
                "severity": "critical",
                "event": {"tenant": "prod/华东", "type": "instance.failed"},
                "links": {"log": "https://log.example"},
            },
        }
    ]


async def test_a_secret_without_its_prefix_and_padding_is_the_same() -> None:
    receiver = WebhookReceiver(SECRET)
    await send(receiver, SECRET.removeprefix("whsec_").rstrip("="))
    assert len(receiver.events) == 1


async def test_a_refusal_is_passed_on() -> None:
    receiver = WebhookReceiver(SECRET, deque([httpx.Response(503, headers={"retry-after": "9"})]))
    with pytest.raises(Undelivered) as caught:
        await send(receiver)
    assert (caught.value.retry, caught.value.after) == (True, 9.0)


@pytest.mark.parametrize("secret", ["whsec_", "", "whsec_t0ps3cret!"])
async def test_a_secret_that_is_none_is_refused_without_showing_it(secret: str) -> None:
    with pytest.raises(ConfigError) as caught:
        await send(WebhookReceiver(SECRET), secret)
    assert "t0ps3cret" not in str(caught.value)


async def test_channels_are_opened_by_their_type() -> None:
    async with Post() as post:
        clock = SystemClock()
        assert isinstance(open_channel("webhook", Wanted(URL, SECRET), post, clock), WebhookChannel)
        with pytest.raises(ConfigError, match="needs a secret"):
            open_channel("webhook", Wanted(URL), post, clock)
        with pytest.raises(ConfigError, match="no notifier type 'pager'"):
            open_channel("pager", Wanted(URL), post, clock)
