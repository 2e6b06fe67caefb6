"""The wire of a trial: every call is noted and answered at once, as the tenant's state has it or as a test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Any
from urllib.parse import parse_qsl

import httpx

from phinops.catalog.catalog import load_catalog
from phinops.catalog.quotas import level_of
from phinops.clock import Clock
from phinops.decide.testmodel import AnswerModel
from phinops.event import JsonObject
from phinops.surface.socketless import reset, tell_sent
from phinops.surface.trial.answers import answer
from phinops.surface.trial.question import Question, Unknown
from phinops.surface.trial.submitted import submit
from phinops.surface.trial.tenant import Tenant


@dataclass(frozen=True, slots=True)
class Call:
    """A call that arrived, with its parameters and the level whose quota it used."""

    api: str
    level: int
    params: Mapping[str, Any]


@dataclass(slots=True)
class _Otherwise:
    """Answers of an API that a test has asked for; `left` of them, None: all from here on."""

    model: AnswerModel
    left: int | None


@dataclass(slots=True)
class Wire(httpx.AsyncBaseTransport):
    """Carries requests to the tenant. `levels` are those of the config, `dates` is how it writes business dates."""

    tenant: Tenant
    clock: Clock
    zone: tzinfo
    levels: Mapping[str, int]
    dates: str
    calls: list[Call] = field(default_factory=list)
    _others: list[_Otherwise] = field(default_factory=list)

    def answer(self, model: AnswerModel) -> None:
        """Answer calls of an API otherwise, for so many calls; what was asked for first is met first."""
        self._others.append(_Otherwise(model, model.times or None))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer.

        Raises:
            httpx.ReadError: the connection was reset.
        """
        body = await request.aread()
        await tell_sent(request)
        api = request.headers.get("x-acs-action", "")
        params = _params(request.url.query.decode("ascii"), body.decode())
        self.calls.append(Call(api, level_of(load_catalog().require(api), self.levels), params))
        model = _next(self._others, lambda model: model.api == api)
        if model is None or model.body is not None:
            return self._answered(api, params, model.body if model else None)
        if model.error is not None:
            said = {"Success": False, "Code": model.error.code, "Message": model.error.message}
            return self._respond(model.error.status, said)
        if model.fault in ("timeout", "reset"):
            submit(api, self._question(params), lost=True)
        await _lose(model, request)
        if model.fault == "throttle":
            return self._respond(400, {"Success": False, "Code": "Throttling.User", "Message": "too many calls"})
        return self._respond(503, {"Success": False, "Code": "ServiceUnavailable", "Message": "not now"})

    def _answered(self, api: str, params: Mapping[str, Any], body: JsonObject | None) -> httpx.Response:
        try:
            found = {**answer(api, self._question(params)), **(body or {})}
        except Unknown as error:
            if body is None:
                return self._respond(200, {"Success": False, "Code": error.code, "Message": str(error)})
            found = body
        return self._respond(200, {"Success": True, "Code": "OK", "Message": "", **found})

    def _question(self, params: Mapping[str, Any]) -> Question:
        return Question(self.tenant, params, self.clock.now().astimezone(self.zone), self.dates)

    def _respond(self, status: int, document: JsonObject) -> httpx.Response:
        body = {"RequestId": f"R{len(self.calls)}", "HttpStatusCode": status, **document}
        return httpx.Response(status, json=body)


class Elsewhere(httpx.AsyncBaseTransport):
    """Answers what rules ask of others than Dataphin: with 200 and nothing, unless a test says otherwise. Nothing of a
    trial reaches anybody.
    """

    def __init__(self) -> None:
        self._others: list[_Otherwise] = []

    def answer(self, model: AnswerModel) -> None:
        """Answer requests to an address otherwise, for so many of them."""
        self._others.append(_Otherwise(model, model.times or None))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer.

        Raises:
            httpx.ReadError: the connection was reset.
        """
        address = str(request.url).partition("?")[0]
        model = _next(self._others, lambda model: model.http == address)
        if model is None:
            return httpx.Response(200)
        await _lose(model, request)
        status = model.status or 200
        if model.body is None or isinstance(model.body, str):
            return httpx.Response(status, text=model.body or "")
        return httpx.Response(status, json=model.body)


def _next(others: Sequence[_Otherwise], fits: Callable[[AnswerModel], bool]) -> AnswerModel | None:
    """The first answer that fits and is not used up; it is used."""
    found = next((each for each in others if fits(each.model) and each.left != 0), None)
    if found is None:
        return None
    found.left = None if found.left is None else found.left - 1
    return found.model


async def _lose(model: AnswerModel, request: httpx.Request) -> None:
    """Answer never, or lose the connection, where the model says so."""
    if model.fault == "timeout":
        await asyncio.Event().wait()
    if model.fault == "reset":
        raise reset(request)


def _params(query: str, form: str) -> JsonObject:
    """The parameters as they were: those of the form are JSON."""
    found: JsonObject = dict(parse_qsl(query, keep_blank_values=True))
    return {**found, **{name: _parsed(value) for name, value in parse_qsl(form, keep_blank_values=True)}}


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
