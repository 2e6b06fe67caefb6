"""The page that a link of a notice leads to: what is asked, and two buttons.

Chat programs fetch links to preview them, and browsers do ahead of time: looking at the page answers nothing, only a
button does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from html import escape
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from phinops.answering import Said
from phinops.event import JsonObject
from phinops.surface.service import Service

PREFIX = "/approvals/"
"""What the paths of links begin with: nothing else is served under the host of `public_url`."""

FORM_LIMIT = 16 * 1024
REASON_LIMIT = 500
"""Characters of a reason that are kept."""

_SAID: dict[str, Said] = {"approve": "approved", "deny": "denied"}
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # the address is a key
    "X-Robots-Tag": "noindex",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
}
_STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:48em;margin:2em auto;padding:0 1em}li,pre{overflow-wrap:anywhere}"
    "pre{white-space:pre-wrap}button{font-size:1em;padding:.4em 1.2em;margin-right:.6em}input{width:100%;"
    "font-size:1em;margin-bottom:1em}"
)
_BUTTONS = (
    '<form method="post"><p><label>Reason, if you like <input name="reason" maxlength="500"></label></p>'
    '<button name="answer" value="approve">Approve</button><button name="answer" value="deny">Deny</button></form>'
)

ReadBody = Callable[[Request, int], Awaitable[bytes]]


def link_routes(service: Service, read_body: ReadBody) -> list[Route]:
    """Looking, and answering; `read_body` gives a body of so many bytes at most. The link is all that it takes."""

    async def look(request: Request) -> Response:
        answering = service.answering
        approval = await answering.linked(request.path_params["id"], request.path_params["code"])
        if approval is None:
            return _page("There is no such question", status=404)
        told = answering.told(approval)
        still = told["state"].startswith("open ")
        return _page(_title(told), _question(told) + (_BUTTONS if still else ""), 200 if still else 410)

    async def answer(request: Request) -> Response:
        answering, id = service.answering, request.path_params["id"]
        if await answering.linked(id, request.path_params["code"]) is None:
            return _page("There is no such question", status=404)
        form = parse_qs((await read_body(request, FORM_LIMIT)).decode(errors="replace"))
        said = _SAID.get(form.get("answer", [""])[0])
        if said is None:
            return _page("Say approve or deny", status=400)
        by = request.client.host if request.client else "unknown"
        reason = form.get("reason", [""])[0].strip()[:REASON_LIMIT]
        answered = await answering.answer(id, said, by=by, via="link", reason=reason)
        assert answered.approval
        told = answering.told(answered.approval)
        if answered.refusal:
            return _page("This answer comes to nothing", _paragraph(answered.refusal) + _question(told), 409)
        return _page(said.capitalize(), _question(told))

    path = PREFIX + "{id}/{code}"
    return [Route(path, look, methods=["GET"]), Route(path, answer, methods=["POST"])]


def _title(told: JsonObject) -> str:
    return f"{told['rule']} asks for approval"


def _question(told: JsonObject) -> str:
    parts = [f"<pre>{escape(told['message'])}</pre>" if told["message"] else ""]
    for heading, items in (("To be done", told["calls"]), ("When it was asked", told["objects"])):
        listed = "".join(f"<li>{escape(each['text'])}" for each in items)
        parts.append(f"<h2>{heading}</h2><ul>{listed}</ul>" if listed else "")
    where = f"{told['id']} · {told['rule']} · {told['tenant']} · {told['state']}"
    return "".join(parts) + _paragraph(where) + (_paragraph(told["why"]) if told["why"] else "")


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _page(title: str, body: str = "", status: int = 200) -> Response:
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
    text = f"<!doctype html>{head}<title>{escape(title)}</title><h1>{escape(title)}</h1>{body}"
    return HTMLResponse(text, status, _HEADERS)
