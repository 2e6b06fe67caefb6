"""Reading scenario files, and saying where one is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from phinops.errors import ConfigError
from phinops.problem import Problem
from phinops.simulate.scenario import Scenario, overridden

SCENARIOS = Path(__file__).with_name("scenarios")
"""The scenarios that phinops carries."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def scenario_names() -> list[str]:
    """The names of the scenarios that phinops carries, sorted."""
    return sorted(path.stem for path in SCENARIOS.glob("*.yaml"))


def load_scenario(scenario: str | Path, overrides: Mapping[str, Any] | None = None) -> Scenario:
    """The scenario of that name, or in that file, with `overrides` merged in.

    Raises:
        ConfigError: there is no such scenario, or it has mistakes; `problems` has the place of each.
    """
    path = _path_of(scenario)
    try:
        text = path.read_text(encoding="utf-8")
        document = yaml.load(text, Loader=_Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the scenario {path}: {error}") from error
    except yaml.YAMLError as error:
        raise _failed(path, [_syntax_problem(path, error)]) from error
    merged = overridden({"name": path.stem, **_mapping(path, document)}, overrides or {})
    try:
        return Scenario.model_validate(merged)
    except ValidationError as error:
        problems = [_problem(path, text, each) for each in error.errors(include_url=False)]
        raise _failed(path, problems) from error


def _path_of(scenario: str | Path) -> Path:
    names = scenario_names()
    if scenario in names:
        return SCENARIOS / f"{scenario}.yaml"
    path = Path(scenario)
    if not path.exists():
        known = ", ".join(names)
        raise ConfigError(f"there is no scenario «{scenario}»: write the path of a file, or one of {known}")
    return path


def _mapping(path: Path, document: object) -> dict[str, Any]:
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise _failed(path, [Problem(str(path), 1, 1, "SIM001", "a scenario is a mapping of names to values")])
    return document


def _failed(path: Path, problems: Sequence[Problem]) -> ConfigError:
    lines = "\n".join(str(problem) for problem in problems)
    return ConfigError(f"the scenario {path.name} cannot be used:\n{lines}", problems)


def _syntax_problem(path: Path, error: yaml.YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None)
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    return Problem(str(path), line, column, "SIM002", f"not YAML: {getattr(error, 'problem', error)}")


def _problem(path: Path, text: str, error: ErrorDetails) -> Problem:
    line, column = _place(yaml.compose(text, Loader=_Loader), error["loc"])
    where = ".".join(str(part) for part in error["loc"])
    return Problem(str(path), line, column, "SIM003", f"{where}: {error['msg']}")


def _place(node: yaml.Node | None, steps: Sequence[int | str]) -> tuple[int, int]:
    """Where the value at `steps` stands; of what is not in the file, where the nearest thing around it stands."""
    line, column = (node.start_mark.line + 1, node.start_mark.column + 1) if node else (1, 1)
    for step in steps:
        if not isinstance(node, yaml.MappingNode):
            break
        found = next(((key, value) for key, value in node.value if key.value == str(step)), None)
        if found is None:
            break
        line, column = found[0].start_mark.line + 1, found[0].start_mark.column + 1
        node = found[1]
    return line, column
