"""The OpenAPI 3.1 document of the daemon's own API."""

from __future__ import annotations

from typing import Any

from phinops import __version__
from phinops.silence import PARTS

_ERROR = {
    "description": "An error",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["error"],
                "properties": {
                    "error": {
                        "type": "object",
                        "required": ["code", "message"],
                        "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
                    }
                },
            }
        }
    },
}
_TIME = {"type": "string", "format": "date-time"}
_TEXT = {"type": "string"}
_NUMBER = {"type": ["integer", "null"]}


def document() -> dict[str, Any]:
    """The document, made anew: the caller may change it."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "phinops", "version": __version__},
        "paths": {
            "/healthz": {"get": _health("Whether every loop moves")},
            "/readyz": {"get": _health("Whether it may be relied on: store, rules, stock, sources")},
            "/metrics": {
                "get": _operation("Numbers for Prometheus", {"description": "Text", "content": {"text/plain": {}}})
            },
            "/api/v1/status": {"get": _operation("What the daemon sees and has spent", _json(_status()))},
            "/api/v1/events": {"get": _listing("Changes, newest first", _object(id=_TEXT, type=_TEXT, time=_TIME))},
            "/api/v1/firings": {"get": _listing("Decisions, newest first", _firing())},
            "/api/v1/actions": {"get": _listing("Actions, newest first", _action())},
            "/api/v1/approvals": {"get": _listing("What people are asked, newest first", _approval())},
            "/api/v1/approvals/{id}/approve": {"post": _answer("Say yes")},
            "/api/v1/approvals/{id}/deny": {"post": _answer("Say no")},
            "/api/v1/actions/{id}/undo": {"post": _undo()},
            "/api/v1/leases": {"get": _listing("Pauses that end by themselves, newest first", _lease())},
            "/api/v1/quota": {"get": _quota()},
            "/api/v1/explain/{name}": {"get": _explain()},
            "/api/v1/recorded": {"get": _recorded()},
            "/api/v1/audit": {"get": _audit()},
            "/api/v1/backup": {"post": _backup()},
            "/api/v1/reload": {"post": _reload()},
            "/api/v1/call": {"post": _call()},
            "/api/v1/actions/{id}/look": {"post": _look()},
            "/api/v1/actions/{id}/resolve": {"post": _resolve()},
            "/api/v1/silences": {"get": _silences(), "post": _silence()},
            "/api/v1/silences/{id}/expire": {"post": _expire()},
            "/api/v1/notices": {"get": _notices()},
            "/api/v1/notices/resend": {"post": _resend()},
            "/api/v1/pause": {"post": _switch("Let no write leave until resumed", "paused", "by", "reason")},
            "/api/v1/resume": {"post": _switch("Let writes leave again", "resumed", "by")},
            "/hooks/{name}": {"post": _hook()},
            "/approvals/{id}/{code}": _link(),
        },
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(summary: str, good: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": good, "default": _ERROR}, **more}


def _json(schema: dict[str, Any], description: str = "The answer") -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _array(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _health(summary: str) -> dict[str, Any]:
    body = _json(_object(ok={"type": "boolean"}, reasons=_array(_TEXT)))
    return {"summary": summary, "responses": {"200": body, "503": body}}


def _listing(summary: str, entry: dict[str, Any]) -> dict[str, Any]:
    limit = {
        "name": "limit",
        "in": "query",
        "schema": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
    }
    tenant = {"name": "tenant", "in": "query", "schema": _TEXT}
    return _operation(summary, _json(_array(entry)), parameters=[limit, tenant])


def _status() -> dict[str, Any]:
    source = _object(
        name=_TEXT, state=_TEXT, last_good={"type": ["string", "null"]}, interval_s={"type": ["number", "null"]}
    )
    pool = _object(pool=_TEXT, used={"type": "integer"}, limit=_NUMBER, reserve=_NUMBER)
    tenant = _object(name=_TEXT, sources=_array(source), quota=_array(pool))
    when = {"type": ["string", "null"], "format": "date-time"}
    store = _object(bytes={"type": "integer"}, file_bytes={"type": "integer"}, oldest_event=when, pruned_before=when)
    return _object(
        ready={"type": "boolean"}, reasons=_array(_TEXT), paused=_pause(), tenants=_array(tenant), store=store
    )


def _pause() -> dict[str, Any]:
    return {**_object(at=_TIME, by=_TEXT, reason=_TEXT), "type": ["object", "null"]}


def _firing() -> dict[str, Any]:
    return _object(id=_TEXT, time=_TIME, rule=_TEXT, event_id=_TEXT, mode=_TEXT, state=_TEXT, reason=_TEXT)


def _action() -> dict[str, Any]:
    texts = dict.fromkeys(("id", "firing_id", "step", "api", "target", "outcome", "request_id"), _TEXT)
    shape = _object(**texts, time=_TIME)
    shape["properties"]["doubled"] = {**_TEXT, "description": "How often, where that was more often than meant"}
    shape["properties"]["reverses"] = {**_TEXT, "description": "The action that it takes back, if it does"}
    shape["properties"]["undone_by"] = {**_TEXT, "description": "The action that has taken it back, if one has"}
    return shape


def _approval() -> dict[str, Any]:
    texts = ("id", "tenant", "rule", "step", "firing_id", "message", "answer", "by", "via", "reason", "outcome", "why")
    call = _object(**dict.fromkeys(("step", "kind", "api", "target_kind", "target_id", "text"), _TEXT), params={})
    item = _object(**dict.fromkeys(("kind", "id", "status", "text"), _TEXT), below=_NUMBER)
    return _object(
        **dict.fromkeys(texts, _TEXT),
        time=_TIME,
        expires=_TIME,
        answered_at={"type": ["string", "null"], "format": "date-time"},
        calls=_array(call),
        objects=_array(item),
        state=_TEXT,
    )


def _answer(summary: str) -> dict[str, Any]:
    body = {"type": "object", "properties": {"by": _TEXT, "reason": _TEXT, "via": {"enum": ["api", "cli"]}}}
    id = {"name": "id", "in": "path", "required": True, "schema": _TEXT}
    good, request = _json(_approval(), "It counts"), {"content": {"application/json": {"schema": body}}}
    security: list[dict[str, list[str]]] = [{"token": []}]
    return _operation(f"{summary} to what a rule asks", good, parameters=[id], requestBody=request, security=security)


def _link() -> dict[str, Any]:
    names = [{"name": name, "in": "path", "required": True, "schema": _TEXT} for name in ("id", "code")]
    page = {"description": "A page for people", "content": {"text/html": {}}}
    form = {"type": "object", "properties": {"answer": {"enum": ["approve", "deny"]}, "reason": _TEXT}}
    request = {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": form}}}
    look = _operation("What is asked, as the link of a notice leads to it", page)
    return {"parameters": names, "get": look, "post": _operation("Answer by that link", page, requestBody=request)}


def _lease() -> dict[str, Any]:
    texts = ("action_id", "tenant", "rule", "project_id", "node_id", "reason", "firing_id")
    states = ["running", "waiting", "resuming", "resumed", "left", "cancelled", "void"]
    return _object(**dict.fromkeys(texts, _TEXT), since=_TIME, due=_TIME, state={"type": "string", "enum": states})


def _undo() -> dict[str, Any]:
    body = {
        "type": "object",
        "properties": {
            "preview": {
                "type": "boolean",
                "default": False,
                "description": "Only read the target, and say what is sent",
            },
            "by": {"type": "string", "description": "Who asks; needed unless it is a preview"},
            "reason": _TEXT,
            "wait": {"type": "string", "default": "60s"},
        },
    }
    done = _object(**dict.fromkeys(("action", "firing_id", "state", "reason", "undone_by", "outcome"), _TEXT))
    texts = dict.fromkeys(("action", "step", "api", "target", "project_id", "tenant", "rule"), _TEXT)
    plan = _object(**texts, params={"type": "object"})
    request = {"required": True, "content": {"application/json": {"schema": body}}}
    answer = _json(
        {"oneOf": [done, plan]}, "What came of it, without an outcome while it is under way; or what is sent"
    )
    operation = _operation("Take an action back", answer, requestBody=request, security=[{"token": []}])
    name = {"name": "id", "in": "path", "required": True, "schema": _TEXT, "description": "An action"}
    refusals = {"404": {**_ERROR, "description": "Not on record"}, "409": {**_ERROR, "description": "It cannot be"}}
    return {**operation, "parameters": [name], "responses": {**refusals, **operation["responses"]}}


def _quota() -> dict[str, Any]:
    whole, words = {"type": "integer"}, ["api", "source", "rule", "firing"]
    spender = {"type": "object", "required": ["calls"], "properties": {**dict.fromkeys(words, _TEXT), "calls": whole}}
    pool = _object(
        tenant=_TEXT,
        tenants=_array(_TEXT),
        pool=_TEXT,
        day={"type": "string", "format": "date"},
        used=whole,
        left=_NUMBER,
        limit=_NUMBER,
        reserve=_NUMBER,
        spent={"type": "boolean"},
        pace_per_hour={"type": "number"},
        runs_out={"type": ["string", "null"], "format": "date-time"},
        resets=_TIME,
        spenders=_array(spender),
    )
    listing = _listing("Each pool of the quota: what is left, until when, and who spent it", pool)
    limit, tenant = listing["parameters"]
    by = {"name": "by", "in": "query", "schema": {"type": "string", "enum": words}}
    few = {**limit, "schema": {**limit["schema"], "default": 10}, "description": "Spenders of each pool"}
    return {**listing, "parameters": [by, few, tenant]}


def _explain() -> dict[str, Any]:
    name = {"name": "name", "in": "path", "required": True, "schema": _TEXT, "description": "An event or a firing"}
    rule = {"name": "rule", "in": "query", "schema": _TEXT}
    guard = _object(guard=_TEXT, reason=_TEXT)
    texts = ("rule", "version", "event_id", "outcome", "state", "reason", "mode", "key", "first_false", "firing")
    account = _object(
        **dict.fromkeys(texts, _TEXT),
        time=_TIME,
        condition={"type": ["object", "null"]},
        guards=_array(guard),
        history={"type": ["object", "null"]},
        actions=_array({"type": "object"}),
    )
    answer = _json(_array(account))
    return _operation("Why each rule did what it did about an event", answer, parameters=[name, rule])


def _recorded() -> dict[str, Any]:
    texts = dict.fromkeys(("rule", "mode", "state", "reason"), _TEXT)
    decision = _object(**texts, actions=_array({"type": "object"}), notices=_array({"type": "object"}))
    event = _object(at=_TIME, event={"type": "object"}, subject=_TEXT, decisions=_array(decision))
    when = {"type": ["string", "null"], "format": "date-time"}
    page = _object(newest=when, pruned=when, next=_NUMBER, events=_array(event))
    listing = _listing("Events in the order of their arrival, with the decisions on them", page)
    since = {"name": "since", "in": "query", "schema": _TIME, "description": "Received since then"}
    after = {"name": "after", "in": "query", "schema": {"type": "integer"}, "description": "`next` of the page before"}
    return _operation(listing["summary"], _json(page), parameters=[since, after, *listing["parameters"]])


def _audit() -> dict[str, Any]:
    texts = (
        "what", "by", "rule", "version", "event_id", "firing_id", "action_id", "tenant", "step", "api", "target",
        "request_id", "outcome", "reason",
    )  # fmt: skip
    things = {name: {"type": ["object", "null"]} for name in ("params", "before", "after", "more")}
    whole = {"type": "integer"}
    line = _object(seq=whole, time=_TIME, epoch=whole, **dict.fromkeys(texts, _TEXT), **things)
    page = _object(next=_NUMBER, lines=_array(line))
    limit, _ = _listing("", page)["parameters"]
    asked = {"since": (_TIME, "Written since then"), "until": (_TIME, "Written before then"),
             "action": (_TEXT, "About this action"), "rule": (_TEXT, "Of this rule"),
             "after": (whole, "`next` of the page before")}  # fmt: skip
    named = [
        {"name": name, "in": "query", "schema": schema, "description": what} for name, (schema, what) in asked.items()
    ]
    return _operation("Who did what, oldest first", _json(page), parameters=[*named, limit])


def _backup() -> dict[str, Any]:
    file = {"description": "The file", "content": {"application/vnd.sqlite3": {}}}
    return _operation("A copy of the store as it is now", file, security=[{"token": []}])


def _reload() -> dict[str, Any]:
    body = _json(_object(accepted={"type": "boolean"}, problems=_array({"type": "object"}), changed={"type": "object"}))
    responses = {"200": body, "409": body, "default": _ERROR}
    return {"summary": "Read config and rules again", "responses": responses, "security": [{"token": []}]}


def _silence_of(*names: str) -> dict[str, Any]:
    return _object(**dict.fromkeys((*names, "ends", "author", "reason", *PARTS), _TEXT))


def _silences() -> dict[str, Any]:
    listing = _listing("What is silenced, newest first", _silence_of("id", "tenant", "starts", "ended_by"))
    ended = {"name": "ended", "in": "query", "schema": {"type": "string", "enum": ["true", "false"]}}
    return {**listing, "parameters": [listing["parameters"][0], ended]}


def _silence() -> dict[str, Any]:
    body = {**_silence_of("tenant"), "required": ["ends", "author", "reason"]}
    request = {"required": True, "content": {"application/json": {"schema": body}}}
    answer = _json(_silence_of("id", "tenant", "starts", "ended_by"))
    return _operation("Silence from now on", answer, requestBody=request, security=[{"token": []}])


def _expire() -> dict[str, Any]:
    name = {"name": "id", "in": "path", "required": True, "schema": _TEXT}
    request = {"content": {"application/json": {"schema": {"type": "object", "properties": {"by": _TEXT}}}}}
    answer = _json(_object(ended=_TEXT))
    return _operation("End a silence", answer, parameters=[name], requestBody=request, security=[{"token": []}])


def _notices() -> dict[str, Any]:
    texts = ("id", "notifier", "state", "title", "rule", "firing_id", "error", "told_with")
    listing = _listing("What people were told, newest first", _object(**dict.fromkeys(texts, _TEXT), time=_TIME))
    which = [{"name": name, "in": "query", "schema": _TEXT} for name in ("state", "notifier")]
    return {**listing, "parameters": [listing["parameters"][0], *which]}


def _resend() -> dict[str, Any]:
    body = {"type": "object", "properties": {"id": _TEXT, "by": _TEXT}}
    request = {"content": {"application/json": {"schema": body}}}
    answer = _json(_object(again=_array(_TEXT)))
    return _operation("Try a dead notice again, or all", answer, requestBody=request, security=[{"token": []}])


def _switch(summary: str, name: str, *texts: str) -> dict[str, Any]:
    body = {"type": "object", "properties": dict.fromkeys(texts, _TEXT)}
    request = {"content": {"application/json": {"schema": body}}}
    return _operation(summary, _json(_object(**{name: _pause()})), requestBody=request, security=[{"token": []}])


def _call() -> dict[str, Any]:
    body = _object(api=_TEXT) | {
        "properties": {
            "api": _TEXT,
            "params": {"type": "object"},
            "wait": {"type": "string", "default": "60s"},
            "tenant": _TEXT,
            "override_protection": {"type": "boolean", "default": False},
            "by": _TEXT,
        }
    }
    request = {"required": True, "content": {"application/json": {"schema": body}}}
    answer = _json({"type": "object"}, "Dataphin's own reply")
    return _operation("One call to Dataphin", answer, requestBody=request, security=[{"token": []}])


_ACTION_ID = {"name": "id", "in": "path", "required": True, "schema": _TEXT}


def _known() -> dict[str, Any]:
    names = ("id", "firing_id", "rule", "step", "api", "target", "project", "outcome", "reason", "firing")
    return _object(**dict.fromkeys(names, _TEXT))


def _look() -> dict[str, Any]:
    anything = {"type": "object"}
    found = {"type": "string", "enum": ["applied", "absent", "unclear"]}
    shape = _known()
    shape["properties"] |= {"request": anything, "before": anything, "now": anything, "found": found, "unread": _TEXT}
    summary = "What is known of an action; of one whose fate is not known, how its target looks now, which is read"
    return _operation(summary, _json(shape), parameters=[_ACTION_ID], security=[{"token": []}])


def _resolve() -> dict[str, Any]:
    body = _object(**{"as": {"type": "string", "enum": ["done", "absent", "abandon"]}})
    body["properties"] |= {"by": {**_TEXT, "default": "the API"}, "reason": _TEXT}
    request = {"required": True, "content": {"application/json": {"schema": body}}}
    summary = "Says what became of an action whose fate is not known; 409 when it is"
    more = {"parameters": [_ACTION_ID], "requestBody": request, "security": [{"token": []}]}
    return _operation(summary, _json(_known()), **more)


def _hook() -> dict[str, Any]:
    name = {"name": "name", "in": "path", "required": True, "schema": _TEXT}
    accepted = _json(_object(accepted={"type": "boolean"}), "Taken in, also when it was before")
    request = {"required": True, "content": {"application/json": {}}}
    responses = {"202": accepted, "default": _ERROR}
    return {
        "summary": "A message with a Standard Webhooks signature",
        "parameters": [name],
        "requestBody": request,
        "responses": responses,
    }
