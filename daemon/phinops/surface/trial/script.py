"""A test as it stands in its file: steps with their places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from phinops.answering import Said
from phinops.decide.blueprint import Blueprint, BlueprintTest
from phinops.decide.document import Node, read
from phinops.decide.findings import Findings
from phinops.decide.testmodel import AnswerModel, ExpectModel, SaidModel, TestModel, TestStepModel


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands; line and column count from 1."""

    file: Path
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Happens:
    """An event arrives; `fields` are those that the test says."""

    place: Place
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Passes:
    """Time passes: `by` so much, or until the clock shows `until`."""

    place: Place
    by: timedelta = timedelta()
    until: str = ""


@dataclass(frozen=True, slots=True)
class Becomes:
    """The tenant's state is another one."""

    place: Place
    parts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answers:
    """Calls of an API are answered otherwise."""

    place: Place
    model: AnswerModel


@dataclass(frozen=True, slots=True)
class Says:
    """People answer a question that is open."""

    place: Place
    said: Said
    model: SaidModel


@dataclass(frozen=True, slots=True)
class Restarts:
    """The daemon is killed and started again."""

    place: Place


@dataclass(frozen=True, slots=True)
class Reloads:
    """Other rule files are read."""

    place: Place
    rules: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Expects:
    """What must have happened. `node` knows where each expectation stands."""

    place: Place
    model: ExpectModel
    node: Node

    def at(self, *path: str | int) -> Place:
        """Where the expectation that the path leads to stands, as far as the file goes."""
        found, _ = self.node.deepest(path)
        return Place(self.place.file, *found.place)


Step = Happens | Passes | Becomes | Answers | Says | Restarts | Reloads | Expects


@dataclass(frozen=True, slots=True)
class Script:
    """One test. `rules` are the files that it tries; `mode` and `start` are "" where it does not say.

    One that a `blueprint` carries tries that alone, with `values` for its inputs.
    """

    name: str
    place: Place
    rules: tuple[Path, ...]
    steps: tuple[Step, ...]
    mode: str = ""
    start: str = ""
    blueprint: Blueprint | None = None
    values: Mapping[str, Any] = field(default_factory=dict)


_NOTHING: Mapping[str, Any] = {}


def read_scripts(file: Path) -> list[Script]:
    """The tests of a file whose form was checked, in order.

    Raises:
        OSError: the file cannot be read any more.
    """
    root = read(file.read_bytes(), Findings(str(file))).root
    return [_script(file, node) for node in root.value["tests"].value] if root else []


def blueprint_script(blueprint: Blueprint, test: BlueprintTest) -> Script:
    """A test that a blueprint carries."""
    file = Path(blueprint.path)
    node = test.node
    keys = {name: node.keys[name] for name in node.value if name != "with"}
    bare = replace(node, value={name: node.value[name] for name in keys}, keys=keys)
    return replace(_script(file, bare, {"rules": file.name}), blueprint=blueprint, values=test.values)


def _script(file: Path, node: Node, more: Mapping[str, Any] = _NOTHING) -> Script:
    model = TestModel.model_validate({**node.plain(), **more})
    steps = node.value["steps"].value
    return Script(
        name=model.name,
        place=Place(file, *node.place),
        rules=tuple(file.parent / name for name in model.rules),
        steps=tuple(_steps(file, steps, model)),
        mode=model.mode or "",
        start=model.start or "",
    )


def _steps(file: Path, nodes: list[Node], model: TestModel) -> Iterator[Step]:
    for node, step in zip(nodes, model.steps, strict=True):
        place = Place(file, *node.place)
        yield _step(place, node, step)


def _step(place: Place, node: Node, step: TestStepModel) -> Step:
    if step.event is not None:
        return Happens(place, step.event)
    if step.advance is not None:
        return Passes(place, by=step.advance)
    if step.at is not None:
        return Passes(place, until=step.at)
    if step.state is not None:
        return Becomes(place, step.state)
    if step.answer is not None:
        return Answers(place, step.answer)
    return _done_by_people(place, node, step)


def _done_by_people(place: Place, node: Node, step: TestStepModel) -> Step:
    if step.approve is not None:
        return Says(place, "approved", step.approve)
    if step.deny is not None:
        return Says(place, "denied", step.deny)
    if step.reload is not None:
        return Reloads(place, tuple(place.file.parent / name for name in step.reload))
    if step.expect is not None:
        return Expects(place, step.expect, node.value["expect"])
    return Restarts(place)
