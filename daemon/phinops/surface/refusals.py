"""What the HTTP interface answers when it does not do what was asked: always JSON, with a code and a message."""

from __future__ import annotations

from typing import Any

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from phinops.errors import Ambiguous, ApiError, ConfigError, PhinopsError, QuotaSpent, Refused
from phinops.resolutions import NotUnknown

log = structlog.get_logger(__name__)


def error_answer(
    status: int, code: str, message: str, headers: dict[str, str] | None = None, **more: object
) -> JSONResponse:
    """The answer that says what is wrong, for programs by its code and for people by its message."""
    return JSONResponse({"error": {"code": code, "message": message, **more}}, status, headers)


async def _http_error(_: Request, error: HTTPException) -> Response:
    return error_answer(error.status_code, "http", error.detail, dict(error.headers or {}))


async def _phinops_error(_: Request, error: PhinopsError) -> Response:
    more = {"request_id": error.request_id, "dataphin_code": error.code} if isinstance(error, ApiError) else {}
    status = 409 if isinstance(error, NotUnknown) else 422 if isinstance(error, Refused) else 503
    return error_answer(status, _name_of(error), str(error), None, **more)


def _name_of(error: PhinopsError) -> str:
    kinds = (
        (NotUnknown, "not-unknown"),
        (Refused, "refused"),
        (Ambiguous, "ambiguous"),
        (QuotaSpent, "quota-spent"),
        (ConfigError, "config"),
    )
    return next((name for kind, name in kinds if isinstance(error, kind)), "unavailable")


async def _unexpected(_: Request, error: Exception) -> Response:
    log.error("http.failed", error=type(error).__name__)
    return error_answer(500, "internal", "phinops failed; its log says where")


HANDLERS: dict[Any, Any] = {HTTPException: _http_error, PhinopsError: _phinops_error, Exception: _unexpected}
"""What answers for each kind of error that a handler raises."""
