"""The other sides of the channels, as small servers that check what they are sent as their documents say."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import httpx
from standardwebhooks.webhooks import Webhook, WebhookVerificationError


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
class Robot:
    """A DingTalk robot with additional signature; `codes` are given in turn, then 0. `texts` are those it showed."""

    secret: str | None
    codes: deque[int] = field(default_factory=deque)
    texts: list[str] = field(default_factory=list)
    message: str = "not now, {query}"

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        query = {name: values[0] for name, values in parse_qs(request.url.query.decode(), strict_parsing=True).items()}
        if self.codes:
            text = self.message.format(query=request.url.query.decode())
            return httpx.Response(200, json={"errcode": self.codes.popleft(), "errmsg": text})
        if self.secret is not None and query.get("sign") != self._sign(query.get("timestamp", "")):
            return httpx.Response(200, json={"errcode": 310000, "errmsg": "sign not match"})
        message = json.loads(await request.aread())
        assert message["msgtype"] == "text"
        self.texts.append(message["text"]["content"])
        return httpx.Response(200, json={"errcode": 0, "errmsg": "ok"})

    def _sign(self, timestamp: str) -> str:
        assert self.secret is not None
        text = f"{timestamp}\n{self.secret}".encode()
        return base64.b64encode(hmac.new(self.secret.encode(), text, hashlib.sha256).digest()).decode()


__all__ = ["Robot", "WebhookReceiver", "WebhookVerificationError"]
