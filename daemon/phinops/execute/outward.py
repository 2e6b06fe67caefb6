"""What those share who send to addresses that are nobody else's business."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Self

import httpx


class Outward:
    """An async context manager around a client. Its addresses, which may bear a token, stay out of every log."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        # At INFO httpx logs every address that it asks.
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, trace)
