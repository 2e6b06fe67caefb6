"""How a command reaches the running daemon."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, BinaryIO

import httpx

from phinops.config import Config, Server
from phinops.errors import PhinopsError, Refused
from phinops.surface.token import find_tokens

_ANSWER_WITHIN_S = 30.0
_FILE_WITHIN_S = 600.0
_NOT_LET_IN = "the daemon wants its token: run as its user, as root, or in its group"


class NobodyAnswers(PhinopsError):
    """Nothing that is phinops answers at `[server].listen` (exit code 3)."""


class NotLetIn(PhinopsError):
    """The daemon wants a token, and none that can be read here fits (exit code 3)."""


class SaidNo(Refused):
    """The answer is no, in our own words or the daemon's (exit code 1)."""

    def __init__(self, message: str) -> None:
        super().__init__("", "", message)
        self.args = (message,)


class Answer:
    """What the daemon said: the HTTP status and the JSON body."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        try:
            self.body: Any = response.json()
        except ValueError:
            raise NobodyAnswers(f"something else than phinops answers at {response.url}") from None

    @property
    def message(self) -> str:
        """The error's text, or ""."""
        error = self.body.get("error") if isinstance(self.body, dict) else None
        return str(error.get("message", "")) if isinstance(error, dict) else ""


class Remote:
    """The daemon that serves at `[server].listen`. Every request opens and closes its own connection."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._base = address_of(config.server)

    def get(self, path: str, **query: str | int) -> Any:
        """The JSON at `path`.

        Raises:
            NobodyAnswers, NotLetIn: as their names say.
        """
        return self._ask("GET", path, params=query).body

    def find(self, path: str, **query: str | int) -> Any | None:
        """The JSON at `path`, or None when the daemon has nothing there.

        Raises:
            NobodyAnswers, NotLetIn: as their names say.
        """
        answer = self._ask("GET", path, params=query)
        return None if answer.status == 404 else answer.body

    def post(self, path: str, body: Any = None, wait: timedelta = timedelta()) -> Answer:
        """Asks for a change that may take `wait` longer than other answers do.

        Raises:
            NobodyAnswers, NotLetIn: as their names say.
        """
        return self._ask("POST", path, json=body, timeout=_ANSWER_WITHIN_S + wait.total_seconds())

    def fetch(self, path: str, target: BinaryIO) -> None:
        """Write what a POST to `path` answers into the open file, piece by piece.

        Raises:
            NobodyAnswers, NotLetIn: as their names say; the former also when the answer is an error.
        """
        for headers in self._letters():
            try:
                with self._client(_FILE_WITHIN_S) as client, client.stream("POST", path, headers=headers) as response:
                    if response.status_code == 401:
                        continue
                    if response.status_code != 200:
                        response.read()
                        raise NobodyAnswers(Answer(response).message or f"the daemon has no {path}")
                    for piece in response.iter_bytes():
                        target.write(piece)
                    return
            except httpx.HTTPError as error:
                raise NobodyAnswers(f"no daemon answers at {self._base}: {error}") from error
        raise NotLetIn(_NOT_LET_IN)

    def _letters(self) -> Iterator[dict[str, str]]:
        """The headers to try one after the other."""
        yield {}
        for token in find_tokens(self._config):
            yield {"Authorization": f"Bearer {token}"}

    def _client(self, timeout: float) -> httpx.Client:
        # The daemon is on this machine or at a stated address: proxies of the environment are not for it.
        return httpx.Client(base_url=self._base, timeout=timeout, trust_env=False)

    def _ask(self, method: str, path: str, *, timeout: float = _ANSWER_WITHIN_S, **more: Any) -> Answer:
        with self._client(timeout) as client:
            for headers in self._letters():
                try:
                    response = client.request(method, path, headers=headers, **more)
                except httpx.HTTPError as error:
                    raise NobodyAnswers(f"no daemon answers at {self._base}: {error}") from error
                if response.status_code != 401:
                    return Answer(response)
        raise NotLetIn(_NOT_LET_IN)


def address_of(server: Server) -> str:
    """The URL under which this machine reaches the daemon."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(server.host, server.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{server.port}"
