"""What is sent to `/hooks/NAME`."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook

from fake_dataphin import START
from phinops.arrive.hooks import MAX_DEPTH, HookRefused, Proof, receive
from phinops.event import Event

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"build": {"id": 7, "ok": true}}'


def signed(body: bytes, when: datetime = START, message: str = "msg_1", secret: str = SECRET) -> dict[str, str]:
    return {
        "webhook-id": message,
        "webhook-timestamp": str(int(when.timestamp())),
        "webhook-signature": Webhook(secret).sign(message, when.astimezone(UTC), body.decode()),
    }


def send(body: bytes, headers: Mapping[str, str], now: datetime = START) -> Event | HookRefused:
    return receive("deploy", Proof(SECRET), headers, body, now, tenant="prod")


def status(body: bytes, headers: Mapping[str, str], now: datetime = START) -> int:
    answer = send(body, headers, now)
    return answer.status if isinstance(answer, HookRefused) else 202


def test_an_authentic_message_is_an_event_with_its_body() -> None:
    event = send(BODY, signed(BODY))
    assert isinstance(event, Event)
    assert (event.type, event.body, event.time) == ("hook.deploy", {"build": {"id": 7, "ok": True}}, START)
    assert event.raw == {"webhook-id": "msg_1", "webhook-timestamp": str(int(START.timestamp()))}


def test_a_message_sent_again_later_is_the_same_event() -> None:
    later = START + timedelta(hours=1)
    first, again = send(BODY, signed(BODY)), send(BODY, signed(BODY, later), later)
    assert isinstance(first, Event)
    assert isinstance(again, Event)
    assert first.id == again.id


def test_header_names_are_taken_in_any_case_and_one_good_signature_among_others_is_enough() -> None:
    headers = {name.title(): value for name, value in signed(BODY).items()}
    headers["Webhook-Signature"] = f"v1a,xyz v1,bad nonsense {headers['Webhook-Signature']}"
    assert status(BODY, headers) == 202


@pytest.mark.parametrize("seconds", [301, -301])
def test_a_message_more_than_five_minutes_from_now_is_refused(seconds: int) -> None:
    assert status(BODY, signed(BODY), START + timedelta(seconds=seconds)) == 401
    assert status(BODY, signed(BODY), START + timedelta(seconds=300)) == 202


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("webhook-id", ""),
        ("webhook-id", "x" * 513),
        ("webhook-id", "msg_2"),
        ("webhook-timestamp", ""),
        ("webhook-timestamp", "soon"),
        ("webhook-timestamp", "9" * 400),
        ("webhook-signature", ""),
        ("webhook-signature", "v1,AAAA"),
    ],
)
def test_a_header_that_is_missing_or_wrong_is_refused(name: str, value: str) -> None:
    assert status(BODY, {**signed(BODY), name: value}) == 401


def test_another_body_or_another_secret_is_refused() -> None:
    assert status(b"{}", signed(BODY)) == 401
    assert status(BODY, signed(BODY, secret="whsec_" + "QUFB" * 8)) == 401


@pytest.mark.parametrize("body", [b"", b"{", b"nope", b"NaN", b'{"a": -Infinity}', b'["\\ud800"]', b"1" * 5000])
def test_what_is_not_json_that_can_be_kept_is_refused_with_400(body: bytes) -> None:
    assert status(body, signed(body)) == 400


def test_what_is_not_utf8_is_refused_with_400() -> None:
    assert status(b'"\xff"', {**signed(b'""')}) == 400


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 100_000])
def test_what_is_nested_too_deep_is_refused(depth: int) -> None:
    body = b"[" * depth + b"]" * depth
    assert status(body, signed(body)) == 400


def test_what_is_nested_as_deep_as_allowed_is_taken() -> None:
    body = json.dumps({"a": [{}]}).encode()
    assert status(body, signed(body)) == 202
    body = b"[" * MAX_DEPTH + b"1" + b"]" * MAX_DEPTH
    assert status(body, signed(body)) == 202


# Those who sign the body alone, and those who send a token


HMAC = Proof("s3cret", "hmac", "X-Hub-Signature-256", "X-GitHub-Delivery")
GITLAB = Proof("t0ken", "bearer", "X-Gitlab-Token", "X-Gitlab-Event-UUID")
BEARER = Proof("t0ken", "bearer")


def sent_to(proof: Proof, body: bytes, headers: Mapping[str, str], now: datetime = START) -> Event | HookRefused:
    return receive("deploy", proof, headers, body, now, tenant="prod")


def digest(body: bytes, secret: str = "s3cret") -> bytes:
    return hmac.new(secret.encode(), body, hashlib.sha256).digest()


@pytest.mark.parametrize(
    "signature",
    [f"sha256={digest(BODY).hex()}", digest(BODY).hex().upper(), base64.b64encode(digest(BODY)).decode()],
)
def test_a_signature_of_the_body_is_taken_in_the_forms_that_senders_use(signature: str) -> None:
    event = sent_to(HMAC, BODY, {"x-hub-signature-256": signature, "x-github-delivery": "72d3162e"})
    assert isinstance(event, Event)
    assert (event.time, event.raw) == (START, {"x-github-delivery": "72d3162e"})


@pytest.mark.parametrize("signature", ["", "sha256=", f"sha256={digest(BODY, 'other').hex()}", "ü", "x" * 10_000])
def test_a_wrong_signature_of_the_body_is_refused(signature: str) -> None:
    refused = sent_to(HMAC, BODY, {"X-Hub-Signature-256": signature, "X-GitHub-Delivery": "1"})
    assert isinstance(refused, HookRefused)
    assert refused.status == 401
    assert "s3cret" not in refused.reason


@pytest.mark.parametrize(
    ("proof", "headers", "status"),
    [
        (GITLAB, {"X-Gitlab-Token": "t0ken", "X-Gitlab-Event-UUID": "1"}, 202),
        (GITLAB, {"X-Gitlab-Token": "t0ken"}, 400),
        (GITLAB, {"X-Gitlab-Token": "wrong", "X-Gitlab-Event-UUID": "1"}, 401),
        (GITLAB, {"Authorization": "Bearer t0ken", "X-Gitlab-Event-UUID": "1"}, 401),
        (BEARER, {"Authorization": "Bearer t0ken"}, 202),
        (BEARER, {"Authorization": "bearer  t0ken "}, 202),
        (BEARER, {"Authorization": "Basic t0ken"}, 401),
        (BEARER, {"Authorization": "Bearer "}, 401),
        (BEARER, {}, 401),
    ],
)
def test_a_token_is_taken_where_the_sender_puts_it(proof: Proof, headers: Mapping[str, str], status: int) -> None:
    answer = sent_to(proof, BODY, headers)
    assert (answer.status if isinstance(answer, HookRefused) else 202) == status


def test_a_message_without_an_id_is_known_by_its_text_for_a_day() -> None:
    headers = {"authorization": "Bearer t0ken"}
    moments = [START, START + timedelta(minutes=1), START + timedelta(days=1)]
    first, again, tomorrow = (sent_to(BEARER, BODY, headers, moment) for moment in moments)
    other = sent_to(BEARER, b"{}", headers)
    assert isinstance(first, Event) and isinstance(again, Event)  # noqa: PT018 - for the types
    assert isinstance(tomorrow, Event) and isinstance(other, Event)  # noqa: PT018
    assert first.id == again.id
    assert len({first.id, tomorrow.id, other.id}) == 3
