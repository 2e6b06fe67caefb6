"""Messages of Dataphin's custom message channels, as its page on their metadata has them."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from phinops.vendor import read_message

ZONE = ZoneInfo("Asia/Shanghai")
BATCH: dict[str, Any] = {
    "event_id": "6834213246913282049",
    "reason": "VDM_BATCH_ERROR",
    "instance_id": "t_6834213246913282048_20260104_7112354123",
    "instance_url": "https://dataphin.example/i/1",
    "bizdate": "20260104",
    "node_id": "n_1",
    "node_name": "dws_orders",
    "project_id": 7132,
    "project_name": "retail_dw",
    "notify_time": "2026-01-05 02:31:07",
}


@pytest.mark.parametrize(
    "document",
    [
        {"message_type": "BATCH_PROCESS_ALARM", "message_metadata": BATCH},
        {"message_type": "BATCH_PROCESS_ALARM", "message_metadata": json.dumps(BATCH)},
        {"message_type": "batch_process_alarm", **BATCH},
    ],
    ids=["as an object", "as text", "at the top"],
)
def test_an_alert_of_an_offline_task_is_read_wherever_its_metadata_stands(document: dict[str, Any]) -> None:
    message = read_message(document, ZONE)
    assert message is not None
    alert = message.alert
    assert (alert.id, alert.status, alert.reason) == ("6834213246913282049", "ALERTING", "VDM_BATCH_ERROR")
    assert alert.unique_key == "t_6834213246913282048_20260104_7112354123"
    assert alert.latest_time == datetime(2026, 1, 5, 2, 31, 7, tzinfo=ZONE)
    assert (alert.biz_date, alert.object.name, alert.object.system) == ("2026-01-04", "dws_orders", "VDM_BATCH")
    assert (message.project_id, message.project_name) == ("7132", "retail_dw")


def test_messages_about_something_else_are_no_alerts() -> None:
    assert read_message({"message_type": "PERMISSION_NOTICE"}, ZONE) is None


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "where an object was expected"),
        ({}, "message_type is missing"),
        ({"message_type": "DATA_SERVICE_ALARM"}, "event_id is missing in a message of type DATA_SERVICE_ALARM"),
        ({"message_type": "DATA_SERVICE_ALARM", "message_metadata": "{"}, "message_metadata is no JSON"),
        ({"message_type": "DATA_SERVICE_ALARM", "message_metadata": "[]"}, "message_metadata"),
        ({"message_type": "DATA_SERVICE_ALARM", "event_id": {}}, "event_id"),
        ({"message_type": "DATA_SERVICE_ALARM", "event_id": "1", "notify_time": "noon"}, "notify_time"),
    ],
)
def test_what_cannot_be_read_is_told_by_its_name(document: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_message(document, ZONE)
