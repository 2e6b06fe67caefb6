"""The other sides of the channels, as small servers that check what they are sent as their documents say."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import parse_qs

import httpx
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from phinops.clock import SystemClock

Clock = Callable[[], float]
"""Seconds since 1970."""


@dataclass(slots=True)
class WebhookReceiver:
    """Verifies Standard Webhooks signatures; `answers` are given in turn, then 200. `events` are those it took."""

    secret: str
    answers: deque[httpx.Response | Exception] = field(default_factory=deque)
    events: list[dict[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.ids.append(request.headers["webhook-id"])
        if self.answers:
            answer = self.answers.popleft()
            if isinstance(answer, Exception):
                raise answer
            return answer
        event = Webhook(self.secret).verify(await request.aread(), dict(request.headers))
        assert request.headers["content-type"] == "application/cloudevents+json"
        self.events.append(event)
        return httpx.Response(204)


@dataclass(slots=True)
class Chat:
    """A group with a robot. `refused` counts the messages that it did not show, `codes` are given in turn before.

    `shown` are the messages as they came, `times` when. `limits` are spans in seconds with the most messages in each.
    """

    secret: str | None = None
    clock: Clock = field(default_factory=lambda: lambda: SystemClock().now().timestamp())
    codes: deque[int] = field(default_factory=deque)
    shown: list[Mapping[str, Any]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    refused: int = 0
    echo: str = "not now, {url}"

    limits: ClassVar[Mapping[float, int]] = {60.0: 20}
    too_fast: ClassVar[int]

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        code, text = self._judge(request, body)
        if code:
            self.refused += 1
            return self.answer(code, text)
        self.shown.append(json.loads(body))
        self.times.append(self.clock())
        return self.answer(0, "ok")

    def _judge(self, request: httpx.Request, body: bytes) -> tuple[int, str]:
        if self.codes:
            return self.codes.popleft(), self.echo.format(url=request.url, secret=self.secret)
        now = self.clock()
        if any(sum(at > now - span for at in self.times) >= most for span, most in self.limits.items()):
            return self.too_fast, "too many messages"
        return self.check(request, body)

    def check(self, request: httpx.Request, body: bytes) -> tuple[int, str]:
        """The code of a message that does not come too fast, 0 when it is as it should be, and what is said of it."""
        raise NotImplementedError

    def answer(self, code: int, text: str) -> httpx.Response:
        """The robot's answer, which is HTTP 200 whatever happened."""
        return httpx.Response(200, json={"errcode": code, "errmsg": text})

    def texts(self) -> list[str]:
        """What people read, a text a message."""
        return [self.text(message) for message in self.shown]

    def text(self, message: Mapping[str, Any]) -> str:
        """All of a message that people read."""
        raise NotImplementedError


class Robot(Chat):
    """A DingTalk robot."""

    too_fast = 130101

    def check(self, request: httpx.Request, body: bytes) -> tuple[int, str]:
        query = {name: values[0] for name, values in parse_qs(request.url.query.decode(), strict_parsing=True).items()}
        if self.secret is not None and not self._is_signed(query):
            return 310000, "sign not match"
        if len(body) > 20_000:
            return 460101, "message too long"
        message = json.loads(body)
        kind = message.get("msgtype")
        if kind == "markdown" and message["markdown"]["title"] and message["markdown"]["text"]:
            return 0, ""
        if kind == "actionCard" and message["actionCard"]["text"] and _has_buttons(message["actionCard"]["btns"]):
            return 0, ""
        return 40035, "invalid parameter"

    def _is_signed(self, query: Mapping[str, str]) -> bool:
        assert self.secret is not None
        stamp = query.get("timestamp", "0")
        digest = hmac.new(self.secret.encode(), f"{stamp}\n{self.secret}".encode(), hashlib.sha256).digest()
        right = query.get("sign") == base64.b64encode(digest).decode()
        return right and abs(int(stamp) / 1000 - self.clock()) < 3600

    def text(self, message: Mapping[str, Any]) -> str:
        body = message.get("markdown") or message["actionCard"]
        return "\n".join([body["text"], *(f"[{each['title']}]" for each in body.get("btns", ()))])


def _has_buttons(buttons: list[Mapping[str, str]]) -> bool:
    return bool(buttons) and all(each["title"] and each["actionURL"].startswith("http") for each in buttons)


class FeishuRobot(Chat):
    """A custom robot of Feishu."""

    limits: ClassVar[Mapping[float, int]] = {60.0: 100, 1.0: 5}
    too_fast = 11232

    def check(self, request: httpx.Request, body: bytes) -> tuple[int, str]:
        if len(body) > 20 * 1024:
            return 9499, "Bad Request: body too large"
        message = json.loads(body)
        if self.secret is not None and not self._is_signed(message):
            return 19021, "sign match fail or timestamp is not within one hour from current time"
        card = message.get("card") if message.get("msg_type") == "interactive" else None
        if not card or not card["header"]["title"]["content"] or not card["elements"]:
            return 9499, "Bad Request"
        return 0, ""

    def _is_signed(self, message: Mapping[str, Any]) -> bool:
        stamp = str(message.get("timestamp", "0"))
        digest = hmac.new(f"{stamp}\n{self.secret}".encode(), b"", hashlib.sha256).digest()
        right = message.get("sign") == base64.b64encode(digest).decode()
        return right and abs(int(stamp) - self.clock()) < 3600

    def answer(self, code: int, text: str) -> httpx.Response:
        return httpx.Response(200, json={"code": code, "msg": text, "data": {}})

    def text(self, message: Mapping[str, Any]) -> str:
        card = message["card"]
        parts = [card["header"]["title"]["content"]]
        for element in card["elements"]:
            parts += [element["content"]] if element["tag"] == "markdown" else []
            parts += [f"[{each['text']['content']}]" for each in element.get("actions", ())]
        return "\n".join(parts)


class WeComRobot(Chat):
    """A robot of a WeCom group; its key is in its address."""

    too_fast = 45009
    key: ClassVar[str] = "693a91f6"

    def check(self, request: httpx.Request, body: bytes) -> tuple[int, str]:
        if request.url.params.get("key") != self.key:
            return 93000, "invalid webhook url"
        message = json.loads(body)
        most = {"markdown": 4096, "text": 2048}.get(message.get("msgtype"))
        if most is None:
            return 40008, "invalid message type"
        return (40058, "content exceed max length") if len(self.text(message).encode()) > most else (0, "")

    def text(self, message: Mapping[str, Any]) -> str:
        return str(message[message["msgtype"]]["content"])


class SlackHook(Chat):
    """An incoming webhook of Slack: it answers by the status, and with a word."""

    limits: ClassVar[Mapping[float, int]] = {1.0: 2}
    """One a second; a short burst is allowed, and how short is not said."""
    too_fast = 429

    def check(self, request: httpx.Request, body: bytes) -> tuple[int, str]:
        message = json.loads(body)
        if not message.get("text"):
            return 400, "no_text"
        return (400, "msg_too_long") if len(message["text"]) > 40_000 else (0, "")

    def answer(self, code: int, text: str) -> httpx.Response:
        headers = {"retry-after": "1"} if code == 429 else {}
        return httpx.Response(code or 200, text=text, headers=headers)

    def text(self, message: Mapping[str, Any]) -> str:
        return str(message["text"])


__all__ = [
    "Chat",
    "FeishuRobot",
    "Robot",
    "SlackHook",
    "WeComRobot",
    "WebhookReceiver",
    "WebhookVerificationError",
]
