"""A request to somewhere else: what a rule asks for, and what may not leave."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

from pydantic import BaseModel, Field, field_validator

from phinops.config.fields import is_loopback
from phinops.event import Event
from phinops.execute.steps.bare import BareStep, bare_write
from phinops.execute.steps.kind import BadStep, Look, Path, Reverse, Setting, Step, Target, Write
from phinops.execute.steps.values import OR_EMPTY, Params, Text, is_template
from phinops.masking import SECRET

READING = frozenset({"GET", "HEAD"})
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
LARGEST = 256 * 1024
"""Bytes that a body may have."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SECRET = re.compile(f"{SECRET}|^(set-)?cookie$", re.IGNORECASE)
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect",
                   "accept-encoding"})  # fmt: skip
"""Headers that follow from the request itself."""

NO_SECRETS = "secrets do not belong in rule files: post by a notifier of type webhook, which signs what it sends"


class HttpParams(Params):
    """`url`, `method`, `headers` and `body`; a body that is no text goes out as JSON."""

    url: Annotated[str, Field(min_length=1, description="https://..., or http://... on this machine.")]
    method: Annotated[str | None, Field(description="GET without a body, else POST, unless it is said.")] = None
    headers: Annotated[dict[str, Text], OR_EMPTY] = Field(default_factory=dict)
    body: Annotated[Any, Field(description="Text as it is; anything else goes out as JSON.")] = None

    @field_validator("method")
    @classmethod
    def _is_one(cls, value: str | None) -> str | None:
        if value is not None and value not in METHODS:
            raise ValueError(f"must be one of {', '.join(METHODS)}, not {value!r}")
        return value

    @property
    def verb(self) -> str:
        """The method, said or not."""
        return self.method or ("GET" if self.body is None else "POST")


@dataclass(frozen=True, slots=True)
class Request:
    """A request ready to leave."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def target(self) -> Target:
        """What the journal names it by: without its query."""
        return Target("http", f"{self.method} {self.url.partition('?')[0].partition('#')[0]}")


_OUTSIDE = Reverse(why="what was requested by HTTP is for those to take back who answered")


@dataclass(frozen=True, slots=True)
class HttpStep(BareStep):
    """The step `http`. Whether a write that got no answer arrived is not known, and is never tried by sending again."""

    name: str = "http"
    params: type[BaseModel] = HttpParams
    reverse: Reverse = _OUTSIDE

    def writes(self, params: HttpParams) -> bool:
        return params.verb not in READING

    async def write(self, params: HttpParams, event: Event, look: Look) -> Write:
        return bare_write(self.name, params, request_of(params).target)

    def problems(self, params: HttpParams, setting: Setting) -> list[tuple[Path, str]]:
        found: list[tuple[Path, str]] = [(("url",), each) for each in _url_mistakes(params.url)]
        found += [(("headers", name), each) for name, value in params.headers.items() if (each := _header(name, value))]
        if params.body is not None and params.verb in READING:
            found.append((("body",), f"«body» has no place in a {params.verb}"))
        return found


HTTP: Step = HttpStep()


def request_of(params: HttpParams) -> Request:
    """The request of rendered parameters.

    Raises:
        BadStep: it may not leave as it is.
    """
    wrong = [*_url_mistakes(params.url), *filter(None, (_header(*each) for each in params.headers.items()))]
    if wrong:
        raise BadStep(f"http: {'; '.join(wrong)}")
    headers = dict(params.headers)
    body = b""
    if params.body is not None:
        text, kind = (params.body, "text/plain; charset=utf-8") if isinstance(params.body, str) else _json(params.body)
        body = text.encode()
        if not any(name.lower() == "content-type" for name in headers):
            headers["content-type"] = kind
    if len(body) > LARGEST:
        raise BadStep(f"http: the body has {len(body)} bytes, {LARGEST} are allowed")
    return Request(params.verb, params.url, headers, body)


def _json(value: Any) -> tuple[str, str]:
    return json.dumps(value, ensure_ascii=False), "application/json"


def _url_mistakes(url: str) -> list[str]:
    """What is wrong with an address; of one with templates, with what stands before them."""
    address = _split(url)
    whole = not is_template(url)
    if not whole and url.startswith("{{"):
        return []
    if address is None or address.scheme not in ("https", "http") or (whole and not address.hostname):
        return ["«url» must be https://HOST..."]
    if address.username or address.password:
        return [f"«url» must not hold a login: {NO_SECRETS}"]
    if address.scheme == "http" and whole and not is_loopback(address.hostname or ""):
        return ["«url» with http:// is for this machine only: what goes further must not travel in the clear"]
    named = [name for name, value in parse_qsl(address.query) if value and _SECRET.search(name)] if whole else []
    return [f"«url» holds a «{name}»: {NO_SECRETS}" for name in named]


def _split(url: str) -> SplitResult | None:
    try:
        address = urlsplit(url)
        unreachable = address.port == 0  # asking raises where the port is no number
    except ValueError:
        return urlsplit(url.partition("{{")[0]) if is_template(url) else None
    odd = unreachable or any(sign in url for sign in " \t\r\n\\")
    return None if odd and not is_template(url) else address


def _header(name: str, value: str) -> str:
    """What is wrong with a header, or ""."""
    if not _TOKEN.fullmatch(name):
        return f"«{name}» is not the name of a header"
    if name.lower() in _OURS:
        return f"«{name}» follows from the request: leave it out"
    if _SECRET.search(name):
        return f"«{name}»: {NO_SECRETS}"
    if not is_template(value) and not (value.isascii() and value.isprintable()):
        return f"the value of «{name}» must be printable ASCII"
    return ""
