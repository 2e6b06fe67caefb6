"""Blueprints: rules with inputs. They are checked where they stand, and become rules where they are used."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from phinops.decide.blueprintmodel import BlueprintHeadModel, UseModel
from phinops.decide.build import build_rule, hashed
from phinops.decide.calendarfile import read_active
from phinops.decide.document import Node
from phinops.decide.findings import Findings, did_you_mean, listed
from phinops.decide.inputfile import NOWHERE, Filled, Input, Place, fill, read_inputs, stand_in
from phinops.decide.inputs import unknown_input
from phinops.decide.jinja import sole_expression
from phinops.decide.language import Language
from phinops.decide.mistakes import InNode, keys_at, validated
from phinops.decide.model import RuleModel
from phinops.decide.reading import Reading
from phinops.decide.rule import Rule, Setting
from phinops.decide.ruledefaults import BOUNDS, joined, with_defaults
from phinops.decide.rulefile import RuleFile
from phinops.problem import Problem

_INPUT = re.compile(r"inputs\.([A-Za-z_][A-Za-z0-9_]*)")
_HEAD = (*keys_at(BlueprintHeadModel, ()), "inputs", "tests")
_OWN = frozenset(keys_at(RuleModel, ())) - frozenset(keys_at(UseModel, ()))
"""Keys of a rule that a rule with a blueprint has from there."""


@dataclass(frozen=True, slots=True)
class BlueprintTest:
    """A test that a blueprint carries: `values` for its inputs as they are written, and as `node` the whole of it, with
    the keys of a test in a test file, and `with` in place of `rules`.
    """

    name: str
    values: Mapping[str, Any]
    node: Node
    line: int


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A rule with inputs. `mistake` is its first one, "" where rules can use it; `node` has the keys of its rule."""

    id: str
    description: str
    inputs: Mapping[str, Input]
    node: Node
    file: RuleFile
    line: int
    mistake: str = ""
    tests: tuple[BlueprintTest, ...] = ()

    @property
    def path(self) -> str:
        """The file that it stands in."""
        return self.file.findings.file


def read_blueprints(file: RuleFile, setting: Setting, language: Language, known: dict[str, Blueprint]) -> None:
    """Add the blueprints of the file to those that are `known`; every mistake in them is reported, used or not."""
    starts = [node.place for node in file.blueprints]
    for index, node in enumerate(file.blueprints):
        end = starts[index + 1] if index + 1 < len(starts) else _end(file, node)
        errors = [each for each in file.errors if node.place <= (each.line, each.column) < end]
        blueprint = _read(node, file, setting, language, errors)
        if blueprint is None:
            continue
        if blueprint.id in known:
            first = known[blueprint.id]
            message = f"the blueprint id «{blueprint.id}» is taken: it stands in {first.path}, line {first.line}"
            file.findings.error("duplicate-id", node.value["id"].place, message)
        known.setdefault(blueprint.id, blueprint)


def _end(file: RuleFile, node: Node) -> Place:
    """Where the key after `blueprints` begins."""
    root = file.document.root
    return min((key.place for key in (root.keys.values() if root else ()) if key.place > node.place), default=_FAR)


_FAR: Place = (2**31, 0)


def _read(
    node: Node, file: RuleFile, setting: Setting, language: Language, errors: Sequence[Problem]
) -> Blueprint | None:
    reading = file.reading(setting, language)
    findings = reading.findings
    if not isinstance(node.value, dict):
        file.findings.error("bad-value", node.place, "a blueprint is a mapping that begins with `id`")
        return None
    head = _part(node, lambda key: key in ("id", "description"))
    model = validated(BlueprintHeadModel, head.plain(), InNode(head), findings)
    inputs = read_inputs(node.child("inputs"), setting.notifiers, findings)
    rule = _part(node, lambda key: key not in _HEAD or key == "id")
    if "use" in rule.value:
        findings.error("unknown-key", rule.keys["use"].place, "a blueprint cannot use another: write out what it does")
        rule = _part(rule, lambda key: key not in ("use", "with"))
    filled = {name: stand_in(declared) for name, declared in inputs.items()}
    _try(rule, filled, reading)
    mistakes = [*(each for each in findings.problems if each.severity == "error"), *errors]
    blamed = [str(min(mistakes))] if mistakes else reading.blamed
    if file.broken and not blamed:
        blamed = ["something is wrong with its file as a whole"]
    tests = _tests(node.child("tests"), inputs, findings, setting)
    file.findings.problems += dict.fromkeys(each for each in findings.problems if each not in file.findings.problems)
    if model is None:
        return None
    return Blueprint(model.id, model.description, inputs, rule, file, node.line, blamed[0] if blamed else "", tests)


def _try(rule: Node, filled: Mapping[str, Filled], reading: Reading) -> None:
    """Report what is wrong with the blueprint's rule whatever the values are."""
    inner = replace(reading, findings=Findings(reading.findings.file), inputs=_values(filled))

    def unknown(node: Node, name: str) -> None:
        reading.findings.error("template-name", node.place, unknown_input(name, filled))

    node = _put(rule, filled, None, unknown)
    if "mode" not in node.value:  # the rule may say it
        shadow = Node("shadow", *node.place, node.start, node.end)
        node = joined(node, {"mode": (shadow, shadow)})
    build_rule(node, inner)
    reading.findings.problems += [each for each in inner.findings.problems if each.line != NOWHERE[0]]


def _tests(
    node: Node | None, inputs: Mapping[str, Input], findings: Findings, setting: Setting
) -> tuple[BlueprintTest, ...]:
    if node is None:
        return ()
    if not isinstance(node.value, list):
        findings.error("bad-value", node.place, "«tests» must be a list of tests, each beginning with `-`")
        return ()
    found = []
    for test in node.value:
        before = findings.errors
        _check_test(test, inputs, findings, setting)
        if findings.errors == before:
            given = test.child("with")
            values = given.plain() if given and given.value else {}
            found.append(BlueprintTest(test.value["name"].value, values, test, test.line))
    return tuple(found)


def _check_test(test: Node, inputs: Mapping[str, Input], findings: Findings, setting: Setting) -> None:
    """A test of a blueprint is one of its own file, with values in place of the file's name."""
    # Only a blueprint with tests pays for their model.
    from phinops.decide.testfile import check_test

    if not isinstance(test.value, dict):
        findings.error("bad-value", test.place, "a test is a mapping that begins with `name`")
        return
    if "rules" in test.value:
        findings.error("unknown-key", test.keys["rules"].place, "a blueprint's test is of the blueprint: leave it out")
    given = test.child("with")
    if given and given.value is not None and not isinstance(given.value, dict):
        findings.error("bad-value", given.place, "«with» must be a mapping")
    bare = _part(test, lambda key: key not in ("with", "rules"))
    own = replace(test, value=Path(findings.file).name, keys={})
    check_test(Path(findings.file), joined(bare, {"rules": (own, own)}), findings, setting)
    fill(inputs, given, test.place, setting.notifiers, findings)


def use_blueprint(node: Node, file: RuleFile, reading: Reading, known: Mapping[str, Blueprint]) -> Rule | None:
    """The rule that uses a blueprint, or None; its own mistakes are in `reading.findings`, others in `blamed`."""
    findings = reading.findings
    for key in node.value:
        if key in _OWN:
            message = f"«{key}» comes from the blueprint: a rule that uses one may say {listed(BOUNDS)}"
            findings.error("unknown-key", node.keys[key].place, message)
    own = _part(node, lambda key: key not in _OWN)
    model = validated(UseModel, own.plain(), InNode(own), findings)
    use = node.child("use")
    blueprint = known.get(use.value) if use and isinstance(use.value, str) else None
    if use and isinstance(use.value, str) and use.value and blueprint is None:
        near = did_you_mean(use.value, known) or (f": there is {listed(known)}" if known else "")
        findings.error("unknown-blueprint", use.place, f"there is no blueprint «{use.value}»{near}")
    if use is None or blueprint is None:
        return None
    filled = fill(blueprint.inputs, node.child("with"), use.place, reading.setting.notifiers, findings)
    if blueprint.mistake:
        reading.blamed.append(f"its blueprint «{blueprint.id}» has a mistake: {blueprint.mistake}")
    if model is None or findings.errors or reading.blamed:
        return None
    bounds = with_defaults(own, file.defaults, blueprint.node.child("on"), reading.blamed)
    rule = _made(blueprint, bounds, filled, use.place, reading)
    return rule and replace(
        rule, line=node.line, column=node.column, description=model.description or blueprint.description
    )


def _made(blueprint: Blueprint, bounds: Node, filled: Mapping[str, Filled], at: Place, reading: Reading) -> Rule | None:
    """The blueprint's rule with the values, and with `bounds` over its own. All mistakes are those of the values, or of
    what stands in `bounds`: what the blueprint itself says is placed `at` its use.
    """
    inner = replace(
        reading,
        document=blueprint.file.document,
        findings=Findings(reading.findings.file),
        vars=blueprint.file.vars,
        calendars=blueprint.file.calendars,
        inputs=_values(filled),
    )
    base = _put(blueprint.node, filled, at, lambda node, name: None)
    active = bounds.child("active")
    said = _part(bounds, lambda key: key == "id" or (key in BOUNDS and key != "active"))
    under = {key: (base.keys[key], item) for key, item in base.value.items() if not (key == "active" and active)}
    rule = build_rule(joined(said, under), inner)
    for problem in inner.findings.problems:
        where = f"blueprint «{blueprint.id}»: " if (problem.line, problem.column) == at else ""
        if problem.severity == "error":
            reading.findings.error(problem.code, (problem.line, problem.column), where + problem.message)
    # The name of a calendar is that of the file in which it is written.
    own = read_active(active, reading.calendars, reading.findings)
    reading.blamed.extend([*inner.blamed, *own.blamed])
    return rule and hashed(replace(rule, active=own.calendars if active else rule.active))


def make_rule(blueprint: Blueprint, values: Mapping[str, Any], setting: Setting, language: Language) -> Rule:
    """The rule that the blueprint is with the values, as they would stand below `with`, under the blueprint's own id.

    Without a mode of its own it is armed: this is for tests, which want to see what it does.

    Raises:
        ValueError: the blueprint has a mistake, or a value does not fit; the text says which.
    """
    if blueprint.mistake:
        raise ValueError(blueprint.mistake)
    reading = blueprint.file.reading(setting, language)
    line = Node(None, blueprint.line, 1, 0, 0)
    given = replace(line, value={name: _node(value, line) for name, value in values.items()})
    given = replace(given, keys=dict.fromkeys(values, line))
    filled = fill(blueprint.inputs, given, line.place, setting.notifiers, reading.findings)
    mode = replace(line, value="armed")
    bounds = {"id": blueprint.node.value["id"], **({} if "mode" in blueprint.node.value else {"mode": mode})}
    keys = dict.fromkeys(bounds, line)
    if not reading.findings.errors:
        rule = _made(blueprint, replace(line, value=bounds, keys=keys), filled, line.place, reading)
        if rule and not reading.findings.errors:
            return replace(rule, line=blueprint.line, description=blueprint.description)
    raise ValueError("; ".join(problem.message for problem in reading.findings.problems))


def _node(value: Any, at: Node) -> Node:
    return replace(at, value=[replace(at, value=item) for item in value] if isinstance(value, list) else value)


def _part(node: Node, wanted: Callable[[str], bool]) -> Node:
    """The mapping with those of its keys that are wanted."""
    value = {key: item for key, item in node.value.items() if wanted(key)}
    return replace(node, value=value, keys={key: node.keys[key] for key in value})


def _values(filled: Mapping[str, Filled]) -> dict[str, Any]:
    return {name: each.value for name, each in filled.items()}


def _put(node: Node, filled: Mapping[str, Filled], at: Place | None, unknown: Callable[[Node, str], None]) -> Node:
    """The node with each value that is one `{{ inputs.NAME }}` replaced; all others are placed `at`, if it is given."""
    value = node.value
    if isinstance(value, str):
        found = _INPUT.fullmatch(sole_expression(value) or "") if "inputs" in value else None
        if found and found[1] in filled:
            return filled[found[1]].node(node)
        if found:
            unknown(node, found[1])
            return Filled("x", NOWHERE).node(node)
    moved = node if at is None else replace(node, line=at[0], column=at[1], style=">")
    if isinstance(value, dict):
        keys = {key: each if at is None else replace(each, line=at[0], column=at[1]) for key, each in node.keys.items()}
        return replace(moved, value={key: _put(item, filled, at, unknown) for key, item in value.items()}, keys=keys)
    if isinstance(value, list):
        return replace(moved, value=[_put(item, filled, at, unknown) for item in value])
    return moved
