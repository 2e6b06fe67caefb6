"""The catalog against the official SDK itself, which is installed for tests only."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from alibabacloud_dataphin_public20230630 import models

from phinops.catalog.catalog import Field, Parameter, load_catalog

SCALARS: Mapping[str, object] = {"string": "x", "integer": 1, "number": 1.5, "boolean": True, "any": "x"}


def sample(tree: Sequence[Parameter | Field]) -> dict[str, object]:
    """A value for every name of the tree."""
    return {each.name: value(each) for each in tree}


def value(node: Parameter | Field) -> object:
    kind = node.type.removeprefix("array<").removesuffix(">")
    one = sample(node.children) if kind == "object" else SCALARS[kind]
    return [one] if node.type.startswith("array") else one


def through_the_sdk(model: str, wire: Mapping[str, object]) -> Any:
    """`wire` read and written again by a model of the SDK, which drops what it does not know."""
    return getattr(models, model)().from_map(wire).to_map()


def test_the_sdk_takes_exactly_the_parameters_of_each_api() -> None:
    for spec in load_catalog():
        wire = sample(spec.parameters)
        assert through_the_sdk(f"{spec.name}Request", wire).keys() == wire.keys(), spec.name
        model = getattr(models, f"{spec.name}Request")
        assert len(inspect.signature(model).parameters) == len(spec.parameters), spec.name


def test_the_sdk_knows_each_field_at_the_top_of_each_answer() -> None:
    for spec in load_catalog():
        model = getattr(models, f"{spec.name}ResponseBody")
        assert len(inspect.signature(model).parameters) == len(spec.response), spec.name


@pytest.mark.parametrize("name", [spec.name for spec in load_catalog() if spec.detailed])
def test_the_sdk_reads_and_writes_the_whole_trees(name: str) -> None:
    spec = load_catalog().require(name)
    request, response = sample(spec.parameters), sample(spec.response)
    assert through_the_sdk(f"{name}Request", request) == request
    assert through_the_sdk(f"{name}ResponseBody", response) == response
