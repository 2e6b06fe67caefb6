"""Messages of Dataphin's custom message channels, which post what an alert is about to an address of the tenant's own.

Names are those of Dataphin's page on the metadata that custom message channels support: `message_type`, and
`message_metadata`, JSON as an object or as text. Whoever sets a channel up writes the body, so the metadata may also
stand at the top.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import tzinfo

from phinops.event import Alert, AlertObject, AlertUrls
from phinops.vendor.values import Record, read_biz_date, read_object, read_text, read_time

SYSTEMS: Mapping[str, str] = {
    "BATCH_PROCESS_ALARM": "VDM_BATCH",
    "LOGICAL_INSTANCE_ALARM": "VDM_BATCH",
    "REALTIME_PROCESS_ALARM": "STREAM",
    "STREAM_PIPELINE_ALARM": "REAL_TIME_PIPELINE",
    "BASELINE_ALARM": "KGB",
    "DATA_QUALITY_ALARM": "DQE",
    "DATA_SERVICE_ALARM": "OS",
}
"""The source system, as ListAlertEvents has it, of each type of message that is about an alert."""


@dataclass(frozen=True, slots=True)
class Message:
    """An alert that was pushed, and the project that it names. It has neither count nor first time."""

    alert: Alert
    project_id: str = ""
    project_name: str = ""


def read_message(document: object, zone: tzinfo) -> Message | None:
    """The alert that a message is about; None for messages about something else, such as permissions.

    Raises:
        ValueError: it is none of Dataphin's, or a field that cannot be read.
    """
    top = read_object(document, "the message")
    kind = read_text(top.get("message_type"), "message_type").strip().upper()
    if not kind:
        raise ValueError("message_type is missing: is it a message of Dataphin's custom channel?")
    if kind not in SYSTEMS:
        return None
    fields: Record = {**top, **_metadata(top.get("message_metadata"))}
    event_id = read_text(fields.get("event_id"), "event_id")
    if not event_id:
        raise ValueError(f"event_id is missing in a message of type {kind}")
    name = read_text(fields.get("node_name") or fields.get("api_name") or fields.get("table_name"), "node_name")
    alert = Alert(
        id=event_id,
        status="ALERTING",
        reason=read_text(fields.get("reason"), "reason"),
        object=AlertObject(name=name, system=SYSTEMS[kind]),
        latest_time=read_time(fields.get("notify_time"), zone, "notify_time"),
        biz_date=read_biz_date(fields.get("bizdate"), zone, "bizdate"),
        unique_key=read_text(fields.get("instance_id"), "instance_id"),
        urls=AlertUrls(object=read_text(fields.get("instance_url"), "instance_url")),
    )
    project = (read_text(fields.get(key), key) for key in ("project_id", "project_name"))
    return Message(alert, *project)


def _metadata(value: object) -> Record:
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError("message_metadata is no JSON") from None
    return read_object(value, "message_metadata")
