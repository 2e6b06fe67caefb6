"""The schemas for editors: complete, and of one mind with the models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from phinops.catalog.catalog import load_catalog
from phinops.decide import later
from phinops.decide.blueprintmodel import UseModel
from phinops.decide.filemodel import FileModel
from phinops.decide.model import RuleModel, StepModel
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


def test_no_hint_speaks_of_a_step_that_will_never_be() -> None:
    to_come = {*later.STEPS, *later.RULE_KEYS}
    assert STEPS.keys() - HINTS.keys() == set()
    assert {name for name in HINTS if name.endswith(("_instance", "_node"))} <= {*STEPS, *to_come}


def test_a_number_may_come_of_a_template() -> None:
    assert written("parallelism", {"type": "integer"})["anyOf"] == [{"type": "integer"}, TEMPLATE]


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
