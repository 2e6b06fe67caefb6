from __future__ import annotations

from typing import Any

import pytest

from phinops.execute.steps.http import LARGEST, HttpParams, request_of
from phinops.execute.steps.kind import BadStep, Target, checked
from phinops.execute.steps.table import STEPS
from stillness import Checked

HTTP = STEPS["http"]
URL = "https://ops.example/tickets"


def http(**given: Any) -> HttpParams:
    return HttpParams.model_validate({"url": URL, **given})


@pytest.mark.parametrize(
    ("given", "method", "writes"),
    [
        ({}, "GET", False),
        ({"method": "HEAD"}, "HEAD", False),
        ({"body": {}}, "POST", True),
        ({"method": "DELETE"}, "DELETE", True),
        ({"method": "PUT", "body": "x"}, "PUT", True),
    ],
)
def test_the_method_says_whether_it_writes(given: dict[str, Any], method: str, writes: bool) -> None:
    assert request_of(http(**given)).method == method
    assert HTTP.writes(http(**given)) is writes


def test_a_body_goes_out_as_text_or_as_json() -> None:
    text = request_of(http(body="é"))
    assert (text.body, text.headers) == ("é".encode(), {"content-type": "text/plain; charset=utf-8"})
    document = request_of(http(body=[1, {"a": None}], headers={"X-N": 3}))
    assert document.body == b'[1, {"a": null}]'
    assert document.headers == {"X-N": "3", "content-type": "application/json"}
    own = request_of(http(body="<a/>", headers={"Content-Type": "text/xml"}))
    assert own.headers == {"Content-Type": "text/xml"}
    assert request_of(http(headers=None)).headers == {}


def test_the_journal_names_it_without_its_query() -> None:
    request = request_of(http(url=URL + "?page=2#x"))
    assert request.target == Target("http", f"GET {URL}")
    assert request.url == URL + "?page=2#x"


@pytest.mark.parametrize(
    ("given", "path", "message"),
    [
        ({"url": "ops.example"}, ("url",), "must be https://"),
        ({"url": "ftp://ops.example"}, ("url",), "must be https://"),
        ({"url": "https:///x"}, ("url",), "must be https://"),
        ({"url": "https://ops.example:x/"}, ("url",), "must be https://"),
        ({"url": "https://ops.example:0/"}, ("url",), "must be https://"),
        ({"url": "https://ops.example/a b"}, ("url",), "must be https://"),
        ({"url": "http://ops.example"}, ("url",), "this machine only"),
        ({"url": "https://me:pw@ops.example"}, ("url",), "a login"),
        ({"url": URL + "?a=1&access_token=x"}, ("url",), "holds a «access_token»"),
        ({"url": "http//{{ vars.host }}"}, ("url",), "must be https://"),
        ({"headers": {"Authorization": "{{ vars.x }}"}}, ("headers", "Authorization"), "secrets do not belong"),
        ({"headers": {"X-Api-Key": "x"}}, ("headers", "X-Api-Key"), "secrets do not belong"),
        ({"headers": {"Cookie": "x"}}, ("headers", "Cookie"), "secrets do not belong"),
        ({"headers": {"Host": "x"}}, ("headers", "Host"), "leave it out"),
        ({"headers": {"a b": "x"}}, ("headers", "a b"), "is not the name of a header"),
        ({"headers": {"X-A": "x\r\nHost: y"}}, ("headers", "X-A"), "printable ASCII"),
        ({"method": "GET", "body": {}}, ("body",), "has no place in a GET"),
    ],
)
def test_what_may_not_leave_is_told_beforehand(given: dict[str, Any], path: tuple[str, ...], message: str) -> None:
    [(found, text)] = HTTP.problems(http(**given), Checked())
    assert found == path
    assert message in text


@pytest.mark.parametrize(
    "given",
    [
        {"url": "http://127.0.0.1:8080/x"},
        {"url": "http://localhost/x"},
        {"url": "{{ vars.base }}/x"},
        {"url": "https://{{ vars.host }}/{{ event.id }}?q={{ event.node.name }}"},
        {"url": "https://ops.example:{{ vars.port }}/"},
        {"headers": {"X-Node": "{{ event.node.name }}"}},
        {"url": URL + "?token="},
    ],
)
def test_what_only_a_rendering_can_tell_passes(given: dict[str, Any]) -> None:
    assert HTTP.problems(http(**given), Checked()) == []


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"url": "https://"}, "must be https://"),
        ({"headers": {"X-A": "é"}}, "printable ASCII"),
        ({"body": "x" * (LARGEST + 1)}, "are allowed"),
    ],
)
def test_what_is_rendered_is_looked_at_again(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadStep, match=reason):
        request_of(http(**given))


@pytest.mark.parametrize(
    ("given", "reason"),
    [({"method": "post"}, "must be one of GET"), ({"url": ""}, "at least 1"), ({"auth": "x"}, "Extra inputs")],
)
def test_a_wrong_value_is_refused(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadStep, match=reason):
        checked(HTTP, {"url": URL, **given})
