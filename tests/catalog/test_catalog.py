from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from phinops.catalog.catalog import ApiSpec, Catalog, Field, Parameter, UnknownApi, is_read, load_catalog, nearest

PUBLISHED = Path(__file__).with_name("levels.csv")


def published() -> dict[str, tuple[int, str, str, str]]:
    with PUBLISHED.open(encoding="utf-8", newline="") as table:
        return {
            row["api"]: (int(row["throttling_level"]), row["minimum_edition"], row["section"], row["group"])
            for row in csv.DictReader(table)
        }


def test_the_leveled_apis_are_those_of_the_published_table() -> None:
    ours = {s.name: (s.level, s.edition, s.section, s.group) for s in load_catalog() if s.level is not None}
    assert len(ours) == 211
    assert ours == published()


def test_the_other_165_apis_have_neither_level_nor_edition_nor_place() -> None:
    rest = [spec for spec in load_catalog() if spec.level is None]
    assert len(rest) == 165
    assert {(spec.edition, spec.section, spec.group) for spec in rest} == {(None, "", "")}


def test_the_catalog_gives_376_apis_sorted_by_name() -> None:
    catalog = load_catalog()
    names = [spec.name for spec in catalog]
    assert len(catalog) == len(names) == 376
    assert names == sorted(set(names))


def test_every_api_takes_the_tenant_and_answers_with_the_envelope() -> None:
    for spec in load_catalog():
        tenant = spec.parameter("OpTenantId")
        assert tenant == Parameter("OpTenantId", "integer", True, "query")
        envelope = {each.name: each.type for each in spec.response if each.type != "any"}
        assert envelope["Code"] == "string"
        assert envelope["Success"] == "boolean"
        assert [each.name for each in spec.response] == sorted(each.name for each in spec.response)


def test_scalars_travel_in_the_query_and_structures_in_the_form() -> None:
    for spec in load_catalog():
        for each in spec.parameters:
            structured = each.type == "object" or each.type.startswith("array")
            assert each.location == ("form" if structured else "query"), (spec.name, each.name)


def test_38_apis_are_known_in_full() -> None:
    detailed = [spec for spec in load_catalog() if spec.detailed]
    assert len(detailed) == 38
    for spec in detailed:
        assert "any" not in [each.type for each in spec.parameters] + [each.type for each in spec.response]


def test_an_api_in_full_has_its_tree_of_parameters_and_its_answer() -> None:
    spec = load_catalog().require("OperateInstance")
    command = spec.parameter("OperateCommand")
    assert command is not None
    assert (command.type, command.required, command.location) == ("object", True, "form")
    inside = {each.name: each for each in command.children}
    assert inside["Operation"].enum == ("RERUN", "PAUSE", "RESUME", "TERMINATE", "SET_SUCCESS")
    assert inside["Operation"].closed
    assert [each.name for each in inside["InstanceIdList"].children] == ["FieldInstanceIdList", "Id"]
    answer = {each.name: each for each in spec.response}
    assert Field("ErrorMessage", "string") in answer["InstanceStatusList"].children


def test_documented_values_that_may_grow_do_not_close_a_list() -> None:
    spec = load_catalog().require("ListInstances")
    query = spec.parameter("ListQuery")
    assert query is not None
    states = next(each for each in query.children if each.name == "RunStatusList")
    assert "WAIT_RESOURCE" in states.enum
    assert not states.closed


def test_an_api_that_hands_out_nothing_but_knowledge_reads() -> None:
    assert is_read("ListInstances")
    assert is_read("CheckResourcePermission")
    assert load_catalog().require("GetPhysicalInstance").reads


@pytest.mark.parametrize("name", ["OperateInstance", "FixData", "GetFileStorageCredential", "ExecuteAdHocTask"])
def test_everything_else_writes(name: str) -> None:
    assert not is_read(name)


def test_an_unknown_api_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownApi, match="did you mean «ListInstances»") as caught:
        load_catalog().require("list_instance")
    assert (caught.value.name, caught.value.suggestion) == ("list_instance", "ListInstances")


def test_a_name_like_no_other_gets_no_suggestion() -> None:
    with pytest.raises(UnknownApi, match=r"unknown API «Zzz»$"):
        load_catalog().require("Zzz")


def test_a_name_is_looked_up_exactly() -> None:
    catalog = load_catalog()
    assert catalog.get("operateinstance") is None
    assert catalog.get("OperateInstance") is catalog.get("OperateInstance")
    assert "OperateInstance" in catalog
    assert "operateinstance" not in catalog


def test_a_search_finds_by_words_of_name_section_and_group() -> None:
    found = load_catalog().search("alert LIST")
    assert [spec.name for spec in found if spec.level == 1] == ["ListAlertEvents", "ListAlertNotifications"]
    assert {spec.section for spec in load_catalog().search("o&m center")} == {"O&M center"}
    assert load_catalog().search("no such thing") == []


def test_the_nearest_name_disregards_case_and_underscores() -> None:
    assert nearest("op_tenant_id", ["OpTenantId", "OpUserId"]) == "OpTenantId"
    assert nearest("x", ["OpTenantId"]) == ""


def test_an_api_is_made_into_objects_once() -> None:
    catalog = Catalog({"GetX": [None, None, "", "", [["A", "string", 0, "query"]], [["Data", "any"]], 0]})
    spec = catalog.require("GetX")
    assert isinstance(spec, ApiSpec)
    assert spec.parameter("A") == Parameter("A", "string", False, "query")
    assert spec.parameter("B") is None
    assert catalog.get("GetX") is spec


def test_loading_imports_nothing_that_only_a_mistake_or_a_call_needs() -> None:
    code = (
        "import sys; from phinops.catalog.catalog import load_catalog; load_catalog();"
        "print(sorted({'difflib', 'pydantic', 'httpx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
