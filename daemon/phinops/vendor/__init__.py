"""Dataphin's own spellings, read once at the edge.

One service, several styles: the SDK documents times as texts, the measured service sends epoch milliseconds; a
status is `WATING` here and `NIT` there; an id is a text in a list and a number in a detail. Nothing past this
package needs to know. Texts of time bear no zone and are read in the zone that is passed. Whatever is missing, null
or empty is read as absent; what is there and cannot be read raises `ValueError` naming the field.
"""

from __future__ import annotations

from phinops.vendor.messages import Message, read_message
from phinops.vendor.pages import Page, read_page, read_payload
from phinops.vendor.records import (
    instance_paused,
    read_alert,
    read_alert_project,
    read_instance,
    read_node,
)
from phinops.vendor.values import (
    STATES,
    STATUS_FILTERS,
    Record,
    read_biz_date,
    read_count,
    read_duration,
    read_flag,
    read_id,
    read_list,
    read_object,
    read_params,
    read_rate,
    read_state,
    read_text,
    read_time,
    write_time,
)

__all__ = [
    "STATES",
    "STATUS_FILTERS",
    "Message",
    "Page",
    "Record",
    "instance_paused",
    "read_alert",
    "read_alert_project",
    "read_biz_date",
    "read_count",
    "read_duration",
    "read_flag",
    "read_id",
    "read_instance",
    "read_list",
    "read_message",
    "read_node",
    "read_object",
    "read_page",
    "read_params",
    "read_payload",
    "read_rate",
    "read_state",
    "read_text",
    "read_time",
    "write_time",
]
