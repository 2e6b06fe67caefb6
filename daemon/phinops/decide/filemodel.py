"""The keys of a rule file beside those of its rules: defaults, calendars, blueprints, and rules that use one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from phinops.decide.calendarmodel import CalendarModel
from phinops.decide.model import Bounds, Outcome, RuleId, RuleModel
from phinops.decide.strict import Given, Model

_INPUT_SCHEMA = {"type": "string", "pattern": r"^\s*\{\{\s*inputs\.[A-Za-z_][A-Za-z0-9_]*\s*\}\}\s*$"}


def _with_inputs(schema: dict[str, Any]) -> None:
    """Lets an input stand for every value of a blueprint's rule; what is deeper inside is left to `check`."""
    for name, value in schema["properties"].items():
        if name not in BlueprintHeadModel.model_fields:
            inner = [{"type": "object"}] if name == "limits" else []
            described = {"description": value["description"]} if "description" in value else {}
            schema["properties"][name] = {"anyOf": [value, _INPUT_SCHEMA, *inner], **described}


class UseModel(Bounds):
    """A rule that is a blueprint with values. What it says itself stands over what the blueprint says."""

    id: RuleId
    use: Annotated[str, Field(min_length=1, description="The id of a blueprint, from any rule file that is loaded.")]
    with_: dict[str, Any] = Field(
        default_factory=dict, alias="with", description="A value for each input of the blueprint that needs one."
    )
    description: str = Field("", description="For people; without it the blueprint's.")


class DefaultsModel(Bounds, Outcome):
    """What the rules of the file have unless they say otherwise; the last three are for their steps."""


class InputModel(Model):
    """A value that a rule gives to its blueprint."""

    type: Literal["string", "int", "float", "bool", "duration", "list", "notifier"] = Field(
        description="`string`, `int`, `float`, `bool`, `duration` (such as 90s), `list` (of texts) or `notifier` (the "
        "name of one in the config)."
    )
    description: str = Field("", description="What the value is for.")
    default: Any = Field(None, description="The value where a rule gives none; without it a rule must give one.")
    min: Any = Field(None, description="The least that an int, a float or a duration may be.")
    max: Any = Field(None, description="The most that an int, a float or a duration may be.")
    choices: Annotated[list[Any] | None, Given, Field(min_length=1)] = Field(
        None, description="The only values there are."
    )


class BlueprintTestModel(Model):
    """One test of a blueprint: as in a test file, with values for the inputs in place of a rule file."""

    name: Annotated[str, Field(min_length=1)] = Field(description="What the test shows, as a sentence.")
    with_: dict[str, Any] = Field(
        default_factory=dict, alias="with", description="A value for each input that needs one."
    )
    steps: Annotated[list[Any], Field(min_length=1)] = Field(
        description="Events, time that passes, state and what is expected, as in a test file."
    )


class BlueprintHeadModel(Model):
    """What a blueprint has beside the keys of a rule."""

    id: RuleId = Field(description="The name by which rules use it.")
    description: str = Field("", description="What it does, for those who look for one to use.")
    inputs: dict[str, InputModel] = Field(
        default_factory=dict,
        description="The values that rules give, by name. A value that is one `{{ inputs.NAME }}` is replaced by "
        "what was given, anywhere in the blueprint; conditions and texts speak of `inputs.NAME`.",
    )
    tests: list[BlueprintTestModel] = Field(default_factory=list, description="Tests that the blueprint carries along.")


class BlueprintModel(BlueprintHeadModel, RuleModel):
    """A rule with inputs, to be used by rules of any file: `use: ID`, `with: { NAME: VALUE }`.

    For the JSON Schema only: a file's blueprints are read by `blueprint`.
    """

    model_config = ConfigDict(json_schema_extra=_with_inputs)


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
