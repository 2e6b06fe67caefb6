"""JSON Schemas of rule files, tests and config, from the models that read them: for editors, with a hint at every key.

They are of draft 7, which every editor knows, and hold no references, so that a part can be read where it stands. They
are a help at writing, `check` judges: what depends on more than one place, a schema cannot see.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, TypeAdapter

from phinops.catalog.catalog import ApiSpec, load_catalog
from phinops.config import Config
from phinops.decide.defaults import event_schema, state_schema
from phinops.decide.filemodel import FileModel
from phinops.decide.lasting import FORMS
from phinops.decide.model import StepModel
from phinops.decide.rule import StepKind
from phinops.decide.testmodel import STATES, TestFileModel
from phinops.durations import format_duration
from phinops.event import ADDS
from phinops.execute.steps.table import STEPS
from phinops.surface.hints import EVENTS, HINTS, VALUES

Schema = dict[str, Any]

DRAFT = "http://json-schema.org/draft-07/schema#"
DURATION: Schema = {"type": "string", "pattern": r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$"}
TEMPLATE: Schema = {"type": "string", "pattern": r"\{[{%]"}
OWN_EVENT: Schema = {"type": "string", "pattern": r"^(hook|custom)\..+"}

_HINT_KEYS = ("description", "markdownDescription")
_SEVERITIES = ("info", "warning", "critical")


def rules_schema() -> Schema:
    """The schema of `*.rules.yaml`."""
    schema = _Inlined(FileModel).schema
    parts = schema["properties"]
    rule, use = parts["rules"]["items"]["anyOf"]
    # One object for both kinds of rule: an editor completes it better than one of two.
    properties = {
        **_filled(rule["properties"], step_schema()),
        "use": use["properties"]["use"],
        "with": use["properties"]["with"],
    }
    parts["rules"]["items"] = {**rule, "properties": properties, "required": ["id"]}
    blueprint = parts["blueprints"]["items"]
    made = _filled(blueprint["properties"], _or_input(step_schema()))
    forms, whole = made["on"]["anyOf"]  # all of it may be one input already
    blueprint["properties"] = {**made, "on": {**made["on"], "anyOf": [_or_input(forms), whole]}}
    steps = blueprint["properties"]["tests"]["items"]["properties"]["steps"]
    steps["items"] = _test_step(steps["items"])
    return {"$schema": DRAFT, **schema}


def _or_input(node: Schema) -> Schema:
    """The schema with a template in place of any value within: in a blueprint each may be an input."""
    if "properties" in node:
        return {**node, "properties": {key: _or_input(each) for key, each in node["properties"].items()}}
    if "anyOf" in node:
        options = [inner for each in map(_or_input, node["anyOf"]) for inner in _alternatives(each)]
        others = [each for each in options if each != TEMPLATE]
        return {**node, "anyOf": [*others, TEMPLATE] if TEMPLATE in options else others}
    if "items" in node:
        return {**node, "items": _or_input(node["items"])}
    if not {"pattern", "enum"} & node.keys() and node.get("type") not in ("integer", "number", "boolean"):
        return node
    hint = {key: node[key] for key in _HINT_KEYS if key in node}
    return {"anyOf": [{key: value for key, value in node.items() if key not in hint}, TEMPLATE], **hint}


def _alternatives(node: Schema) -> list[Schema]:
    """What the schema allows, each by itself, where a template is one of it."""
    options: list[Schema] = node.get("anyOf", [])
    return options if TEMPLATE in options else [node]


def _filled(properties: Schema, step: Schema) -> Schema:
    """The keys of a rule with what stands below `on` and `do`, which its model leaves to others."""
    do = properties["do"]
    steps = [{**each, "items": step} if each.get("type") == "array" else each for each in do.get("anyOf", [do])]
    filled = {**do, "anyOf": steps} if len(steps) > 1 else steps[0]
    return {**properties, "on": _on(properties["on"]), "do": filled}


def tests_schema() -> Schema:
    """The schema of `*.test.yaml`."""
    schema = _Inlined(TestFileModel).schema
    steps = schema["properties"]["tests"]["items"]["properties"]["steps"]
    steps["items"] = _test_step(steps["items"])
    return {"$schema": DRAFT, **schema}


def _test_step(schema: Schema) -> Schema:
    steps = schema["properties"]
    # What the models say of these is whole already: the defaults of parts are no scalars, and belong there.
    event = event_schema()
    event["properties"]["type"] = event_type_schema()
    steps["event"] = {**event, **_hint(HINTS["event"])}
    steps["state"] = {**state_schema(STATES), **_hint(HINTS["state"])}
    steps["expect"]["properties"]["actions"]["items"] = _expected_action(steps["expect"])
    return schema


def _expected_action(expect: Schema) -> Schema:
    """An action that is expected: a kind with any of its parameters, and what there is to say beside it."""
    firing = expect["properties"]["firings"]["items"]["properties"]
    said = {
        "outcome": {**firing["steps"]["additionalProperties"], **_hint(HINTS["outcome"])},
        "rule": {"type": "string", **_hint(HINTS["rule"])},
        "step": {"type": "string", **_hint(HINTS["step"])},
        "with": {"type": "object", **_hint(HINTS["with"])},
    }
    kinds = {name: _any_of_it(_kind(kind)) for name, kind in STEPS.items()}
    return {"type": "object", "properties": {**kinds, **said}, "additionalProperties": False}


def _any_of_it(kind: Schema) -> Schema:
    """What stands after the key of a kind, with nothing required: or nothing at all."""
    hint = {key: kind[key] for key in _HINT_KEYS if key in kind}
    bare = {key: value for key, value in kind.items() if key not in (*hint, "required")}
    options = [{key: value for key, value in each.items() if key != "required"} for each in bare.get("anyOf", [bare])]
    return {"anyOf": [*options, {"type": "null"}], **hint}


def config_schema() -> Schema:
    """The schema of `phinops.toml`."""
    return {"$schema": DRAFT, **_Inlined(Config).schema}


class _Inlined:
    """A model's schema with the parts that it refers to put in their place, and a hint at each key."""

    def __init__(self, model: type[BaseModel]) -> None:
        whole = model.model_json_schema(by_alias=True)
        self._parts: Mapping[str, Schema] = whole.pop("$defs", {})
        self.schema = self._tidied(whole)

    def _tidied(self, node: Schema) -> Schema:
        if "$ref" in node:
            part = self._parts[node["$ref"].rpartition("/")[2]]
            return self._tidied({**part, **{key: value for key, value in node.items() if key != "$ref"}})
        options = [option for option in node.get("anyOf", ()) if option != {"type": "null"}]
        if "anyOf" in node and len(options) == 1:
            rest = {key: value for key, value in node.items() if key != "anyOf"}
            return self._tidied({**options[0], **rest})
        found = _plainly({key: value for key, value in node.items() if key not in ("title", "default", "anyOf")})
        if options:
            found["anyOf"] = [self._tidied(option) for option in options]
        default = _default(node)
        return {**found, **({"default": default} if default is not None else {}), **self._below(node)}

    def _below(self, node: Schema) -> Schema:
        """The parts of the node that are schemas themselves."""
        found = {key: self._tidied(node[key]) for key in ("items", "additionalProperties") if _is_schema(node, key)}
        if "properties" in node:
            model = str(node.get("title", ""))
            found["properties"] = {key: self._hinted(model, key, each) for key, each in node["properties"].items()}
        return found

    def _hinted(self, model: str, key: str, node: Schema) -> Schema:
        hint = HINTS.get(f"{model}.{key}") or node.get("description") or HINTS.get(key, "")
        found = self._tidied(node)
        if key in VALUES and "enum" in found:
            found["enumDescriptions"] = [VALUES[key][word] for word in found["enum"]]
        return {**found, **_hint(hint)}


def _hint(text: str) -> Schema:
    """The keys for a hint: editors that know Markdown are given it, the others no signs of it."""
    plain = text.replace("`", "")
    return {"description": plain} | ({"markdownDescription": text} if plain != text else {}) if text else {}


def _is_schema(node: Schema, key: str) -> bool:
    return isinstance(node.get(key), dict) and bool(node[key])


def _plainly(node: Schema) -> Schema:
    """Durations as they are written here, and conditions, which may be a bare `true`."""
    if node.get("format") == "duration":
        return {**DURATION, **{key: value for key, value in node.items() if key not in ("format", "type")}}
    if node.get("description") == "CEL":
        return {**node, "type": ["string", "boolean"]}
    return node


def _default(node: Schema) -> Any:
    """What holds where the key is left out, as it would be written; None where that needs no word."""
    if not isinstance(node.get("default"), str | int | float) or node["default"] == "":
        return None
    if node.get("format") == "duration":
        return format_duration(TypeAdapter(timedelta).validate_python(node["default"]))
    return node["default"]


def _on(schema: Schema) -> Schema:
    """`on` with the types that there are wherever it names one."""
    found: Schema = _with_types(schema)
    return {**found, **_hint(HINTS["on"])}


def _with_types(node: Any) -> Any:
    if isinstance(node, list):
        return [_with_types(each) for each in node]
    if not isinstance(node, dict):
        return node
    if node.get("type") == "string" and node.get("description") == "an event type":
        return event_type_schema(without=FORMS)
    if node.get("type") == "array" and node.get("items") == {"type": "string"}:
        return {**node, "items": event_type_schema(without=FORMS)}
    if "properties" in node:
        hinted = {key: {**_hint(HINTS[key]), **each} for key, each in node["properties"].items()}
        return {**node, "properties": {key: _typed(key, each) for key, each in hinted.items()}}
    return {key: _with_types(value) for key, value in node.items()}


def _typed(key: str, node: Schema) -> Schema:
    """A key below `on` that may be that of an event type."""
    if key in ("event", "absent") and node.get("type") == "string":
        return {**event_type_schema(without=FORMS), **{key: node[key] for key in _HINT_KEYS if key in node}}
    found: Schema = _with_types(node)
    return found


def event_type_schema(without: Container[str] = ()) -> Schema:
    """An event type: one of the daemon's but for those `without`, or hook.NAME, custom.NAME."""
    kinds = [kind for kind in ADDS if kind not in without]
    return {
        "anyOf": [
            {"type": "string", "enum": kinds, "enumDescriptions": [EVENTS[kind] for kind in kinds]},
            OWN_EVENT,
        ]
    }


def step_schema() -> Schema:
    """One item of `do`: the keys of every step, and those of all kinds."""
    shared = _Inlined(StepModel).schema
    properties = dict(shared["properties"])
    for name, kind in STEPS.items():
        properties[name] = _kind(kind)
        properties |= {key: _parameters(kind)["properties"][key] for key in sorted(kind.beside)}
    return {
        **shared,
        "properties": properties,
        "description": "One step: the key of its kind, and what every step may say.",
    }


def _kind(kind: StepKind) -> Schema:
    """What stands after the key of a kind."""
    whole = _parameters(kind)
    below = {key: each for key, each in whole["properties"].items() if key not in kind.beside}
    required = [key for key in whole.get("required", ()) if key in below]
    mapping: Schema = {"type": "object", "properties": below, "additionalProperties": False}
    if required:
        mapping["required"] = required
    else:
        mapping["type"] = ["object", "null"]
    hint = _hint(HINTS[kind.name])
    if not kind.scalar:
        return {**mapping, **hint}
    plain = {key: value for key, value in below[kind.scalar].items() if key not in _HINT_KEYS}
    return {**(plain if list(below) == [kind.scalar] else {"anyOf": [plain, mapping]}), **hint}


def _parameters(kind: StepKind) -> Schema:
    schema = _Inlined(kind.params).schema
    own = {key: written(key, each) for key, each in schema["properties"].items()}
    return {**schema, "properties": own}


def written(key: str, schema: Schema) -> Schema:
    """A parameter as it is written: an id may be a number, and any value a template."""
    hint = {key: schema[key] for key in _HINT_KEYS if key in schema}
    if key == "call":
        return {**_api_names(), **hint}
    if key.endswith("_id"):
        return {"type": ["string", "integer"], **hint}
    if key == "severity":
        return {"anyOf": [{"enum": list(_SEVERITIES)}, TEMPLATE], "default": schema["default"], **hint}
    if key == "to":
        return {"anyOf": [{"type": "string"}, schema], **hint}
    if schema.get("type") in ("integer", "number", "boolean") or "enum" in schema:
        return {"anyOf": [schema, TEMPLATE], **hint}
    return schema


def _api_names() -> Schema:
    catalog = list(load_catalog())
    return {
        "type": "string",
        "enum": [spec.name for spec in catalog],
        "enumDescriptions": [_api_text(spec) for spec in catalog],
    }


def _api_text(spec: ApiSpec) -> str:
    needs = ", ".join(each.name for each in spec.parameters if each.required and each.name not in ("OpTenantId", "Env"))
    what = "Reads" if spec.reads else "Writes"
    level = f"level {spec.level}" if spec.level else "level unknown"
    edition = f", from {spec.edition}" if spec.edition else ""
    return f"{what}; {level}{edition}{f'; needs {needs}' if needs else ''}."


SCHEMAS = {"rules": rules_schema, "tests": tests_schema, "config": config_schema}
"""The schemas by the name that `phinops schema` knows them by."""
