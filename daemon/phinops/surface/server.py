"""The daemon over HTTP: health, metrics, the API and the hooks, inside the daemon's own loop."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, get_args

import anyio
import anyio.to_thread
import structlog
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from phinops.answering import Said
from phinops.approval import Via
from phinops.durations import parse_duration
from phinops.errors import NotUndone, StoreError
from phinops.record.audit import Wanted
from phinops.surface import asked, metrics, openapi, silences
from phinops.surface.bodies import bounded_body, json_body, texts_of
from phinops.surface.door import Door, HostCheck
from phinops.surface.refusals import HANDLERS, error_answer
from phinops.surface.service import Health, QuotaKey, ResolveAs, Samples, Service

HOOK_LIMIT = 1 << 20
"""Bytes of a hook's body; more is refused without reading on."""
LIST_LIMIT = 1000
"""Entries of one answer, whatever `limit` asks for."""

log = structlog.get_logger(__name__)

VIA: Mapping[str, Via] = {"api": "api", "cli": "cli"}
"""How those who have the token may say that they answer."""

Handler = Callable[[Request], Awaitable[Response]]


def build_app(service: Service, door: Door) -> Starlette:
    """The application: every answer but `/` and `/metrics` is JSON, errors too."""
    api = _Api(service)
    reading = [
        ("/metrics", _metrics(service)),
        ("/api/v1/openapi.json", _openapi),
        ("/api/v1/status", api.status),
        ("/api/v1/events", api.events),
        ("/api/v1/firings", api.firings),
        ("/api/v1/actions", api.actions),
        ("/api/v1/approvals", api.approvals),
        ("/api/v1/leases", api.leases),
        ("/api/v1/silences", silences.listing(service, _limit)),
        ("/api/v1/notices", api.notices),
        ("/api/v1/quota", api.quota),
        ("/api/v1/explain/{name}", api.explain),
        ("/api/v1/recorded", api.recorded),
        ("/api/v1/audit", api.audit),
    ]
    changing = [
        ("/api/v1/reload", api.reload),
        ("/api/v1/call", api.call),
        ("/api/v1/actions/{id}/undo", api.undo),
        ("/api/v1/actions/{id}/look", api.look),
        ("/api/v1/actions/{id}/resolve", api.resolve),
        ("/api/v1/pause", api.pause),
        ("/api/v1/silences", silences.adding(service)),
        ("/api/v1/notices/resend", api.resend),
        ("/api/v1/silences/{id}/expire", silences.ending(service)),
        ("/api/v1/resume", api.resume),
        ("/api/v1/backup", api.backup),
        ("/api/v1/approvals/{id}/approve", api.approve),
        ("/api/v1/approvals/{id}/deny", api.deny),
    ]
    routes = [
        Route("/", _front_page, methods=["GET"]),
        Route("/healthz", _health(service.healthy), methods=["GET"]),
        Route("/readyz", _health(service.ready), methods=["GET"]),
        Route("/hooks/{name}", _hook(service), methods=["POST"]),
        *asked.link_routes(service, bounded_body),
        *(
            Route(path, _guarded(handler, door, free=door.reading_is_free), methods=["GET"])
            for path, handler in reading
        ),
        *(Route(path, _guarded(handler, door, free=False), methods=["POST"]) for path, handler in changing),
    ]
    return Starlette(routes=routes, exception_handlers=HANDLERS, middleware=[Middleware(HostCheck, door=door)])


def _guarded(handler: Handler, door: Door, *, free: bool) -> Handler:
    async def guarded(request: Request) -> Response:
        if not free and not door.knows(request):
            return error_answer(401, "unauthorized", "send Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"})
        return await handler(request)

    return guarded


class _Api:
    def __init__(self, service: Service) -> None:
        self._service = service

    async def status(self, _: Request) -> Response:
        return JSONResponse(self._service.status())

    async def events(self, request: Request) -> Response:
        return JSONResponse(await self._service.events(_limit(request), _tenant(request)))

    async def firings(self, request: Request) -> Response:
        return JSONResponse(await self._service.firings(_limit(request), _tenant(request)))

    async def actions(self, request: Request) -> Response:
        return JSONResponse(await self._service.actions(_limit(request), _tenant(request)))

    async def approvals(self, request: Request) -> Response:
        return JSONResponse(await self._service.answering.listed(_limit(request), _tenant(request)))

    async def approve(self, request: Request) -> Response:
        return await self._answer(request, "approved")

    async def deny(self, request: Request) -> Response:
        return await self._answer(request, "denied")

    async def _answer(self, request: Request, said: Said) -> Response:
        by, reason, via = await texts_of(request, by="token", reason="", via="api")
        if via not in VIA:
            raise HTTPException(400, "`via` is api or cli")
        by, reason = (each.strip()[: asked.REASON_LIMIT] for each in (by, reason))
        answering, known = self._service.answering, VIA[via]
        answered = await answering.answer(request.path_params["id"], said, by=by or "token", via=known, reason=reason)
        if answered.approval is None:
            raise HTTPException(404, answered.refusal)
        told = answering.told(answered.approval)
        return error_answer(409, "void", answered.refusal, approval=told) if answered.refusal else JSONResponse(told)

    async def leases(self, request: Request) -> Response:
        return JSONResponse(await self._service.leases(_limit(request), _tenant(request)))

    async def undo(self, request: Request) -> Response:
        document = await json_body(request)
        if document.get("preview") is True:  # no GET: it makes calls
            return await _on_record(self._service.undo_preview(request.path_params["id"]))
        who, why, wait = (
            document.get(name, default) for name, default in (("by", ""), ("reason", ""), ("wait", "60s"))
        )
        if not (isinstance(who, str) and who.strip() and isinstance(why, str)):
            raise HTTPException(400, "`by` says who asks, `reason` why: both are texts, and `by` is not empty")
        try:
            span = parse_duration(wait)
        except ValueError as error:
            raise HTTPException(400, f"`wait`: {error}") from error
        return await _on_record(self._service.undo(request.path_params["id"], who.strip(), why, span))

    async def recorded(self, request: Request) -> Response:
        since = _time(request, "since") or datetime(1970, 1, 1, tzinfo=UTC)
        return JSONResponse(await self._service.recorded(_tenant(request), since, _after(request), _limit(request)))

    async def audit(self, request: Request) -> Response:
        given = request.query_params
        wanted = Wanted(
            _time(request, "since"), _time(request, "until"), given.get("action", ""), given.get("rule", "")
        )
        return JSONResponse(await self._service.audit(wanted, _after(request), _limit(request)))

    async def explain(self, request: Request) -> Response:
        name = request.path_params["name"]
        found = await self._service.explain(name, request.query_params.get("rule", ""))
        if found is None:
            raise HTTPException(404, f"no event or firing «{name}» is on record")
        return JSONResponse(found)

    async def quota(self, request: Request) -> Response:
        by: Any = request.query_params.get("by") or None
        if by is not None and by not in get_args(QuotaKey):
            raise HTTPException(400, f"`by` is one of {', '.join(get_args(QuotaKey))}")
        return JSONResponse(await self._service.quota(by, _limit(request, default="10"), _tenant(request)))

    async def backup(self, _: Request) -> Response:
        path = await self._service.backup()
        return FileResponse(path, media_type="application/vnd.sqlite3", background=BackgroundTask(os.unlink, path))

    async def reload(self, _: Request) -> Response:
        result = await self._service.reload()
        body = {
            "accepted": result.accepted,
            "problems": [problem_json(problem) for problem in result.problems],
            "changed": dict(result.changed),
        }
        return JSONResponse(body, 200 if result.accepted else 409)

    async def notices(self, request: Request) -> Response:
        asked = {name: request.query_params.get(name, "") for name in ("state", "notifier")}
        return JSONResponse(await self._service.notices.listed(_limit(request), self._service.zone, **asked))

    async def resend(self, request: Request) -> Response:
        name, by = await texts_of(request, id="", by="api")
        return JSONResponse({"again": await self._service.notices.send_again(by, name)})

    async def pause(self, request: Request) -> Response:
        by, reason = await texts_of(request, by="api", reason="")
        return JSONResponse({"paused": await self._service.kill_switch.pause(by, reason)})

    async def resume(self, request: Request) -> Response:
        (by,) = await texts_of(request, by="api")
        return JSONResponse({"resumed": await self._service.kill_switch.resume(by)})

    async def call(self, request: Request) -> Response:
        try:
            document = await json_body(request)
            api, params = document["api"], document.get("params", {})
            wait = parse_duration(document.get("wait", "60s"))
            override = document.get("override_protection", False)
            if not isinstance(api, str) or not isinstance(params, dict) or not isinstance(override, bool):
                raise HTTPException(400, "`api` is a name, `params` an object and `override_protection` true or false")
            by, tenant = str(document.get("by") or "api"), document.get("tenant")
            return JSONResponse(await self._service.call(api, params, wait, tenant, override=override, by=by))
        except KeyError as error:
            raise HTTPException(400, f"{error} is missing") from error
        except ValueError as error:
            raise HTTPException(400, str(error)) from error

    async def look(self, request: Request) -> Response:
        name = request.path_params["id"]
        return _about_action(name, await self._service.resolutions.look(name))

    async def resolve(self, request: Request) -> Response:
        name, document = request.path_params["id"], await json_body(request)
        answer: Any = document.get("as")
        by, reason = document.get("by") or "the API", document.get("reason") or ""
        if answer not in get_args(ResolveAs):
            raise HTTPException(400, f"`as` is one of {', '.join(get_args(ResolveAs))}")
        if not isinstance(by, str) or not isinstance(reason, str):
            raise HTTPException(400, "`by` and `reason` are texts")
        return _about_action(name, await self._service.resolutions.resolve(name, answer, by, reason))


def _about_action(name: str, found: Any) -> Response:
    if found is None:
        raise HTTPException(404, f"no action «{name}» is on record")
    return JSONResponse(found)


def problem_json(problem: Any) -> dict[str, Any]:
    """A `Problem` as JSON."""
    return {name: getattr(problem, name) for name in ("file", "line", "column", "code", "message", "severity")}


def _metrics(service: Service) -> Handler:
    async def answer(_: Request) -> Response:
        samples = metrics.samples_of(service.status(), service.ready(), service.healthy())
        stored = await _counted(service)
        text = await anyio.to_thread.run_sync(metrics.render, {**samples, **stored, **service.metrics_snapshot()})
        return Response(text, media_type=metrics.CONTENT_TYPE)

    return answer


async def _counted(service: Service) -> Samples:
    try:
        return {**metrics.samples_of_counts(await service.counts()), **await service.quota_samples()}
    except StoreError as error:  # the other numbers matter most when the store is in trouble
        log.warning("metrics.uncounted", reason=str(error))
        return {}


def _health(state: Callable[[], Health]) -> Handler:
    async def answer(_: Request) -> Response:
        good, reasons = state()
        return JSONResponse({"ok": good, "reasons": reasons}, 200 if good else 503)

    return answer


def _hook(service: Service) -> Handler:
    async def answer(request: Request) -> Response:
        body = await bounded_body(request, HOOK_LIMIT)
        name = request.path_params["name"]
        status, reason = await service.hook(name, dict(request.headers), body)
        if status < 400:
            return JSONResponse({"accepted": True}, status)
        log.info("hook.refused", hook=name, status=status, reason=reason)
        return error_answer(status, "hook-refused", reason)

    return answer


async def _openapi(_: Request) -> Response:
    return JSONResponse(openapi.document())


async def _front_page(_: Request) -> Response:
    return HTMLResponse(
        "<!doctype html><title>phinops</title><h1>phinops</h1><ul>"
        '<li><a href="/api/v1/status">status</a><li><a href="/api/v1/events">events</a>'
        '<li><a href="/api/v1/firings">firings</a><li><a href="/api/v1/actions">actions</a>'
        '<li><a href="/api/v1/approvals">approvals</a><li><a href="/api/v1/leases">leases</a>'
        '<li><a href="/api/v1/quota">quota</a>'
        '<li><a href="/metrics">metrics</a><li><a href="/api/v1/openapi.json">the API</a></ul>'
    )


def _limit(request: Request, default: str = "100") -> int:
    text = request.query_params.get("limit", default)
    if not text.isdigit() or not 1 <= int(text) <= LIST_LIMIT:
        raise HTTPException(400, f"`limit` is a number from 1 to {LIST_LIMIT}")
    return int(text)


def _time(request: Request, name: str) -> datetime | None:
    """The time that the query gives by this name, None where it gives none."""
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise HTTPException(400, f"`{name}` is a time: {error}") from error
    if moment.tzinfo is None:
        raise HTTPException(400, f"`{name}` needs a zone, such as 2026-01-05T00:00:00Z")
    return moment


def _after(request: Request) -> int:
    text = request.query_params.get("after", "0")
    if not text.isdigit():
        raise HTTPException(400, "`after` is a number: `next` of the page before")
    return int(text)


def _tenant(request: Request) -> str:
    return request.query_params.get("tenant", "")


async def _on_record(answer: Awaitable[object]) -> Response:
    """The answer about an action: 404 when it is not on record, 409 when it cannot be taken back."""
    try:
        return JSONResponse(await answer)
    except LookupError as error:
        raise HTTPException(404, str(error)) from error
    except NotUndone as error:
        return error_answer(409, "not-undone", str(error))
