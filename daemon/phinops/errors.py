"""What can go wrong, and in whose hands it is then.

::

    PhinopsError
    ├── ConfigError            the person who wrote the config or a secret (exit code 2)
    ├── StoreError             the machine: disk, lock, version of the store
    │   ├── StoreHeld          another daemon has it (exit code 3)
    │   ├── StoreLost          another daemon took it over: stop
    │   ├── StoreTooNew        written by a newer phinops
    │   └── StoreUnwritable    disk full or read-only: it works again by itself when the disk does
    ├── QuotaSpent             nobody until the quota day ends, or the one who sets `share` and `action_reserve`
    └── ApiError               Dataphin did not do what was asked
        ├── Throttled          refused before execution; it says or we guess when to ask again
        ├── Transient          not done, and asking again may well help
        ├── Refused            understood, and answered no: asking again does not help
        │   └── Forbidden      the key, or its owner's role, lacks the right
        ├── Malformed          the answer is not what its API promises: a version not known here
        └── Ambiguous          a write that may have happened: read before anything else
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from phinops.problem import Problem


class PhinopsError(Exception):
    """The root of every error that phinops raises on purpose."""


class ConfigError(PhinopsError):
    """The config or a secret cannot be used. `problems` names each place and its cure."""

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class StoreError(PhinopsError):
    """The store cannot be opened, read or written; nothing may act until it can."""


class StoreHeld(StoreError):
    """Another daemon holds the store's lock."""


class StoreLost(StoreError):
    """Another process has taken the store over since it was opened: nothing of ours may be written any more."""


class StoreTooNew(StoreError):
    """A newer phinops has migrated the store; this one must not touch it."""


class StoreUnwritable(StoreError):
    """Nothing was written: the disk is full, broken, read-only or busy. The same write may work later."""


class QuotaSpent(PhinopsError):
    """The quota day has no call left for this priority, or the turn did not come before the deadline."""


class NotUndone(PhinopsError):
    """An action cannot be taken back; the text says why, for people."""


class ApiError(PhinopsError):
    """Dataphin did not do what was asked. Every field but `api` may be empty when no answer came."""

    def __init__(self, api: str, code: str, message: str, *, request_id: str = "", status: int = 0) -> None:
        super().__init__(f"{api}: {code}: {message}" + (f" (RequestId {request_id})" if request_id else ""))
        self.api = api
        self.code = code
        self.message = message
        self.request_id = request_id
        self.status = status


class Throttled(ApiError):
    """Refused before execution because of the rate or the day's quota.

    `retry_after` is the server's own wait in seconds, or None when it named none.
    """

    def __init__(
        self,
        api: str,
        code: str,
        message: str,
        *,
        request_id: str = "",
        status: int = 0,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(api, code, message, request_id=request_id, status=status)
        self.retry_after = retry_after


class Transient(ApiError):
    """Known not to have been done (a read, or a write that never reached the server); worth another try."""


class Refused(ApiError):
    """Dataphin understood the call and said no."""


class Forbidden(Refused):
    """The key or its owner lacks the right: RAM policy, OpenAPI permission or project role."""


class Malformed(ApiError):
    """The answer came and cannot be read: the message names the field and what is wrong with it."""


class Ambiguous(ApiError):
    """A write whose answer was lost (time-out, reset, 5xx): it may have happened."""
