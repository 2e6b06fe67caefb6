"""A call that is not done, and why."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType


class Refusal(Exception):
    """The tenant says no.

    `code` and `status` are what the service answers (facts seen on real installations: business errors come as
    HTTP 400), `reason` is the word the simulator counts it under, `headers` go along.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int = 400,
        reason: str = "business",
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.reason = reason
        self.headers = headers


def invalid(message: str) -> Refusal:
    """A parameter that cannot be what it is."""
    return Refusal("DPN.Commons.InvalidParam", message, reason="parameters")


def missing(path: str) -> Refusal:
    """A required parameter that is not there."""
    return Refusal("Dataphin.OpenAPI.BadRequest", f"Missing required argument: {path}", reason="parameters")
