from __future__ import annotations

import json
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from phinops.catalog.catalog import Edition
from phinops.errors import Refused
from phinops.execute.steps.call import REPLY_LIMIT, CallParams, kept_reply
from phinops.execute.steps.kind import BadStep, ItemAnswer, Target, Write, checked
from phinops.execute.steps.table import STEPS
from stillness import NOON, Checked, StillLook, failure

CALL = STEPS["call"]


def call(api: str, **parameters: object) -> CallParams:
    return CallParams.model_validate({"call": api, "with": parameters})


async def write_of(api: str, **parameters: object) -> Write:
    return await CALL.write(call(api, **parameters), failure(), StillLook())


def problems(params: CallParams, edition: Edition | None = None) -> list[tuple[tuple[str | int, ...], str]]:
    return CALL.problems(params, Checked(edition))


def test_an_api_s_name_tells_whether_it_writes() -> None:
    assert not CALL.writes(call("ListNodes"))
    assert CALL.writes(call("FixData"))
    assert CALL.writes(call("GetFileStorageCredential"))


async def test_parameters_are_converted_to_what_the_api_wants() -> None:
    write = await write_of("GetPhysicalInstance", InstanceId="t_1", ProjectId="77")
    assert write.params == {"InstanceId": "t_1", "ProjectId": 77}
    assert (write.api, write.batch) == ("GetPhysicalInstance", "")


async def test_times_are_written_on_the_clocks_of_the_event() -> None:
    shanghai = NOON.astimezone(ZoneInfo("Asia/Shanghai"))
    params = call(
        "ListAlertEvents",
        ListQuery={
            "AlertStartTime": NOON,
            "AlertEndTime": NOON,
            "Page": 1,
            "PageSize": 20,
            "SourceSystem": "ALL",
        },
    )
    write = await CALL.write(params, failure(time=shanghai), StillLook())
    assert write.params["ListQuery"]["AlertStartTime"] == "2026-01-05 20:00:00"
    json.dumps(write.params)


def test_mistakes_are_found_with_their_place() -> None:
    found = problems(call("GetPhysicalInstance", InstanceID="t_1", ProjectId="seven"))
    assert [path for path, _ in found] == [("with", "InstanceID"), ("with", "ProjectId")]
    assert "did you mean «InstanceId»" in found[0][1]


def test_templates_stand_for_values_of_any_type() -> None:
    assert problems(call("GetPhysicalInstance", InstanceId="{{ event.instance.id }}", ProjectId="{{ vars.p }}")) == []


def test_an_unknown_api_is_found_with_a_suggestion() -> None:
    [(path, message)] = problems(call("ListNode"))
    assert path == ("call",)
    assert "ListNodes" in message


def test_an_api_s_name_is_no_template() -> None:
    [(path, _)] = problems(call("{{ vars.api }}"))
    assert path == ("call",)


def test_the_tenant_id_is_filled_in() -> None:
    assert problems(call("GetMyTenants", OpTenantId=1)) == [
        (("with", "OpTenantId"), "OpTenantId is filled in from the tenant's config: leave it out")
    ]


def test_what_the_edition_does_not_have_is_found() -> None:
    params = call("ListDataServicePublishedApis")
    assert problems(params, "agile")[0][0] == ("call",)
    assert all(path[0] == "with" for path, _ in problems(params, "basic"))


async def test_a_wrong_rendered_value_is_refused_with_its_place() -> None:
    with pytest.raises(BadStep, match="ProjectId wants an integer, got 'seven'"):
        await write_of("GetPhysicalInstance", InstanceId="t_1", ProjectId="seven")
    with pytest.raises(BadStep, match="unknown API «Nothing»"):
        await write_of("Nothing")


def test_with_may_be_left_empty() -> None:
    assert checked(CALL, {"call": "GetMyRoles", "with": None}) == call("GetMyRoles")
    assert checked(CALL, {"call": "GetMyRoles"}) == call("GetMyRoles")
    with pytest.raises(BadStep, match="call: "):
        checked(CALL, {"call": ""})


OPERATE = {"ProjectId": 7, "Operation": "RERUN"}


async def test_a_call_on_one_target_is_known_by_that_target() -> None:
    """So that it waits its turn behind an unsettled step on the same instance."""
    write = await write_of("OperateInstance", OperateCommand={**OPERATE, "InstanceIdList": [{"Id": "t_1"}]})
    assert write.target == Target("instance", "t_1", "7")
    write = await write_of("PausePhysicalNode", PauseCommand={"ProjectId": "7", "NodeIdList": ["n_1"]})
    assert write.target == Target("node", "n_1", "7")
    days = {"StartBizDate": "2026-01-01", "EndBizDate": "2026-01-01"}
    command = {"ProjectId": 7, "NodeIdList": [{"Id": "n_1"}], **days}
    assert (await write_of("CreateNodeSupplement", CreateCommand=command)).target == write.target
    command = {"ProjectId": 7, "NodeId": "n_1", **days}
    assert (await write_of("ExecuteManualNode", ExecuteCommand=command)).target == write.target
    fix = await write_of("FixData", FixDataCommand={"ProjectId": 7, "RootInstanceId": {"Id": "t_1"}})
    assert fix.target == Target("instance", "t_1", "7")


async def test_any_other_call_is_known_by_what_it_asks() -> None:
    many = [{"Id": "t_1"}, {"Id": "t_2"}]
    one = await write_of("OperateInstance", OperateCommand={**OPERATE, "InstanceIdList": many})
    same = await write_of("OperateInstance", OperateCommand={"InstanceIdList": many, **OPERATE})
    other = await write_of("OperateInstance", OperateCommand={**OPERATE, "InstanceIdList": [*many, {"Id": "t_3"}]})
    assert one.target.kind == "api"
    assert one.target.id.startswith("OperateInstance#")
    assert one.target == same.target != other.target
    assert (await write_of("GetMyRoles")).target == Target("api", "GetMyRoles")


async def test_a_call_travels_alone_as_it_is() -> None:
    write = await write_of("GetPhysicalInstance", InstanceId="t_1", ProjectId=77)
    assert CALL.merge([write]) == write.params
    with pytest.raises(ValueError, match="alone"):
        CALL.merge([write, write])


def test_one_refused_item_refuses_the_whole_call() -> None:
    body = {"InstanceStatusList": [{"Id": "t_1", "Status": "SUCCESS"}, {"Id": "t_2", "ErrorMessage": "not yours"}]}
    assert CALL.items(body, ["x"]) == {"x": ItemAnswer(False, "t_2: not yours")}
    assert CALL.items({"SubmitId": "s_1"}, ["x"]) == {"x": ItemAnswer(True)}


async def test_a_call_without_a_probe_cannot_be_read_back() -> None:
    write = await write_of("GetMyRoles")
    assert await CALL.baseline(StillLook(), write, None) == {}
    assert await CALL.probe(StillLook(), write, {}) == "unclear"
    assert await CALL.progress(StillLook(), write, {}) == "pending"
    assert CALL.standing(write, {}, {}).kind == "wanted"
    assert not CALL.met(Refused("OperateInstance", "DPN.TaskScheduler.Task.TaskRunning", ""))


def test_a_reply_is_kept_without_its_secrets() -> None:
    body: dict[str, Any] = {
        "Data": {"AccessKeySecret": "abc", "Api-Key": "k", "Name": "x", "Expires": 5, "Tokens": ["a", ""]},
        "Authorization": "Basic eA==",
        "Success": True,
    }
    assert CALL.result(body) == {
        "reply": {
            "Data": {"AccessKeySecret": "***", "Api-Key": "***", "Name": "x", "Expires": 5, "Tokens": ["***", ""]},
            "Authorization": "***",
            "Success": True,
        }
    }


def test_a_long_reply_is_kept_as_its_beginning() -> None:
    kept = kept_reply({"Text": "单" * REPLY_LIMIT})
    assert kept["reply_text"].startswith('{"Text":"单')
    assert len(kept["reply_text"].encode()) <= REPLY_LIMIT
    assert kept["bytes"] > 3 * REPLY_LIMIT


PROBE = {"call": "ListNodes", "with": {"ListQuery": "{{ vars.query }}"}, "if": "size(reply.Data) > 0"}


def probed(api: str = "FixData", **changes: object) -> CallParams:
    return CallParams.model_validate({"call": api, "with": {}, "probe": {**PROBE, **changes}})


@pytest.mark.parametrize(
    ("params", "edition", "path", "part"),
    [
        (probed("ListNodes"), None, ("probe",), "ListNodes only reads: there is nothing to read back"),
        (probed(call="FixDatta"), None, ("probe", "call"), "did you mean «FixData»?"),
        (probed(call="FixData"), None, ("probe", "call"), "FixData writes: a probe only reads"),
        (probed(call="ListDataServiceApiCalls"), "agile", ("probe", "call"), "the agile edition does not have"),
        (
            CallParams.model_validate({"call": "FixData", "probe": {**PROBE, "with": {"Nod": 1}}}),
            None,
            ("probe", "with", "Nod"),
            "has no parameter «Nod»",
        ),
        (probed(**{"if": "{{ vars.x }}"}), None, ("probe", "if"), "a condition is no template"),
    ],
)
def test_the_mistakes_of_a_probe_are_found_with_their_place(
    params: CallParams, edition: Edition | None, path: tuple[str, ...], part: str
) -> None:
    found = [message for where, message in problems(params, edition) if where == path]
    assert any(part in message for message in found), problems(params, edition)


def test_the_calls_of_a_probe_are_known_beforehand() -> None:
    assert CALL.apis(probed()) == ("FixData", "ListNodes")
    assert problems(probed())[0][0][0] == "with"  # and nothing of the probe


@pytest.mark.parametrize(
    ("shown", "baseline", "standing", "probe", "progress"),
    [
        ((True, ""), {"holds": True, "why": ""}, "met", "applied", "verified"),
        ((False, ""), {"holds": False, "why": ""}, "wanted", "absent", "pending"),
        ((None, "no key"), {"holds": None, "why": "no key"}, "changed", "unclear", "pending"),
    ],
)
async def test_a_probe_tells_what_became_of_a_call(
    shown: tuple[bool | None, str], baseline: dict[str, object], standing: str, probe: str, progress: str
) -> None:
    given = {"call": "ListNodes", "with": {"ListQuery": {"Page": 1}}, "if": "size(reply.Data) > 0"}
    write = Write("call", "FixData", Target("api", "FixData"), {"A": 1}, given=given)
    look = StillLook(shown=shown)
    assert await CALL.baseline(look, write, None) == baseline
    assert CALL.standing(write, {}, baseline).kind == standing
    assert await CALL.probe(look, write, baseline) == probe
    assert await CALL.progress(look, write, baseline) == progress
    assert set(look.asked) == {"ListNodes"}
