"""What the simulator lets through: keys, signatures, dates, nonces, parameters, editions, quotas."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime
from hashlib import sha256
from hmac import new
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phinops.catalog.catalog import Edition, load_catalog
from phinops.catalog.quotas import QuotaPlan
from phinops.errors import ConfigError
from phinops.simulate.calendar import Calendar
from phinops.simulate.gate import Key, Quota
from phinops.simulate.model import User
from phinops.simulate.quirks import Quirks
from phinops.simulate.refusal import Refusal
from phinops.simulate.signature import Request, check_signature, read_claim
from simulated import LOCKED, RETAIL, SERVICE, Desk, HandClock, desk, said, signed

VECTORS = json.loads((Path(__file__).parents[1] / "execute" / "signing-vectors.json").read_text())


def vector_request(vector: dict[str, Any], authorization: str) -> Request:
    headers = {name.lower(): value for name, value in vector["headers"].items()}
    headers.pop("authorization", None)
    if authorization:
        headers["authorization"] = authorization
    return Request("POST", "/", urlencode(vector["query"]), headers, (vector["body_as_sent"] or "").encode())


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: vector["title"])
def test_every_known_signature_is_accepted_and_a_changed_one_is_not(vector: dict[str, Any]) -> None:
    for name in ("authorization", "minimal_authorization"):
        request = vector_request(vector, vector.get(name, ""))
        claim = read_claim(request)
        assert claim.when == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        check_signature(request, claim, VECTORS["access_key_secret"])
        with pytest.raises(Refusal, match="SignatureDoesNotMatch"):
            check_signature(request, claim, "another secret")


def test_a_body_that_is_not_the_signed_one_is_refused() -> None:
    front = desk()
    request = front.request("ListProjects", {"ListQuery": {}})
    changed = Request("POST", "/", request.query, request.headers, request.body + b"x")
    assert said(front.simulator.handle(changed)).code == "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    "unsigned",
    ["host", "x-acs-date", "x-acs-signature-nonce", "x-acs-action", "x-acs-version", "x-acs-content-sha256"],
)
def test_a_header_that_must_be_signed_cannot_be_left_out(unsigned: str) -> None:
    front = desk()
    request = front.request("GetMyTenants", {})
    authorization = request.headers["authorization"].replace(f"{unsigned};", "").replace(f";{unsigned},", ",")
    answer = front.simulator.handle(
        Request("POST", "/", request.query, {**request.headers, "authorization": authorization}, b"")
    )
    assert said(answer).code == "IncompleteSignature"
    assert unsigned in said(answer).body["Message"]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"authorization": "ACS3-HMAC-SHA256 what"}, "IncompleteSignature"),
        ({"x_acs_date": "yesterday"}, "InvalidTimeStamp.Format"),
        ({"x_acs_date": "2026-01-05T00:00:00Z"}, "InvalidTimeStamp.Expired"),
        ({"x_acs_action": "GetMyRoles"}, "SignatureDoesNotMatch"),
        ({"host": "elsewhere"}, "SignatureDoesNotMatch"),
    ],
)
def test_a_request_that_was_tampered_with_is_refused(headers: dict[str, str], code: str) -> None:
    front = desk()
    assert said(front.simulator.handle(front.request("GetMyTenants", {}, **headers))).code == code


def test_a_signed_header_must_have_arrived() -> None:
    front = desk()
    request = front.request("GetMyTenants", {})
    headers = {**request.headers, "authorization": request.headers["authorization"].replace("=host", "=accept;host")}
    answer = said(front.simulator.handle(Request("POST", "/", request.query, headers, b"")))
    assert "accept" in answer.body["Message"]


def test_the_old_signature_needs_all_its_parts() -> None:
    front = desk()
    assert (
        said(front.simulator.handle(Request("POST", "/", "Action=GetMyTenants", {}, b""))).code == "MissingAccessKeyId"
    )
    query = "&".join(
        f"{name}=x"
        for name in ("AccessKeyId", "Action", "Signature", "SignatureMethod", "SignatureNonce", "Timestamp", "Version")
    )
    assert said(front.simulator.handle(Request("POST", "/", query, {}, b""))).code == "InvalidSignatureMethod"


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("POST", "/elsewhere")])
def test_there_is_one_way_in(method: str, path: str) -> None:
    front = desk()
    assert said(front.simulator.handle(Request(method, path, "", {}, b""))).code == "UnsupportedHTTPMethod"


def test_a_nonce_is_good_once() -> None:
    front = desk()
    request = front.request("GetMyTenants", {})
    assert said(front.simulator.handle(request)).code == "OK"
    assert said(front.simulator.handle(request)).code == "SignatureNonceUsed"
    front.clock.turn(3600)
    assert front.ask("GetMyTenants").code == "OK"
    assert front.simulator.refusals == {"nonce": 1}


@pytest.mark.parametrize(("skew", "code"), [(-899, "OK"), (899, "OK"), (-901, "x"), (901, "x")])
def test_a_date_may_be_a_quarter_of_an_hour_off(skew: float, code: str) -> None:
    front = desk()
    request = front.request("GetMyTenants", {})
    front.clock.turn(skew)
    expected = "InvalidTimeStamp.Expired" if code == "x" else code
    assert said(front.simulator.handle(request)).code == expected


def test_every_answer_bears_the_date_of_the_clock() -> None:
    front = desk()
    assert front.ask("GetMyTenants").headers["date"] == "Mon, 05 Jan 2026 01:30:00 GMT"


def test_keys_are_known_active_and_may_write_or_not() -> None:
    front = desk()
    keys, mine = front.simulator.gate.keys, front.simulator.access_key_id
    reader = front.simulator.read_only_key
    body = json.dumps({"ProjectId": RETAIL, "NodeIdList": [front.simulator.tenant.node("dim_goods").id]})
    query = {"OpTenantId": str(front.simulator.op_tenant_id)}
    for api, form, code in (("GetMyTenants", {}, "OK"), ("PausePhysicalNode", {"PauseCommand": body}, "Forbidden.RAM")):
        request = signed(api, query, form, (reader.id, reader.secret), front.clock.now())
        assert said(front.simulator.handle(request)).code == code
    keys[mine].active = False
    assert front.ask("GetMyTenants").code == "InvalidAccessKeyId.Inactive"
    del keys[mine]
    assert front.ask("GetMyTenants").code == "InvalidAccessKeyId.NotFound"
    assert front.ask("GetMyTenants").status == 404


def test_a_role_cannot_call() -> None:
    front = desk()
    request = front.request("GetMyTenants", {}, x_acs_security_token="token")
    answer = said(front.simulator.handle(request))
    assert (answer.status, answer.code) == (403, "NoPermission")


def test_an_unknown_api_is_not_found() -> None:
    answer = desk().ask("ListMiracles")
    assert (answer.status, answer.code) == (404, "InvalidApi.NotFound")


def test_op_user_id_must_be_the_owner_of_the_key() -> None:
    front = desk()
    owner = front.simulator.gate.keys[front.simulator.access_key_id].user
    assert front.ask("GetMyTenants", OpUserId=owner.id).code == "OK"
    answer = front.ask("GetMyTenants", OpUserId="1")
    assert (answer.status, answer.code) == (403, "Dataphin.OpenAPI.Forbidden")


def test_another_tenant_s_id_is_refused() -> None:
    assert desk().ask("GetMyTenants", OpTenantId=1).code == "DPN.Filter.UserInOtherTenants"


def test_a_project_without_a_role_is_refused() -> None:
    query = {"ProjectId": LOCKED, "ScheduleType": "NORMAL", "Page": 1, "PageSize": 1}
    assert desk().ask("ListInstances", ListQuery=query).code == "DPN.Filter.NoPermission"


@pytest.mark.parametrize(
    ("api", "parameters", "message"),
    [
        ("GetAlertEvent", {}, "Missing required argument: Id"),
        ("ListNodes", {}, "Missing required argument: ListQuery"),
        ("ListInstances", {}, "Missing required argument: ListQuery"),
        ("ListAlertNotifications", {}, "Missing required argument: ListQuery"),
        ("ListNodes", {"ListQuery": {"ProjectId": 1}}, "Missing required argument: ListQuery.NodeBizType"),
        (
            "OperateInstance",
            {"OperateCommand": {"ProjectId": 1, "Operation": "RERUN", "InstanceIdList": [{}]}},
            "Missing required argument: OperateCommand.InstanceIdList[0].Id",
        ),
    ],
)
def test_a_missing_argument_is_named_in_depth(api: str, parameters: dict[str, Any], message: str) -> None:
    answer = desk().ask(api, **parameters)
    assert (answer.status, answer.code, answer.body["Message"]) == (400, "Dataphin.OpenAPI.BadRequest", message)


@pytest.mark.parametrize(
    ("api", "parameters", "code"),
    [
        ("GetAlertEvent", {"Id": "twelve"}, "DPN.Commons.InvalidParam"),
        ("GetPhysicalNode", {"NodeId": "n_1", "Env": "TEST"}, "DPN.Commons.InvalidParam"),
        ("GetPhysicalNode", {"NodeId": "n_1", "Colour": "red"}, "InvalidParameter"),
        ("ListProjects", {"ListQuery": {"Colour": "red"}}, "InvalidParameter"),
        ("ListProjects", {"ListQuery": []}, "DPN.Commons.InvalidParam"),
        ("ListProjects", {"ListQuery": {"TagList": "red"}}, "DPN.Commons.InvalidParam"),
        ("ListProjects", {"ListQuery": {"Keyword": 1.5}}, "DPN.Commons.InvalidParam"),
        ("ListProjects", {"ListQuery": {"PageNo": True}}, "DPN.Commons.InvalidParam"),
        ("ListProjects", {"ListQuery": {"PageNo": 0}}, "DPN.Commons.InvalidParam"),
        ("ListProjects", {"ListQuery": {"PageNo": "2", "Keyword": 7}}, "OK"),
    ],
)
def test_a_wrong_argument_is_refused(api: str, parameters: dict[str, Any], code: str) -> None:
    assert desk().ask(api, **parameters).code == code


def raw(front: Desk, api: str, query: dict[str, str], form: dict[str, str]) -> Any:
    key = (front.simulator.access_key_id, front.simulator.access_key_secret)
    given = {"OpTenantId": str(front.simulator.op_tenant_id), **query}
    return said(front.simulator.handle(signed(api, given, form, key, front.clock.now())))


def test_a_struct_in_the_query_is_lost_and_one_that_is_no_json_refused() -> None:
    front = desk()
    answer = raw(front, "ListProjects", {"ListQuery": "{}"}, {})
    assert (answer.status, answer.code) == (502, "Dataphin.OpenAPI.BadGateway")
    assert raw(front, "ListProjects", {}, {"ListQuery": "{"}).code == "DPN.Commons.InvalidParam"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"ListQuery":{"PageNo":1}}', "OK"),
        (b"{", "Dataphin.OpenAPI.BadRequest"),
        (b"[]", "Dataphin.OpenAPI.BadRequest"),
    ],
)
def test_a_flat_json_body_is_read_as_well(body: bytes, code: str) -> None:
    front = desk()
    request = front.request("ListProjects", {})
    headers = {**request.headers, "x-acs-content-sha256": sha256(body).hexdigest(), "content-type": "application/json"}
    signed_headers = {name: headers[name] for name in sorted(headers) if name.startswith(("host", "x-acs"))}
    lines = "".join(f"{name}:{value}\n" for name, value in signed_headers.items())
    names = ";".join(signed_headers)
    canonical = f"POST\n/\n{request.query}\n{lines}\n{names}\n{headers['x-acs-content-sha256']}"
    to_sign = f"ACS3-HMAC-SHA256\n{sha256(canonical.encode()).hexdigest()}"
    signature = new(front.simulator.access_key_secret.encode(), to_sign.encode(), sha256).hexdigest()
    headers["authorization"] = (
        f"ACS3-HMAC-SHA256 Credential={front.simulator.access_key_id},SignedHeaders={names},Signature={signature}"
    )
    assert said(front.simulator.handle(Request("POST", "/", request.query, headers, body))).code == code


@pytest.mark.parametrize("edition", ["personal", "agile", "basic", "intelligent", "private"])
def test_each_edition_has_the_apis_of_its_rank_and_below(edition: Edition) -> None:
    rank = {"personal": 0, "agile": 0, "basic": 1, "intelligent": 2, "private": 2}
    front = desk(edition=edition, overrides={"quotas": {"qps": {"1+2+3": 10_000}, "daily": {"1+2+3": 10_000}}})
    refused = set()
    for spec in load_catalog():
        answer = front.ask(spec.name)
        if answer.code == "DataphinOpenApiForbidden":
            assert answer.status == 403
            refused.add(spec.name)
    assert refused == {spec.name for spec in load_catalog() if spec.edition and rank[spec.edition] > rank[edition]}
    assert ("GetDataServiceApiCallSummary" in refused) == (edition in ("personal", "agile"))


def test_a_refused_call_uses_no_quota_and_the_wait_is_exact() -> None:
    front = desk(edition="agile")
    for _ in range(5):
        assert front.ask("GetMyTenants").code == "OK"
        front.clock.turn(0.1)
    for _ in range(3):
        answer = front.ask("GetMyTenants")
        assert (answer.status, answer.code) == (400, "Throttling.User")
        assert answer.headers["x-acs-retry-after"] == "500"
    front.clock.turn(0.499)
    assert front.ask("GetMyTenants").code == "Throttling.User"
    front.clock.turn(0.002)
    assert front.ask("GetMyTenants").code == "OK"
    assert front.ask("GetMyTenants").code == "Throttling.User"
    assert front.simulator.refused == 5
    assert front.simulator.calls == {1: 6}


def test_levels_have_pools_of_their_own_from_basic_on() -> None:
    front = desk()
    window = {"StartTime": "2026-01-05 08:00:00", "EndTime": "2026-01-05 09:00:00"}
    for _ in range(5):
        assert front.ask("ListDataServiceApiCallStatistics", ProjectId=SERVICE, ListQuery=window).code == "OK"
    assert front.ask("ListDataServiceApiCallStatistics", ProjectId=SERVICE, ListQuery=window).code == "Throttling.User"
    assert front.ask("GetMyTenants").code == "OK"
    assert front.simulator.calls == {3: 5, 1: 1}


@pytest.mark.parametrize(
    ("style", "header"), [("ratelimit", "Limit:1,Remain:0,TimeLeft:1000,Reset:1000"), ("none", None)]
)
def test_throttling_speaks_in_older_headers_or_not_at_all(style: str, header: str | None) -> None:
    changes = {"quirks": {"throttle_headers": style}, "quotas": {"qps": {"1": 1}}}
    front = desk(overrides=changes)
    front.ask("GetMyTenants")
    answer = front.ask("GetMyTenants")
    assert answer.code == "Throttling.User"
    assert answer.headers.get("x-ratelimit-user-api") == header
    assert "x-acs-retry-after" not in answer.headers


def test_a_spent_day_says_no_wait_and_ends_at_midnight_in_shanghai() -> None:
    front = desk(edition="personal")
    front.simulator.gate.quota.spend_day("1+2+3", left=1)
    assert front.ask("GetMyTenants").code == "OK"
    answer = front.ask("GetMyTenants")
    assert answer.code == "Throttling.User"
    assert "x-acs-retry-after" not in answer.headers
    assert front.simulator.refusals == {"day": 1}
    front.clock.turn(14 * 3600 + 29 * 60)
    assert front.ask("GetMyTenants").code == "Throttling.User"
    front.clock.turn(61)
    assert front.ask("GetMyTenants").code == "OK"


def test_a_clock_that_goes_back_over_midnight_does_not_give_the_day_again() -> None:
    front = desk(edition="personal")
    front.simulator.gate.quota.spend_day("1+2+3")
    front.clock._start = datetime(2026, 1, 4, 1, tzinfo=UTC)
    assert front.ask("GetMyTenants").code == "Throttling.User"


def test_a_private_deployment_has_no_quota_unless_it_is_stated() -> None:
    front = desk(edition="private")
    assert {front.ask("GetMyTenants").code for _ in range(200)} == {"OK"}
    front = desk(edition="private", overrides={"quotas": {"qps": {"1": 1}, "levels": {"GetMyTenants": 2}}})
    assert {front.ask("GetMyTenants").code for _ in range(2)} == {"OK"}
    assert [front.ask("GetMyRoles").code for _ in range(2)] == ["OK", "Throttling.User"]


def test_impossible_quotas_are_a_mistake_of_the_scenario() -> None:
    with pytest.raises(ConfigError, match="quotas"):
        desk(overrides={"quotas": {"qps": {"4": 1}}})


def test_arrivals_are_recorded_with_what_became_of_them() -> None:
    front = desk(edition="agile", overrides={"quotas": {"qps": {"1+2+3": 2}}})
    front.ask("GetMyTenants")
    front.clock.turn(0.25)
    front.ask("ListDataServiceApiCalls")
    front.ask("GetMyRoles")
    front.ask("ListMiracles")
    rows = [(each.api, each.level, each.at, each.accepted, each.reason) for each in front.simulator.arrivals]
    assert rows == [
        ("GetMyTenants", 1, 0.0, True, ""),
        ("ListDataServiceApiCalls", 2, 0.25, False, "edition"),
        ("GetMyRoles", 1, 0.25, False, "rate"),
        ("ListMiracles", 0, 0.25, False, "api"),
    ]


def takes(quota: Quota) -> bool:
    """Whether one more call of level 1 is accepted now."""
    try:
        quota.take(load_catalog().require("GetMyTenants"))
    except Refusal:
        return False
    return True


@given(
    limit=st.integers(1, 6),
    gaps=st.lists(st.sampled_from([0.0, 0.001, 0.125, 0.25, 0.5, 0.999, 1.0, 1.001]), max_size=60),
)
def test_no_half_open_second_ever_holds_more_than_the_quota_and_none_is_wasted(limit: int, gaps: list[float]) -> None:
    clock = HandClock()
    calendar = Calendar(ZoneInfo("Asia/Shanghai"))
    quota = Quota(QuotaPlan({"1+2+3": limit}, {}), {}, clock, calendar, Quirks())
    accepted: list[float] = []
    for gap in gaps:
        clock.turn(gap)
        now = clock.monotonic()
        full = sum(1 for at in accepted if at > now - 1.0) >= limit
        assert takes(quota) is not full
        accepted += [] if full else [now]
    for start in accepted:
        assert sum(1 for at in accepted if start <= at < start + 1.0) <= limit


def test_a_key_can_be_added_for_somebody_else() -> None:
    front = desk()
    front.simulator.gate.keys["other"] = Key("other", "secret", User("7", "somebody"))
    request = signed("GetMyTenants", {"OpTenantId": "30001011"}, {}, ("other", "secret"), front.clock.now())
    assert said(front.simulator.handle(request)).body["TenantList"][0]["OwnerId"] == "7"


def test_the_old_signature_leaves_a_json_body_out() -> None:
    front = desk()
    simulator, when = front.simulator, front.clock.now()
    query = {
        "AccessKeyId": simulator.access_key_id,
        "Action": "ListProjects",
        "OpTenantId": str(simulator.op_tenant_id),
        "SignatureMethod": "HMAC-SHA1",
        "SignatureNonce": "once",
        "SignatureVersion": "1.0",
        "Timestamp": when.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "Version": "2023-06-30",
    }
    pairs = quote("&".join(f"{name}={quote(value, safe='')}" for name, value in sorted(query.items())), safe="")
    digest = new(f"{simulator.access_key_secret}&".encode(), f"POST&%2F&{pairs}".encode(), "sha1").digest()
    whole = urlencode({**query, "Signature": b64encode(digest).decode()})
    request = Request("POST", "/", whole, {"content-type": "application/json"}, b'{"ListQuery":{}}')
    assert said(simulator.handle(request)).code == "OK"
