from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from phinops.catalog.build import build, main
from phinops.catalog.catalog import ApiSpec, Catalog, Field, Parameter

ENV = {"name": "Env", "type": "string", "required": False, "location": "query", "enum": [{"value": "DEV"}]}
COMMAND = {
    "name": "Command",
    "type": "object",
    "required": True,
    "location": "body",
    "children": [{"name": "Id", "type": "string", "required": True}],
}
ANSWER = [
    {"name": "Code", "type": "string"},
    {"name": "Items", "type": "array<object>", "children": [{"name": "Ok", "type": "boolean"}]},
]
APIS: dict[str, Any] = {
    "actions": {
        "StopIt": {"request": [], "response_top_level": ["Code", "Items"], "throttle_level": 2},
        "GetIt": {"request": [ENV], "response_top_level": ["Code", "Data"], "throttle_level": None},
    },
    "detailed": {"StopIt": {"request": [ENV, COMMAND], "response": ANSWER}},
}
LEVELS = [
    {"section": "S", "group": "G", "api": "StopIt", "throttling_level": "2", "minimum_edition": "basic"},
]


def test_what_is_built_is_read_back_as_the_same_apis() -> None:
    catalog = Catalog(json.loads(build(APIS, LEVELS)))
    env = Parameter("Env", "string", False, "query", (), ("DEV",))
    command = Parameter("Command", "object", True, "form", (Parameter("Id", "string", True, "form"),))
    stop = catalog.require("StopIt")
    assert stop.response[2] == Field("Items", "array<object>", (Field("Ok", "boolean"),))
    assert stop == ApiSpec("StopIt", 2, "basic", "S", "G", (env, command), stop.response, True)
    get = catalog.require("GetIt")
    assert get.response[1] == Field("Data", "any")
    assert [each.name for each in get.response] == [
        "Code", "Data", "HttpStatusCode", "Message", "RequestId", "Success",
    ]  # fmt: skip
    assert get == ApiSpec("GetIt", None, None, "", "", (env,), get.response, False)


def test_each_api_stands_on_a_line_of_its_own() -> None:
    assert [line[:6] for line in build(APIS, LEVELS).splitlines()] == ["{", '"GetIt', '"StopI', "}"]


def test_a_level_of_an_api_that_the_sdk_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks: Gone"):
        build(APIS, [*LEVELS, LEVELS[0] | {"api": "Gone"}])


def test_levels_that_disagree_are_refused() -> None:
    with pytest.raises(ValueError, match="StopIt: level 3 in the table, 2 in APIS"):
        build(APIS, [LEVELS[0] | {"throttling_level": "3"}])


def test_the_script_writes_the_file(tmp_path: Path) -> None:
    source, table, target = tmp_path / "apis.json", tmp_path / "levels.csv", tmp_path / "out.json"
    source.write_text(json.dumps(APIS), encoding="utf-8")
    rows = [",".join(LEVELS[0]), ",".join(LEVELS[0].values())]
    table.write_text("\n".join(rows), encoding="utf-8")
    assert main([str(source), str(table)], target) == 0
    assert target.read_text(encoding="utf-8") == build(APIS, LEVELS)


def test_the_script_wants_two_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: python -m phinops.catalog.build" in capsys.readouterr().err
