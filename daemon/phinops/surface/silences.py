"""Silences over the API: listed, added, ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from phinops.silence import PARTS
from phinops.surface.bodies import json_body, texts_of
from phinops.surface.service import Service

Handler = Callable[[Request], Awaitable[Response]]


def listing(service: Service, limit: Callable[[Request], int]) -> Handler:
    """GET: the newest first; with `ended=true` also those that are over."""

    async def answer(request: Request) -> Response:
        ended = request.query_params.get("ended", "") == "true"
        return JSONResponse(await service.silences.listed(limit(request), ended=ended))

    return answer


def adding(service: Service) -> Handler:
    """POST `{ends, author, reason}` and what is silenced; the silence."""

    async def answer(request: Request) -> Response:
        document = await json_body(request)
        if not all(isinstance(each, str) for each in document.values()):
            raise HTTPException(400, f"`ends`, `author`, `reason`, `tenant`, {', '.join(PARTS)} are texts")
        author, reason = document.pop("author", ""), document.pop("reason", "")
        try:
            ends = _moment(document.pop("ends", ""))
            return JSONResponse(await service.silences.add(document, ends, author=author, reason=reason))
        except ValueError as error:
            raise HTTPException(400, str(error)) from error

    return answer


def ending(service: Service) -> Handler:
    """POST `{by}`: it is over now."""

    async def answer(request: Request) -> Response:
        (by,) = await texts_of(request, by="api")
        name = request.path_params["id"]
        if not await service.silences.end(name, by=by):
            raise HTTPException(404, f"there is no silence «{name}» that is not over")
        return JSONResponse({"ended": name})

    return answer


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("`ends` needs a zone, such as 2026-01-05T08:00:00+08:00")
    return moment
