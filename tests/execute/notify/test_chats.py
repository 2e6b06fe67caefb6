"""What every chat channel promises, over the fake of each service; and the fakes, over what the services document."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import httpx
import pytest

from fake_receivers import Chat, FeishuRobot, Robot, SlackHook, WeComRobot
from phinops.clock import SystemClock
from phinops.execute.notify.digest import digest, fitting
from phinops.execute.notify.note import Channel, Note, Undelivered
from phinops.execute.notify.post import Post
from phinops.execute.notify.robot import Manner
from phinops.execute.notify.table import Wanted, open_channel
from phinops.execute.notify.wording import WORDINGS
from stillness import NOON

NOTE = Note(
    id="msg_1",
    time=NOON,
    rule="rerun-orders",
    firing_id="fi_1",
    title="订单 dws_orders still fails",
    message="t_1 failed again\nafter a rerun",
    severity="critical",
    event={"tenant": "prod"},
    links={"log": "https://log.example/1"},
)


@dataclass(frozen=True, slots=True)
class Service:
    """One chat service: its fake, and where and how it is reached. `forever` is a code of no hope."""

    kind: str
    fake: Callable[..., Chat]
    url: str
    secret: str | None
    forever: int
    token: str

    def chat(self, *codes: int) -> Chat:
        return self.fake(self.secret, codes=deque(codes))

    async def send(self, chat: Chat, *notes: Note, manner: Manner | None = None, secret: str | None = None) -> None:
        async with Post(transport=httpx.MockTransport(chat)) as post:
            channel = self.channel(post, manner, secret)
            for note in notes:
                await channel.send(note)

    def channel(self, post: Post, manner: Manner | None = None, secret: str | None = None) -> Channel:
        wanted = Wanted(self.url, secret or self.secret, manner or Manner())
        return open_channel(self.kind, wanted, post, SystemClock())


DINGTALK = Service(
    "dingtalk", Robot, "https://oapi.dingtalk.com/robot/send?access_token=t0k3n", "SECf00d", 310000, "t0k3n"
)
FEISHU = Service(
    "feishu", FeishuRobot, "https://open.feishu.cn/open-apis/bot/v2/hook/0123-4567-89", "f00d", 19021, "0123-4567-89"
)
WECOM = Service(
    "wecom", WeComRobot, "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=693a91f6", None, 93000, "693a91f6"
)
SLACK = Service("slack", SlackHook, "https://hooks.slack.com/services/T0/B0/XXXXXXXXXXXX", None, 404, "XXXXXXXXXXXX")
SERVICES = (DINGTALK, FEISHU, WECOM, SLACK)

each_service = pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.kind)


@each_service
async def test_people_read_the_notice_where_it_comes_from_and_its_links(service: Service) -> None:
    chat = service.chat()
    await service.send(chat, NOTE)
    (text,) = chat.texts()
    for part in ("[CRITICAL] 订单 dws_orders still fails", "t_1 failed again", "rerun-orders · prod · fi_1", "log"):
        assert part in text


@each_service
async def test_a_notice_in_chinese_has_chinese_words_around_it(service: Service) -> None:
    chat = service.chat()
    await service.send(chat, NOTE, manner=Manner("zh"))
    (text,) = chat.texts()
    assert "【严重】订单" in text
    assert "日志" in text
    assert "CRITICAL" not in text


@each_service
async def test_a_notice_of_the_daemon_s_own_has_no_line_of_origin(service: Service) -> None:
    chat = service.chat()
    await service.send(chat, replace(NOTE, rule="", firing_id="", event={}, links={}))
    assert "·" not in chat.texts()[0]


@each_service
@pytest.mark.parametrize("message", ["单" * 40_000, "\n" * 30_000, '"\\' * 20_000, "<&>" * 20_000, ""], ids=len)
async def test_what_is_too_long_for_the_service_is_cut_and_taken(service: Service, message: str) -> None:
    chat = service.chat()
    await service.send(chat, replace(NOTE, message=message), replace(NOTE, message=message, links={}))
    assert (len(chat.shown), chat.refused) == (2, 0)
    assert "dws_orders still fails" in chat.texts()[0]
    assert not message or "…" in chat.texts()[0]


@each_service
async def test_a_very_long_title_is_cut_too(service: Service) -> None:
    chat = service.chat()
    await service.send(chat, replace(NOTE, title="单" * 5000))
    assert len(chat.shown) == 1


@each_service
async def test_too_many_messages_are_waited_out(service: Service) -> None:
    with pytest.raises(Undelivered) as caught:
        await service.send(service.chat(service.fake.too_fast), NOTE)  # type: ignore[attr-defined]
    assert caught.value.retry
    assert caught.value.after in (1.0, 60.0)


@each_service
async def test_a_refusal_is_for_good_and_shows_neither_address_nor_secret(service: Service) -> None:
    chat = service.chat(service.forever)
    chat.echo = "no: {url} {secret}"
    with pytest.raises(Undelivered) as caught:
        await service.send(chat, NOTE)
    assert not caught.value.retry
    assert str(service.forever) in caught.value.reason
    assert service.token not in caught.value.reason
    assert not service.secret or service.secret not in caught.value.reason


@each_service
async def test_an_answer_that_is_not_the_service_s_is_no_success(service: Service) -> None:
    async with Post(transport=httpx.MockTransport(lambda _: httpx.Response(200, text="<html>hello</html>"))) as post:
        with pytest.raises(Undelivered):
            await service.channel(post).send(NOTE)


@pytest.mark.parametrize("service", [DINGTALK, FEISHU], ids=lambda service: service.kind)
async def test_a_wrong_secret_is_told_by_the_code_in_the_body(service: Service) -> None:
    with pytest.raises(Undelivered, match=str(service.forever)) as caught:
        await service.send(service.chat(), NOTE, secret="SECother")
    assert not caught.value.retry


@each_service
async def test_those_who_are_to_be_mentioned_are(service: Service) -> None:
    chat = service.chat()
    await service.send(chat, NOTE, manner=Manner(mentions=("13800138000", "u_li", "all")))
    text = chat.texts()[0]
    message = chat.shown[0]
    match service.kind:
        case "dingtalk":
            assert message["at"] == {"atMobiles": ["13800138000"], "atUserIds": ["u_li"], "isAtAll": True}
            assert "@13800138000 @u_li" in text
            assert "[log](https://log.example/1)" in text
        case "feishu":
            assert "<at id=u_li></at> <at id=all></at>" in text
        case "wecom":
            assert message["text"]["mentioned_list"] == ["@all", "13800138000", "u_li"]
        case _:
            assert "<@u_li> <!channel>" in text


async def test_a_dingtalk_notice_with_links_is_a_card_with_buttons() -> None:
    chat = DINGTALK.chat()
    await DINGTALK.send(chat, NOTE, replace(NOTE, links={}))
    card, plain = chat.shown
    assert card["actionCard"]["btns"] == [{"title": "log", "actionURL": "https://log.example/1"}]
    assert plain["msgtype"] == "markdown"


async def test_a_wecom_notice_mentions_people_in_markdown() -> None:
    chat = WECOM.chat()
    await WECOM.send(chat, NOTE, manner=Manner(mentions=("lisi",)))
    assert "<@lisi>" in chat.texts()[0]


@each_service
async def test_a_digest_of_many_names_each_and_fits(service: Service) -> None:
    notes = [replace(NOTE, id=f"m{n}", title=f"dws_table_{n:03d} fails", links={}) for n in range(200)]
    words = WORDINGS["en"]
    async with Post(transport=httpx.MockTransport(chat := service.chat())) as post:
        channel = service.channel(post)
        left, messages = notes, 0
        while left:
            count = fitting(left, channel.form.room, words)
            await channel.send(digest(left[:count], words))
            left, messages = left[count:], messages + 1
            chat.times.clear()  # not how often, but how much is asked here
    told = "\n".join(chat.texts())
    assert all(note.title in told for note in notes)
    assert messages == len(chat.shown) <= 12


# The fakes, held to what the services' documents say


def post_to(chat: Chat, url: str, message: object) -> httpx.Response:
    with httpx.Client(transport=httpx.MockTransport(_sync(chat))) as client:
        return client.post(url, json=message)


def _sync(chat: Chat) -> Callable[[httpx.Request], httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        import asyncio

        return asyncio.run(chat(request))

    return answer


def test_the_fake_robots_take_no_more_in_a_minute_than_the_services() -> None:
    moment = [1_000_000.0]
    cases = {
        "dingtalk": (Robot(clock=lambda: moment[0]), {"msgtype": "markdown", "markdown": {"title": "t", "text": "x"}}),
        "wecom": (WeComRobot(clock=lambda: moment[0]), {"msgtype": "markdown", "markdown": {"content": "x"}}),
    }
    for service in (DINGTALK, WECOM):
        chat, message = cases[service.kind]
        codes = [post_to(chat, service.url, message).json()["errcode"] for _ in range(21)]
        assert codes == [0] * 20 + [chat.too_fast]
        moment[0] += 60.0
        assert post_to(chat, service.url, message).json()["errcode"] == 0


def test_the_fake_feishu_takes_five_a_second_and_a_hundred_a_minute() -> None:
    moment = [1_000_000.0]
    chat = FeishuRobot(clock=lambda: moment[0])
    card = {"header": {"title": {"tag": "plain_text", "content": "t"}}, "elements": [{"tag": "hr"}]}
    message = {"msg_type": "interactive", "card": card}
    assert [post_to(chat, FEISHU.url, message).json()["code"] for _ in range(6)] == [0] * 5 + [11232]
    for _ in range(19):
        moment[0] += 1.0
        assert [post_to(chat, FEISHU.url, message).json()["code"] for _ in range(5)] == [0] * 5
    moment[0] += 1.0
    assert post_to(chat, FEISHU.url, message).json()["code"] == 11232


def test_the_fakes_know_what_is_too_long_and_what_is_no_message() -> None:
    long = {"msgtype": "markdown", "markdown": {"title": "t", "text": "x" * 20_000}}
    assert post_to(Robot(), DINGTALK.url, long).json()["errcode"] == 460101
    assert post_to(Robot(), DINGTALK.url, {"msgtype": "poem"}).json()["errcode"] == 40035
    assert post_to(WeComRobot(), WECOM.url, {"msgtype": "poem"}).json()["errcode"] == 40008
    over = {"msgtype": "markdown", "markdown": {"content": "x" * 4097}}
    assert post_to(WeComRobot(), WECOM.url, over).json()["errcode"] == 40058
    assert post_to(FeishuRobot(), FEISHU.url, {"msg_type": "poem"}).json()["code"] == 9499
    assert post_to(SlackHook(), SLACK.url, {"text": "x" * 40_001}).text == "msg_too_long"
    assert post_to(SlackHook(), SLACK.url, {}).status_code == 400


def test_the_fake_feishu_wants_the_signature_under_time_and_secret() -> None:
    """As its page says: the time and the secret are the key, and nothing is signed."""
    stamp = "1599360473"
    sign = base64.b64encode(hmac.new(f"{stamp}\ndemo".encode(), b"", hashlib.sha256).digest()).decode()
    card = {"header": {"title": {"content": "t"}}, "elements": [{"tag": "hr"}]}
    message = {"timestamp": stamp, "sign": sign, "msg_type": "interactive", "card": card}
    near, late = FeishuRobot("demo", clock=lambda: 1599360474.0), FeishuRobot("demo", clock=lambda: 1599364200.0)
    assert post_to(near, FEISHU.url, message).json()["code"] == 0
    assert post_to(late, FEISHU.url, message).json()["code"] == 19021
    assert post_to(near, FEISHU.url, {**message, "sign": "x"}).json()["code"] == 19021
