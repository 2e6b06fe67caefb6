from __future__ import annotations

import json
from dataclasses import replace

from phinops.event import AlertUrls
from phinops.execute.notify.note import RAW_LIMIT, Note, links_of, note_from, note_payload
from stillness import NOON, alert, failure


def test_a_notice_survives_the_outbox() -> None:
    event = failure(raw={"Id": "t_1"})
    payload = note_payload(
        {"title": "T", "message": "M", "severity": "critical"}, rule="r", firing_id="f_1", event=event
    )
    note = note_from(json.loads(json.dumps(payload)), id="msg_1", time=NOON)
    assert note == Note(
        id="msg_1",
        time=NOON,
        rule="r",
        firing_id="f_1",
        title="T",
        message="M",
        severity="critical",
        event=payload["event"],
        links={},
    )
    assert note.event["node"]["name"] == "dws_orders"
    assert note.event["raw"] == {"Id": "t_1"}


def test_the_rule_s_id_stands_for_a_missing_title() -> None:
    payload = note_payload({"title": "", "message": "M"}, rule="r", firing_id="f_1", event=failure())
    assert (payload["title"], payload["severity"]) == ("r", "warning")


def test_what_an_older_version_did_not_write_is_empty() -> None:
    note = note_from({}, id="msg_1", time=NOON)
    assert (note.title, note.message, note.severity, note.event, note.links) == ("", "", "warning", {}, {})


def test_a_large_payload_of_the_service_stays_at_home() -> None:
    payload = note_payload({"message": "M"}, rule="r", firing_id="f", event=failure(raw="x" * (RAW_LIMIT + 1)))
    assert payload["event"]["raw"] is None
    assert payload["event"]["instance"]["id"] == "t_1"


def test_an_alert_brings_its_addresses_along() -> None:
    event = alert()
    assert event.alert is not None
    urls = AlertUrls(log="https://log.example", config="https://config.example")
    assert links_of(replace(event, alert=replace(event.alert, urls=urls))) == {
        "log": "https://log.example",
        "config": "https://config.example",
    }
    assert links_of(failure()) == {}
