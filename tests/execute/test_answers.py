from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from phinops.errors import Ambiguous, ApiError, Forbidden, Malformed, Refused, Throttled, Transient
from phinops.execute.answers import Answer, judge


def came(
    status: int, document: Any = None, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    return Answer.of(status, headers or {}, json.dumps(document).encode() if body is None else body)


def failed(code: str, status: int = 400, inner: int | None = None, headers: Mapping[str, str] | None = None) -> Answer:
    document = {"Code": code, "Success": False, "Message": "no", "RequestId": "r", "HttpStatusCode": inner or status}
    return came(status, document, headers=headers)


def outcome(answer: Answer, *, reads: bool) -> type[ApiError] | None:
    try:
        judge("Api", answer, reads=reads)
    except ApiError as error:
        return type(error)
    return None


TABLE = [
    # answer, what it means for a read, for a write
    (failed("Throttling"), Throttled, Throttled),
    (failed("Throttling.User", 200), Throttled, Throttled),
    (failed("Throttling.Api", 503), Throttled, Throttled),
    (came(429, body=b"slow down"), Throttled, Throttled),
    (failed("ServiceUnavailable", 503), Throttled, Ambiguous),
    (failed("InternalError", 500), Transient, Ambiguous),
    (failed("DPN.TaskScheduler.Task.TaskRunning", 500), Transient, Ambiguous),
    (failed("Dataphin.OpenAPI.BadGateway", 502), Transient, Ambiguous),
    (failed("Dataphin.OpenAPI.BadGateway", 200), Transient, Ambiguous),
    (failed("DPN.TaskScheduler.Api.RequestError"), Transient, Ambiguous),
    (failed("SignatureNonceUsed"), Transient, Ambiguous),
    (failed("DPN.Commons.InternalError"), Transient, Refused),
    (failed("DPN.Commons.InternalError", 200), Transient, Ambiguous),
    (failed("RequestTimeout", 408), Transient, Ambiguous),
    (failed("Something", 200, inner=502), Transient, Ambiguous),
    (failed("DPN.TaskScheduler.Task.TaskRunning", 200, inner=500), Refused, Refused),
    (failed("Something", 200, inner=400), Refused, Refused),
    (failed("Dataphin.OpenAPI.BadRequest"), Refused, Refused),
    (failed("DPN.OP.NodeNotFound", 200), Refused, Refused),
    (failed("DPN.TaskScheduler.Task.TaskToKillHasFinished"), Refused, Refused),
    (failed("InvalidTimeStamp.Expired"), Refused, Refused),
    (failed("InvalidAction", 403), Refused, Refused),
    (failed("UnsupportedHTTPMethod", 403), Refused, Refused),
    (failed("Dataphin.OpenAPI.Forbidden", 403), Forbidden, Forbidden),
    (failed("DataphinOpenApiForbidden", 403), Forbidden, Forbidden),
    (failed("DPN.Filter.NoPermission"), Forbidden, Forbidden),
    (failed("DPN.OP.NoPermission"), Forbidden, Forbidden),
    (failed("DPN.Oltp.MgmtSys.NoAuthorized"), Forbidden, Forbidden),
    (failed("DPN.Filter.UserInOtherTenants"), Forbidden, Forbidden),
    (failed("Forbidden.RAM", 403), Forbidden, Forbidden),
    (failed("NoPermission", 403), Forbidden, Forbidden),
    (failed("SomethingNew", 403), Forbidden, Forbidden),
    (failed("SignatureDoesNotMatch"), Forbidden, Forbidden),
    (failed("InvalidAccessKeyId.NotFound", 404), Forbidden, Forbidden),
    (came(200, {"Success": False}), Refused, Refused),
    (came(404, {"error": "what?"}), Refused, Ambiguous),
    (came(302, body=b"", headers={"location": "https://elsewhere"}), Refused, Refused),
    (came(502, body=b"<html>"), Transient, Ambiguous),
    (came(200, body=b"<html>"), Transient, Ambiguous),
    (came(403, body=b"<html>"), Transient, Ambiguous),
    (came(200, body=b'{"Code": "OK", "Succ'), Transient, Ambiguous),
    (came(200, body=b"[" * 100_000), Transient, Ambiguous),
    (came(200, body=b"\xff\xfe\x00"), Transient, Ambiguous),
    (came(200, body=b""), Transient, Ambiguous),
    (came(200, [1, 2]), Malformed, Ambiguous),
    (came(200, "text"), Malformed, Ambiguous),
    (came(200, {"Code": "OK"}), Malformed, Ambiguous),
    (came(200, {"Code": "OK", "Success": "true"}), Malformed, Ambiguous),
    (came(200, {"Code": "Other", "Success": True}), Malformed, Ambiguous),
    (came(200, {"Success": True}), Malformed, Ambiguous),
    (came(200, {"Code": "OK", "Success": True}), None, None),
    (came(201, {"Code": "OK", "Success": True}), None, None),
    (came(400, {"Code": "OK", "Success": True}), Refused, Refused),
]


@pytest.mark.parametrize(("answer", "read", "write"), TABLE)
def test_an_answer_means_what_can_be_done_about_it(
    answer: Answer, read: type[ApiError] | None, write: type[ApiError] | None
) -> None:
    assert (outcome(answer, reads=True), outcome(answer, reads=False)) == (read, write)


def test_success_gives_the_whole_document() -> None:
    document = {"Code": "OK", "Success": True, "Data": {"Id": 2**60}}
    assert judge("Api", came(200, document), reads=True) == document


def test_an_error_says_what_dataphin_said_and_what_to_do() -> None:
    with pytest.raises(Forbidden) as caught:
        judge("Api", failed("DPN.Filter.NoPermission"), reads=True)
    assert (caught.value.code, caught.value.request_id, caught.value.status) == ("DPN.Filter.NoPermission", "r", 400)
    assert "no (the key's owner lacks a role in the Dataphin project" in str(caught.value)


def test_an_error_page_is_quoted_shortly() -> None:
    with pytest.raises(Transient) as caught:
        judge("Api", came(502, body=b"<html>" + b"x" * 5000), reads=True)
    assert "HTTP 502 with an answer that is not JSON: '<html>xxx" in str(caught.value)
    assert len(str(caught.value)) < 200


def test_codes_and_messages_of_any_type_are_read_as_text() -> None:
    with pytest.raises(Refused) as caught:
        judge("Api", came(400, {"Code": 17, "Success": False, "Message": None, "RequestId": 5}), reads=True)
    assert (caught.value.code, caught.value.message, caught.value.request_id) == ("17", "HTTP 400", "5")


def test_what_is_secret_is_hidden_from_message_and_quoted_page() -> None:
    with pytest.raises(Refused, match=r"a \*\*\* b"):
        judge("Api", came(400, {"Code": "X", "Message": "a hush b"}).hiding(["hush"]), reads=True)
    with pytest.raises(Transient, match=r"<p>\*\*\*"):
        judge("Api", came(400, body=b"<p>hush").hiding(["hush"]), reads=True)


DATE = "Mon, 05 Jan 2026 00:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"x-acs-retry-after": "1500"}, 1.5),
        ({"x-acs-retry-after": "0"}, 0.0),
        ({"x-acs-retry-after": "soon"}, None),
        ({"x-acs-retry-after": "-5"}, None),
        ({"x-ratelimit-user-api": "Limit:1,Remain:0,TimeLeft:2000,Reset:1234"}, 2.0),
        ({"x-ratelimit-user": "Limit:1,Remain:0,TimeLeft:250,Reset:1234"}, 0.25),
        ({"x-ratelimit-user-api": "Limit:9,Remain:3,TimeLeft:9000", "x-ratelimit-user": "Remain:0,TimeLeft:10"}, 0.01),
        ({"x-ratelimit-user": "nonsense"}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "Mon, 05 Jan 2026 00:00:30 GMT", "date": DATE}, 30.0),
        ({"retry-after": "Sun, 04 Jan 2026 00:00:30 GMT", "date": DATE}, 0.0),
        ({"retry-after": "Mon, 05 Jan 2026 00:00:30 GMT"}, None),
        ({"x-acs-retry-after": "100", "retry-after": "3"}, 0.1),
    ],
)
def test_a_wait_is_read_from_whatever_header_names_it(headers: dict[str, str], seconds: float | None) -> None:
    answer = failed("Throttling", headers=headers)
    assert answer.wait == seconds
    with pytest.raises(Throttled) as caught:
        judge("Api", answer, reads=True)
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize("text", ["", "yesterday", "Mon, 99 Jan 2026 00:00:00 GMT"])
def test_a_date_that_is_none_tells_no_time(text: str) -> None:
    assert came(200, {}, headers={"date": text}).time is None


def test_a_date_without_zone_is_utc() -> None:
    when = came(200, {}, headers={"date": "Mon, 05 Jan 2026 00:00:00 -0000"}).time
    assert when is not None
    assert when == came(200, {}, headers={"date": DATE}).time
