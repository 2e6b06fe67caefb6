from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from phinops.execute.sign import (
    SIGNERS,
    KeyPair,
    Stamp,
    Unsigned,
    acs3,
    acs3_authorization,
    canonical_query,
    compact,
    rpc_v1,
)

FILE = json.loads(Path(__file__).with_name("signing-vectors.json").read_text(encoding="utf-8"))
STAMP = Stamp(datetime.fromisoformat(FILE["timestamp"]), FILE["nonce"])
KEY = KeyPair(FILE["access_key_id"], FILE["access_key_secret"])
ACS3 = [vector for vector in FILE["vectors"] if vector["algorithm"] == "ACS3-HMAC-SHA256"]
RPC = [vector for vector in FILE["vectors"] if vector["algorithm"].startswith("HMAC-SHA1")]
OF_RPC = {"Action", "Format", "Version", "Timestamp", "SignatureNonce", "SignatureMethod", "SignatureVersion"}


def title(vector: dict[str, Any]) -> str:
    return str(vector["title"])


def unsigned(vector: dict[str, Any]) -> Unsigned:
    query = {
        name: value for name, value in vector["query"].items() if name not in OF_RPC | {"AccessKeyId", "Signature"}
    }
    return Unsigned(vector["headers"]["x-acs-action"], vector["host"], query, vector["form_fields"] or {})


@pytest.mark.parametrize("vector", ACS3, ids=title)
def test_acs3_equals_the_vectors_over_the_headers_that_matter(vector: dict[str, Any]) -> None:
    token = FILE["security_token"] if "x-acs-security-token" in vector["headers"] else ""
    signed = acs3(unsigned(vector), KeyPair(KEY.id, KEY.secret, token), STAMP)
    assert signed.headers["authorization"] == vector["minimal_authorization"]
    assert signed.body.decode() == (vector["body_as_sent"] or "")
    assert vector["url_as_sent"].endswith("/?" + signed.query)
    sent = {name.lower(): value for name, value in vector["headers"].items()}
    assert {name: sent[name] for name in signed.headers if name != "authorization"} == {
        name: value for name, value in signed.headers.items() if name != "authorization"
    }


@pytest.mark.parametrize("vector", ACS3, ids=title)
def test_acs3_equals_the_vectors_over_all_headers_of_the_sdk(vector: dict[str, Any]) -> None:
    headers = {name.lower(): value for name, value in vector["headers"].items() if name != "Authorization"}
    assert acs3_authorization(canonical_query(vector["query"]), headers, KEY) == vector["authorization"]


@pytest.mark.parametrize("vector", RPC, ids=title)
def test_rpc_v1_equals_the_vectors(vector: dict[str, Any]) -> None:
    signed = rpc_v1(unsigned(vector), KEY, STAMP)
    assert signed.query == canonical_query(vector["query"])
    assert signed.body.decode() == (vector["body_as_sent"] or "")
    assert signed.headers["host"] == vector["host"]
    assert "authorization" not in signed.headers


def test_rpc_v1_carries_the_token_of_temporary_credentials() -> None:
    signed = rpc_v1(unsigned(RPC[0]), KeyPair(KEY.id, KEY.secret, "a token"), STAMP)
    assert "SecurityToken=a%20token" in signed.query


def test_further_headers_travel_and_only_those_of_acs_are_signed() -> None:
    call = Unsigned("ListNodes", "h", {}, {}, {"x-acs-retry-attempts": "2", "user-agent": "u"})
    headers = acs3(call, KEY, STAMP).headers
    assert "x-acs-retry-attempts;x-acs-signature-nonce" in headers["authorization"]
    assert "user-agent" not in headers["authorization"]
    assert headers["user-agent"] == "u"


def test_the_date_is_utc_whatever_the_zone() -> None:
    shanghai = timezone(timedelta(hours=8))
    assert Stamp(datetime(2026, 1, 2, 8, 0, tzinfo=shanghai), "n").text == "2026-01-02T00:00:00Z"
    assert Stamp(datetime(2026, 1, 2, tzinfo=UTC), "n").text == "2026-01-02T00:00:00Z"


def test_a_secret_shows_in_no_repr() -> None:
    key = KeyPair("id", "hush", "token")
    assert "hush" not in repr(key)
    assert "token'" not in repr(key)
    assert "Signature=" not in repr(acs3(unsigned(ACS3[0]), KEY, STAMP))


def test_structs_are_compact_and_unescaped_and_never_not_a_number() -> None:
    assert compact({"b": [1, {"z": None}], "a": "日报"}) == '{"a":"日报","b":[1,{"z":null}]}'
    with pytest.raises(ValueError, match="JSON"):
        compact({"a": float("nan")})


def test_both_signatures_of_the_config_are_known() -> None:
    assert (SIGNERS["acs3"], SIGNERS["rpc_v1"]) == (acs3, rpc_v1)
