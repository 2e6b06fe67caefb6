"""The schemas for editors: complete, and of one mind with the models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from phinops.catalog.catalog import load_catalog
from phinops.decide.blueprintmodel import UseModel
from phinops.decide.filemodel import FileModel
from phinops.decide.model import RuleModel, StepModel
from phinops.decide.testfile import ABOUT_ACTIONS
from phinops.event import ADDS
from phinops.execute.steps.table import STEPS
from phinops.surface.cli import phinops
from phinops.surface.hints import EVENTS, HINTS
from phinops.surface.schema import SCHEMAS, TEMPLATE, Schema, step_schema, written


def keys(schema: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Schema]]:
    """Every key that the schema knows, with its own schema."""
    if isinstance(schema, dict):
        for name, inner in schema.get("properties", {}).items():
            yield (*path, name), inner
        for name, inner in schema.items():
            if name == "properties":
                for key, each in inner.items():
                    yield from keys(each, (*path, key))
            else:
                yield from keys(inner, path)
    elif isinstance(schema, list):
        for inner in schema:
            yield from keys(inner, path)


@pytest.mark.parametrize("kind", SCHEMAS)
def test_every_key_has_a_hint_but_the_fields_of_events(kind: str) -> None:
    own = [(path, each) for path, each in keys(SCHEMAS[kind]()) if not {"event", "state"} & set(path[:-1])]
    assert [path for path, each in own if not each.get("description")] == []


def test_the_schema_has_every_key_of_the_models() -> None:
    rules = SCHEMAS["rules"]()["properties"]
    assert rules.keys() == FileModel.model_fields.keys()
    rule = rules["rules"]["items"]["properties"]
    assert rule.keys() == {
        field.alias or name for model in (RuleModel, UseModel) for name, field in model.model_fields.items()
    }
    step = step_schema()["properties"]
    beside = {key for kind in STEPS.values() for key in kind.beside}
    shared = {field.alias or name for name, field in StepModel.model_fields.items()}
    assert step.keys() == shared | STEPS.keys() | beside


def test_events_and_apis_are_listed_with_what_they_are() -> None:
    text = json.dumps(SCHEMAS["rules"]())
    for kind in ADDS:
        assert f'"{kind}"' in text
    assert EVENTS.keys() == ADDS.keys()
    assert step_schema()["properties"]["call"]["enum"] == [spec.name for spec in load_catalog()]


def test_each_form_of_several_events_completes_types_and_says_what_its_span_is() -> None:
    rule = SCHEMAS["rules"]()["properties"]["rules"]["items"]["properties"]
    forms = [each["properties"] for each in rule["on"]["anyOf"] if "properties" in each]
    spans = [each["within"]["description"] for each in forms if "within" in each]
    assert len(set(spans)) == 3
    assert not any("a wish" in span for span in spans)
    types = [each[key] for each in forms for key in ("event", "absent") if key in each and "const" not in each[key]]
    assert len(types) == 3
    for each in (*types, rule["on"]["anyOf"][0]):
        known = each["anyOf"][0]["enum"]
        assert set(ADDS) - set(known) == {"instance.overdue", "instance.stuck"}


def test_no_hint_speaks_of_a_step_that_will_never_be() -> None:
    assert STEPS.keys() - HINTS.keys() == set()
    assert {name for name in HINTS if name.endswith(("_instance", "_node"))} <= STEPS.keys()


@pytest.mark.parametrize("of_blueprints", [False, True])
def test_the_schema_states_what_an_event_of_a_test_is_without_a_word(of_blueprints: bool) -> None:
    holder = SCHEMAS["rules"]()["properties"]["blueprints"]["items"] if of_blueprints else SCHEMAS["tests"]()
    step = holder["properties"]["tests"]["items"]["properties"]["steps"]["items"]["properties"]
    event = step["event"]["properties"]
    assert event["project"]["default"] == {"id": "1", "name": "project"}
    assert event["instance"]["properties"]["id"]["default"] == "t_1"
    assert event["instance"]["properties"]["biz_date"]["description"] == "without it: the day before the event's time"
    assert "enumDescriptions" in event["type"]["anyOf"][0]
    assert step["state"]["properties"].keys() == {"instance", "node", "alert", "api", "impact"}
    assert step["state"]["properties"]["node"]["properties"]["downstream"]["default"] == 0


def test_an_expected_action_names_what_matters_of_it() -> None:
    step = SCHEMAS["tests"]()["properties"]["tests"]["items"]["properties"]["steps"]["items"]["properties"]
    action = step["expect"]["properties"]["actions"]["items"]["properties"]
    assert action.keys() == {*STEPS, *ABOUT_ACTIONS, "with"}
    assert "verified" in action["outcome"]["enum"]
    for kind in STEPS:
        options = action[kind]["anyOf"]
        assert {"type": "null"} in options
        assert not any("required" in option for option in options)


def test_a_number_may_come_of_a_template() -> None:
    assert written("parallelism", {"type": "integer"})["anyOf"] == [{"type": "integer"}, TEMPLATE]


def test_whatever_a_blueprint_says_may_be_an_input() -> None:
    made = SCHEMAS["rules"]()["properties"]["blueprints"]["items"]["properties"]
    forms = made["on"]["anyOf"][0]["anyOf"]
    counted = next(each for each in forms if "count" in each.get("properties", {}))["properties"]
    step = made["do"]["anyOf"][0]["items"]["properties"]
    several = next(each for each in forms if each.get("type") == "array")["items"]
    for each in (*counted.values(), several, step["retry"], step["on_error"]):
        assert TEMPLATE in each["anyOf"]


def test_a_duration_is_shown_as_it_is_written() -> None:
    tenant = SCHEMAS["config"]()["properties"]["tenants"]["items"]["properties"]
    assert tenant["timeout"]["default"] == "10s"
    assert tenant["sources"]["properties"]["impacts"]["properties"]["window"]["default"] == "10m"


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_schema_is_printed_and_holds_no_reference(kind: str) -> None:
    result = CliRunner().invoke(phinops, ["schema", kind])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["$schema"].startswith("http://json-schema.org/draft-07")
    assert "$ref" not in result.stdout
