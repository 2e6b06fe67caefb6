"""Bodies of requests, read within bounds."""

from __future__ import annotations

import json
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

CALL_LIMIT = 1 << 20
"""Bytes of the JSON of a request."""


async def bounded_body(request: Request, limit: int) -> bytes:
    """The body; HTTPException 413 without reading on where it has more than `limit` bytes."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise HTTPException(413, f"more than {limit} bytes")
    except ClientDisconnect as error:
        raise HTTPException(400, "the body broke off") from error
    return bytes(body)


async def texts_of(request: Request, **defaults: str) -> list[str]:
    """These keys of a body that may be left out as a whole; HTTPException 400 where one is no text."""
    document = await json_body(request, empty="{}")
    found = [document.get(name, default) for name, default in defaults.items()]
    if not all(isinstance(each, str) for each in found):
        raise HTTPException(400, f"{' and '.join(f'`{name}`' for name in defaults)} are texts")
    return found


async def json_body(request: Request, *, empty: str = "") -> dict[str, Any]:
    """The object that the body holds, `empty` where it is; HTTPException 400 where it is none."""
    try:
        document = json.loads(await bounded_body(request, CALL_LIMIT) or empty)
    except ValueError as error:
        raise HTTPException(400, "the body is not JSON") from error
    if not isinstance(document, dict):
        raise HTTPException(400, "the body is not a JSON object")
    return document
