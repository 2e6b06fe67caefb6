from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phinops.catalog.catalog import ApiSpec, Parameter, load_catalog
from phinops.catalog.check import ParameterProblem, convert, problems_of

SHANGHAI = ZoneInfo("Asia/Shanghai")
NOON = datetime(2026, 1, 5, 4, 0, tzinfo=UTC)


def spec(name: str) -> ApiSpec:
    return load_catalog().require(name)


def rerun(**changes: object) -> dict[str, object]:
    command: dict[str, object] = {"ProjectId": 7, "Operation": "RERUN", "InstanceIdList": [{"Id": "t_1"}]}
    return {"OperateCommand": command | changes}


def messages(name: str, params: Mapping[str, object], *, templates: bool = False) -> list[str]:
    return [problem.message for problem in problems_of(spec(name), params, templates=templates)]


def made(kind: str) -> ApiSpec:
    """An API with one parameter of a kind that no real one takes as a scalar."""
    parameter = Parameter("Value", kind, False, "query")
    return ApiSpec("GetMade", None, None, "", "", (parameter,), (), True)


def test_right_parameters_have_no_problems() -> None:
    assert problems_of(spec("OperateInstance"), rerun()) == []


def test_what_phinops_fills_in_need_not_be_there_and_may() -> None:
    assert problems_of(spec("GetPhysicalInstance"), {"InstanceId": "t_1", "ProjectId": 7}) == []
    given = {"InstanceId": "t_1", "ProjectId": 7, "Env": "DEV", "OpTenantId": 5, "OpUserId": "9"}
    assert problems_of(spec("GetPhysicalInstance"), given) == []


def test_a_bare_call_lacks_what_phinops_was_not_asked_to_fill_in() -> None:
    problems = problems_of(spec("GetPhysicalInstance"), {"InstanceId": "t_1", "ProjectId": 7}, given=frozenset())
    assert problems == [ParameterProblem(("OpTenantId",), "GetPhysicalInstance needs OpTenantId (an integer)")]


def test_a_missing_parameter_is_named_wherever_it_lies() -> None:
    assert problems_of(spec("OperateInstance"), {}) == [
        ParameterProblem(("OperateCommand",), "OperateInstance needs OperateCommand (an object)")
    ]
    assert problems_of(spec("OperateInstance"), rerun(InstanceIdList=[{"Id": "t_1"}, {}])) == [
        ParameterProblem(("OperateCommand", "InstanceIdList", 1, "Id"), "InstanceIdList needs Id (text)")
    ]


def test_none_counts_as_left_out() -> None:
    assert messages("OperateInstance", rerun(ProjectId=None)) == ["OperateCommand needs ProjectId (an integer)"]
    assert messages("GetPhysicalInstance", {"InstanceId": "t_1", "ProjectId": 7, "Env": None}) == []


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    assert problems_of(spec("OperateInstance"), rerun(project_id=7, ProjectId=7)) == [
        ParameterProblem(
            ("OperateCommand", "project_id"),
            "OperateCommand has no parameter «project_id»: did you mean «ProjectId»?",
        )
    ]


def test_a_name_at_the_wrong_depth_is_sent_to_its_place() -> None:
    assert messages("OperateInstance", {**rerun(), "ProjectId": 7}) == [
        "OperateInstance has no parameter «ProjectId»: it belongs inside OperateCommand"
    ]


def test_a_name_like_no_other_is_answered_with_all_that_there_are() -> None:
    assert messages("GetPhysicalInstance", {"InstanceId": "t_1", "ProjectId": 7, "Zzz": 1}) == [
        "GetPhysicalInstance has no parameter «Zzz»: it takes InstanceId, ProjectId"
    ]
    assert messages("GetMyRoles", {"Zzz": 1}) == ["GetMyRoles has no parameter «Zzz»: it takes none"]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"ProjectId": "seven"}, "ProjectId wants an integer, got 'seven'"),
        ({"ProjectId": True}, "ProjectId wants an integer, got true"),
        ({"ProjectId": 7.0}, "ProjectId wants an integer, got 7.0"),
        ({"ProjectId": [7]}, "ProjectId wants an integer, got a list"),
        ({"ProjectId": {"Id": 7}}, "ProjectId wants an integer, got an object"),
        ({"ProjectId": datetime(2026, 1, 5)}, "ProjectId wants an integer, got 2026-01-05 00:00:00"),  # noqa: DTZ001 (a time without zone is the case)
        ({"Operation": False}, "Operation wants text, got false: put it in quotes"),
        ({"InstanceIdList": "t_1"}, "InstanceIdList wants a list of objects, got 't_1': write [t_1]"),
        ({"InstanceIdList": ["t_1"]}, "InstanceIdList wants an object, got 't_1'"),
        ({"InstanceIdList": [None]}, "InstanceIdList wants an object, got nothing"),
        ({"InstanceIdList": [{"Id": 1.5}]}, "Id wants text, got 1.5: put it in quotes"),
    ],
)
def test_a_wrong_type_is_named_with_what_would_be_right(changes: Mapping[str, object], complaint: str) -> None:
    assert messages("OperateInstance", rerun(**changes)) == [complaint]


def test_the_place_of_a_wrong_item_is_its_index() -> None:
    [problem] = problems_of(
        spec("ListAlertEvents"),
        {
            "ListQuery": {
                "AlertStartTime": NOON,
                "AlertEndTime": NOON,
                "Page": 1,
                "PageSize": "100",
                "SourceSystem": "ALL",
                "StatusList": ["ALERTING", ["FINISH"]],
            }
        },
    )
    assert problem.path == ("ListQuery", "StatusList", 1)
    assert problem.message == "StatusList wants text, got a list"


def test_a_value_outside_a_closed_list_is_refused() -> None:
    assert messages("OperateInstance", rerun(Operation="RE_RUN")) == [
        "Operation is one of RERUN, PAUSE, RESUME, TERMINATE, SET_SUCCESS, not «RE_RUN»: did you mean «RERUN»?"
    ]
    assert messages("GetPhysicalInstance", {"InstanceId": "t_1", "ProjectId": 7, "Env": "X"}) == [
        "Env is one of DEV, PROD, not «X»"
    ]


def test_a_value_outside_an_open_list_passes() -> None:
    query = {"ProjectId": 7, "ScheduleType": "NORMAL", "Page": 1, "PageSize": 100, "RunStatusList": ["NEW_ONE"]}
    assert messages("ListInstances", {"ListQuery": query}) == []


def test_a_structure_that_is_not_described_takes_anything() -> None:
    create = spec("CreateDirectory")
    assert not create.detailed
    assert problems_of(create, {"CreateCommand": {"Anything": [1, {"Goes": None}]}}) == []


def test_a_template_passes_as_any_type_where_templates_are_rendered_later() -> None:
    templated = rerun(ProjectId="{{ event.project.id }}", InstanceIdList="{% for x in y %}{% endfor %}")
    assert messages("OperateInstance", templated, templates=True) == []
    assert len(messages("OperateInstance", templated)) == 2
    assert messages("OperateInstance", rerun(Operation="{{ vars.op }}"), templates=True) == []


@pytest.mark.parametrize(
    ("kind", "value", "sent"),
    [
        ("integer", "132311", 132311),
        ("integer", "-5", -5),
        ("integer", 9223372036854775807, 9223372036854775807),
        ("integer", NOON, 1767585600000),
        ("string", 1234567890123456789, "1234567890123456789"),
        ("string", "t_1", "t_1"),
        ("string", NOON, "2026-01-05 12:00:00"),
        ("string", date(2026, 1, 5), "2026-01-05"),
        ("number", "1.5", 1.5),
        ("number", "2", 2),
        ("number", 2.5, 2.5),
        ("boolean", "true", True),
        ("boolean", "false", False),
        ("boolean", True, True),
        ("array<integer>", ("1", 2), [1, 2]),
        ("array<string>", [1, "2"], ["1", "2"]),
        ("any", False, False),
    ],
)
def test_a_value_is_sent_in_the_shape_that_dataphin_wants(kind: str, value: object, sent: object) -> None:
    params = {"Value": value}
    assert problems_of(made(kind), params) == []
    converted = convert(made(kind), params, SHANGHAI)
    assert converted == {"Value": sent}
    assert json.loads(json.dumps(converted)) == converted


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("number", "1,5"),
        ("number", True),
        ("boolean", "yes"),
        ("boolean", 1),
        ("integer", "9" * 30),
        ("integer", str(2**63)),
        ("integer", 2**63),
        ("number", float("nan")),
        ("integer", date(2026, 1, 5)),
    ],
)
def test_a_value_that_cannot_be_sent_is_a_problem(kind: str, value: object) -> None:
    assert len(problems_of(made(kind), {"Value": value})) == 1


def test_conversion_reaches_into_structures_and_leaves_out_none() -> None:
    params = rerun(ProjectId="7", InstanceIdList=[{"Id": 12, "FieldInstanceIdList": None}]) | {"Env": None}
    assert convert(spec("OperateInstance"), params) == {
        "OperateCommand": {"ProjectId": 7, "Operation": "RERUN", "InstanceIdList": [{"Id": "12"}]}
    }


def test_what_is_not_described_keeps_its_type_but_can_be_written_as_json() -> None:
    params = {"CreateCommand": {"Ids": ("1", 2), "When": NOON, "Odd": True}}
    assert convert(spec("CreateDirectory"), params) == {
        "CreateCommand": {"Ids": ["1", 2], "When": "2026-01-05 04:00:00", "Odd": True}
    }


def members(values: st.SearchStrategy[object]) -> st.SearchStrategy[dict[str, object]]:
    names = ["ProjectId", "Operation", "InstanceIdList", "Id", "FieldInstanceIdList", "OperateCommand", "Zzz"]
    return st.dictionaries(st.sampled_from(names), values, max_size=4)


SCALARS = (
    st.sampled_from(["", "t_1", "7", "true", "RERUN", NOON]) | st.none() | st.booleans() | st.integers() | st.floats()
)
ANYTHING = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | members(inner), max_leaves=12)


@given(members(ANYTHING), st.booleans())
def test_whatever_is_given_is_either_a_problem_or_can_be_sent(given: dict[str, object], nearly_right: bool) -> None:
    operate = spec("OperateInstance")
    params = rerun(**given) if nearly_right else given
    if problems_of(operate, params):
        return
    sent = convert(operate, params, SHANGHAI)
    assert problems_of(operate, sent) == []
    assert convert(operate, sent, SHANGHAI) == sent
    assert json.loads(json.dumps(sent, allow_nan=False)) == sent
