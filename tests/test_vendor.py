"""Dataphin's spellings, read once at the edge."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phinops import vendor
from phinops.event import INSTANCE_STATES, AlertUrls, Owner

ZONE = ZoneInfo("Asia/Shanghai")
MOMENT = datetime(2024, 5, 30, 16, 47, 13, tzinfo=ZONE)
MILLIS = 1717058833000


@pytest.mark.parametrize(
    "value",
    [
        MILLIS,
        float(MILLIS),
        str(MILLIS),
        "2024-05-30 16:47:13",
        " 2024-05-30 16:47:13.000 ",
        "2024/05/30 16:47:13",
        "20240530164713",
        "2024-05-30T16:47:13",
        "2024-05-30T16:47:13+08:00",
        "2024-05-30T08:47:13Z",
    ],
)
def test_every_style_of_time_is_the_same_moment(value: object) -> None:
    read = vendor.read_time(value, ZONE)
    assert read == MOMENT
    assert read is not None
    assert read.tzinfo is ZONE


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("2024-05-30", datetime(2024, 5, 30, tzinfo=ZONE)),
        ("20240530", datetime(2024, 5, 30, tzinfo=ZONE)),
        ("2024_0530", datetime(2024, 5, 30, tzinfo=ZONE)),
        ("2025_0611_1011", datetime(2025, 6, 11, 10, 11, tzinfo=ZONE)),
        ("2025-06-11 10:11", datetime(2025, 6, 11, 10, 11, tzinfo=ZONE)),
        (MILLIS + 123, MOMENT + timedelta(milliseconds=123)),
    ],
)
def test_dates_and_minutes_are_times_too(value: object, read: datetime) -> None:
    assert vendor.read_time(value, ZONE) == read


@pytest.mark.parametrize("value", [None, "", "  ", "null", "-", 0, "0", -1, "-1"])
def test_what_stands_for_nothing_is_absent(value: object) -> None:
    assert vendor.read_time(value, ZONE) is None
    assert vendor.read_biz_date(value, ZONE) == ""


@pytest.mark.parametrize(
    "value",
    [
        "soon",
        "99999999",
        "2024-13-01",
        "2024_13_01",
        "2024-05-30 16:4",
        True,
        [],
        {},
        10**30,
        float("nan"),
        float("inf"),
    ],
)
def test_junk_is_refused_by_the_name_of_its_field(value: object) -> None:
    with pytest.raises(ValueError, match=r"^DueTime: "):
        vendor.read_time(value, ZONE, "DueTime")


@given(st.integers(86_400, 4_000_000_000), st.integers(-12, 14))
def test_a_written_time_is_read_back(seconds: int, offset: int) -> None:
    zone = timezone(timedelta(hours=offset))
    moment = datetime.fromtimestamp(seconds, UTC)
    assert vendor.read_time(vendor.write_time(moment, zone), zone) == moment
    assert vendor.read_time(int(moment.timestamp() * 1000), zone) == moment


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.text())))
def test_whatever_is_sent_is_read_absent_or_refused(value: object) -> None:
    for read in (
        lambda: vendor.read_time(value, ZONE),
        lambda: vendor.read_biz_date(value, ZONE),
        lambda: vendor.read_duration(value),
        lambda: vendor.read_rate(value),
        lambda: vendor.read_count(value, "Count"),
        lambda: vendor.read_text(value, "Text"),
        lambda: vendor.read_flag(value, "Flag"),
        lambda: vendor.read_state(value),
        lambda: vendor.read_instance({"Id": "t_1", "StatusList": value}, ZONE),
        lambda: vendor.read_instance(value, ZONE),
        lambda: vendor.read_node(value),
        lambda: vendor.read_alert(value, ZONE),
    ):
        try:
            read()
        except ValueError:
            continue


@pytest.mark.parametrize(
    ("value", "date"),
    [("2024-11-25 10:02:47", "2024-11-25"), ("20241125", "2024-11-25"), (MILLIS, "2024-05-30"), (None, "")],
)
def test_a_business_date_is_a_date_in_the_zone(value: object, date: str) -> None:
    assert vendor.read_biz_date(value, ZONE) == date


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(60, 60), ("60", 60), ("60s", 60), ("3600S", 3600), ("1m 30s", 90), ("00:01:30", 90), (59.9, 59), ("0", 0)],
)
def test_a_duration_is_whole_seconds(value: object, seconds: int) -> None:
    assert vendor.read_duration(value) == seconds


@pytest.mark.parametrize("value", [None, "", "null"])
def test_a_missing_number_is_null(value: object) -> None:
    assert vendor.read_duration(value) is None
    assert vendor.read_rate(value) is None
    assert vendor.read_count(value, "x") is None
    assert vendor.read_flag(value, "x") is None


@pytest.mark.parametrize("value", ["a while", -1, "-5", float("nan"), True, "12x"])
def test_what_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="Duration: "):
        vendor.read_duration(value)


@pytest.mark.parametrize(
    ("value", "rate"), [(10.01, 0.1001), ("10.0", 0.1), ("23.2%", 0.232), (0, 0.0), ("100 %", 1.0), (1, 0.01)]
)
def test_a_rate_is_a_share_of_one(value: object, rate: float) -> None:
    assert vendor.read_rate(value) == pytest.approx(rate)


@pytest.mark.parametrize("value", ["many", 101, "-1%", float("nan"), True, "%%"])
def test_what_is_no_percentage_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="ErrorRate: "):
        vendor.read_rate(value)


@pytest.mark.parametrize(("value", "count"), [(22, 22), ("22", 22), (22.0, 22), ("0", 0)])
def test_a_count_is_whole(value: object, count: int) -> None:
    assert vendor.read_count(value, "ErrorCount") == count


@pytest.mark.parametrize("value", [2.5, -1, "-1", "2.5", "²", True])
def test_what_is_no_count_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="ErrorCount: "):
        vendor.read_count(value, "ErrorCount")


def test_an_id_keeps_all_its_digits_and_is_never_a_fraction() -> None:
    assert vendor.read_id({"Id": 9007199254740993123}) == "9007199254740993123"
    assert vendor.read_id({"Id": " t_1 "}) == "t_1"
    with pytest.raises(ValueError, match="Id: a fraction"):
        vendor.read_id({"Id": 9.007199254740993e18})
    for missing in ({}, {"Id": None}, {"Id": ""}, {"Id": "  "}):
        with pytest.raises(ValueError, match="Id is missing"):
            vendor.read_id(missing)


@pytest.mark.parametrize(("value", "flag"), [(True, True), ("false", False), ("TRUE", True), ("0", False), (1, True)])
def test_a_flag_may_be_a_text(value: object, flag: bool) -> None:
    assert vendor.read_flag(value, "SchedulePaused") is flag
    with pytest.raises(ValueError, match="neither true nor false"):
        vendor.read_flag("perhaps", "SchedulePaused")


@pytest.mark.parametrize(
    ("statuses", "state"),
    [
        (["INIT"], "WAITING"),
        (["NIT"], "WAITING"),
        (["WAIT_SUBMISSION"], "WAITING"),
        (["WAIT_SCHEDULE"], "WAITING"),
        (["WAIT_RESOURCE"], "WAITING"),
        (["WAITING"], "WAITING"),
        (["WATING"], "WAITING"),
        (["DISPATCH_BLOCKED"], "BLOCKED"),
        (["RUNNING"], "RUNNING"),
        (["SUCCESS"], "SUCCESS"),
        (["FAILED"], "FAILED"),
        (["FAILE"], "FAILED"),
        (["failed "], "FAILED"),
        ("SUCCESS", "SUCCESS"),
        (["KILLED"], "UNKNOWN"),
        ([], "UNKNOWN"),
        ([None], "UNKNOWN"),
        (None, "UNKNOWN"),
        (["SUCCESS", "RUNNING", "FAILED"], "FAILED"),
        (["RUNNING", "DISPATCH_BLOCKED"], "BLOCKED"),
        (["INIT", "RUNNING"], "RUNNING"),
        (["INIT", "KILLED"], "WAITING"),
        (["SUCCESS", "KILLED"], "UNKNOWN"),
        (["SUCCESS", "SUCCESS"], "SUCCESS"),
    ],
)
def test_of_several_statuses_the_worst_counts(statuses: object, state: str) -> None:
    assert vendor.read_state(statuses) == state


def test_what_a_list_is_filtered_by_means_the_state() -> None:
    assert set(vendor.STATUS_FILTERS) == set(INSTANCE_STATES) - {"UNKNOWN"}
    for state, statuses in vendor.STATUS_FILTERS.items():
        assert {vendor.read_state([status]) for status in statuses} == {state}


RECORD: dict[str, Any] = {
    "Id": "t_1",
    "StatusList": ["FAILED"],
    "BizDate": "2024-05-29",
    "DueTime": "2024-05-30 16:00:00",
    "StartExecuteTime": MILLIS,
    "EndExecuteTime": str(MILLIS + 60_000),
    "Duration": "60s",
    "NodeInfo": {"SchedulePaused": "true"},
}


def test_an_instance_is_read_whole() -> None:
    instance = vendor.read_instance(RECORD, ZONE)
    assert (instance.id, instance.status, instance.biz_date) == ("t_1", "FAILED", "2024-05-29")
    assert instance.due_time == datetime(2024, 5, 30, 16, tzinfo=ZONE)
    assert (instance.started_at, instance.ended_at) == (MOMENT, MOMENT + timedelta(minutes=1))
    assert (instance.duration_s, instance.paused, instance.attempts, instance.previous_status) == (60, True, None, "")


def test_an_instance_may_lack_everything_but_its_id() -> None:
    instance = vendor.read_instance({"Id": "t_1"}, ZONE)
    assert (instance.status, instance.biz_date, instance.started_at, instance.paused) == ("UNKNOWN", "", None, None)
    assert vendor.read_instance({"Id": "t_1", "Status": "NIT"}, ZONE).status == "WAITING"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("StartExecuteTime", "later"),
        ("StatusList", {}),
        ("StatusList", [["x"]]),
        ("NodeInfo", "n_1"),
        ("Duration", "x"),
    ],
)
def test_a_field_of_an_instance_that_cannot_be_read_is_named(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^{field}: "):
        vendor.read_instance({**RECORD, field: value}, ZONE)


def test_a_node_is_read_from_a_list_and_from_its_detail() -> None:
    listed = vendor.read_node(
        {
            "Id": "n_1",
            "Name": "dws_orders",
            "Type": "DATA_PROCESS",
            "SubDetailType": "SHELL",
            "PriorityList": ["HIGH", "LOW"],
            "SchedulePeriodList": ["DAILY"],
            "OwnerList": [{"Id": 31, "Name": "li"}, None, {"Id": "32"}],
        }
    )
    assert (listed.id, listed.type, listed.sub_type, listed.priority) == ("n_1", "DATA_PROCESS", "SHELL", "HIGH")
    assert listed.owners == (Owner("31", "li"), Owner("32", ""))
    assert (listed.schedule_period, listed.paused) == ("DAILY", None)
    detail = vendor.read_node(
        {"Id": "n_1", "From": "PIPELINE", "OperatorType": "SHELL", "Priority": "LOW", "Owner": {"Id": "31"}}
    )
    assert (detail.type, detail.sub_type, detail.priority, detail.owners) == (
        "PIPELINE",
        "SHELL",
        "LOW",
        (Owner("31"),),
    )
    assert vendor.read_node(None) == vendor.read_node({})


def test_an_alert_is_read_whole() -> None:
    alert = vendor.read_alert(
        {
            "Id": 12345,
            "Status": "ALERTING",
            "TotalAlertTimes": "3",
            "FirstAlertTime": "2024-05-30 16:47:13",
            "LatestAlertTime": MILLIS,
            "AlertReason": {
                "Type": "VDM_BATCH_ERROR",
                "UniqueKey": "t_1",
                "BizDate": "2024-11-25 10:02:47",
                "AlertReasonParamList": [
                    {"Key": "node", "Value": "old"},
                    {"Key": "node", "Value": "dws"},
                    {"Key": "count", "Value": 3},
                    {"Key": "late", "Value": True},
                    {"Key": "none"},
                ],
            },
            "AlertObject": {"Name": "dws", "Type": "VDM_BATCH_SHELL", "SourceSystemType": "VDM_BATCH"},
            "BelongProject": {"ProjectName": "orders"},
            "UrlConfig": {"LogUrl": "l", "ObjectUrl": "o", "AlertConfigUrl": "c"},
        },
        ZONE,
    )
    assert (alert.id, alert.status, alert.times, alert.reason) == ("12345", "ALERTING", 3, "VDM_BATCH_ERROR")
    assert (alert.first_time, alert.latest_time, alert.biz_date) == (MOMENT, MOMENT, "2024-11-25")
    assert alert.params == {"node": "dws", "count": "3", "late": "true", "none": ""}
    assert (alert.object.name, alert.object.system, alert.unique_key) == ("dws", "VDM_BATCH", "t_1")
    assert alert.urls == AlertUrls("l", "o", "c")


def test_an_alerts_project_is_a_name_or_nothing() -> None:
    assert vendor.read_alert_project({"BelongProject": {"ProjectName": "orders"}}) == "orders"
    assert vendor.read_alert_project({}) == ""
    with pytest.raises(ValueError, match="BelongProject: a list where an object was expected"):
        vendor.read_alert_project({"BelongProject": []})
