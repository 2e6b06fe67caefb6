"""The keys of blueprints, of rules that use one, and of a file's defaults."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from phinops.decide.model import Bounds, Outcome, RuleId
from phinops.decide.strict import Given, Model


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


class BlueprintHeadModel(Model):
    """What a blueprint is called."""

    id: RuleId = Field(description="The name by which rules use it.")
    description: str = Field("", description="What it does, for those who look for one to use.")
