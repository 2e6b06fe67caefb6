"""A rule file as one model, for the JSON Schema: its parts are read each on their own."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from phinops.decide.blueprintmodel import BlueprintHeadModel, DefaultsModel, InputModel, UseModel
from phinops.decide.calendarmodel import CalendarModel
from phinops.decide.model import RuleModel
from phinops.decide.strict import Model
from phinops.decide.testfile import TestStepModel

_INPUT_SCHEMA = {"type": "string", "pattern": r"^\s*\{\{\s*inputs\.[A-Za-z_][A-Za-z0-9_]*\s*\}\}\s*$"}


def _with_inputs(schema: dict[str, Any]) -> None:
    """Lets an input stand for every value of a blueprint's rule; what is deeper inside is left to `check`."""
    for name, value in schema["properties"].items():
        if name not in ("id", "description", "inputs", "tests"):
            inner = [{"type": "object"}] if name == "limits" else []
            described = {"description": value["description"]} if "description" in value else {}
            schema["properties"][name] = {"anyOf": [value, _INPUT_SCHEMA, *inner], **described}


class BlueprintTestModel(Model):
    """One test of a blueprint: as in a test file, with values for the inputs in place of a rule file."""

    name: Annotated[str, Field(min_length=1)] = Field(description="What the test shows, as a sentence.")
    with_: dict[str, Any] = Field(
        default_factory=dict, alias="with", description="A value for each input that needs one."
    )
    steps: Annotated[list[TestStepModel], Field(min_length=1)] = Field(
        description="Events, time that passes, state and what is expected, as in a test file."
    )


class BlueprintModel(BlueprintHeadModel, RuleModel):
    """A rule with inputs, to be used by rules of any file: `use: ID`, `with: { NAME: VALUE }`."""

    model_config = ConfigDict(json_schema_extra=_with_inputs)

    inputs: dict[str, InputModel] = Field(
        default_factory=dict,
        description="The values that rules give, by name. A value that is one `{{ inputs.NAME }}` is replaced by "
        "what was given, anywhere in the blueprint; conditions and texts speak of `inputs.NAME`.",
    )
    tests: list[BlueprintTestModel] = Field(default_factory=list, description="Tests that the blueprint carries along.")


class FileModel(Model):
    """The outermost level of a rule file."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": ["rules"]}, {"required": ["blueprints"]}]})

    vars: dict[str, Any] = Field(default_factory=dict)
    defaults: DefaultsModel | None = Field(
        None, description="Keys that every rule of this file has unless it says otherwise."
    )
    calendars: dict[str, CalendarModel] = Field(
        default_factory=dict, description="Hours and days by name, for `active`."
    )
    blueprints: list[BlueprintModel] = Field(
        default_factory=list, description="Rules with inputs, for rules of this and other files to use."
    )
    rules: list[RuleModel | UseModel] = Field(default_factory=list)
