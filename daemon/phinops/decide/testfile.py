"""The form of rule tests, `*.test.yaml`: what `check` says of one before it is ever run."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from phinops.catalog.catalog import UnknownApi, load_catalog
from phinops.decide.defaults import BESIDE, FLOWS, Course
from phinops.decide.document import Document, Node
from phinops.decide.findings import Findings, did_you_mean, listed
from phinops.decide.mistakes import InNode, validated
from phinops.decide.rule import Setting
from phinops.decide.scope import Names
from phinops.decide.shape import item_type
from phinops.decide.testmodel import STATES, TestFileModel, TestModel, TestStepModel
from phinops.event import ADDS, ALWAYS, Event, field_types, parts_of

__all__ = ["ABOUT_ACTIONS", "TestFileModel", "TestModel", "TestStepModel", "check_test", "check_tests"]

_STEPS = ("event", "advance", "at", "state", "answer", "approve", "deny", "restart", "reload", "expect")
_BESIDE: Mapping[str, Any] = {"downstream": int, "gone": bool, "touched": bool, **dict.fromkeys(FLOWS, Course)}
"""The types of `BESIDE`."""

ABOUT_ACTIONS = ("outcome", "rule", "step")
"""What an expected action may say beside the key of its step: what came of it, whose it is, the step's id."""


def check_tests(file: Path, document: Document, findings: Findings, setting: Setting) -> None:
    """Report what is wrong with the form of the tests in the file."""
    root = document.root
    if not document.readable:
        return
    tests = root.child("tests") if root else None
    if root is None or tests is None or not isinstance(tests.value, list):
        findings.error("file-shape", root.place if root else (1, 1), "a test file is a mapping with a list `tests`")
        return
    for key, node in root.keys.items():
        if key != "tests":
            findings.error("unknown-key", node.place, f"«{key}» is not a key of a test file: it has `tests`")
    for test in tests.value:
        check_test(file, test, findings, setting)


def check_test(file: Path, test: Node, findings: Findings, setting: Setting) -> None:
    """Report what is wrong with the form of one test of the file."""
    model = validated(TestModel, test.plain(), InNode(test), findings)
    if rules := test.child("rules"):
        _check_files(file, rules, findings)
    steps = test.child("steps")
    if steps is None or not isinstance(steps.value, list):
        return
    for step in steps.value:
        _check_step(file, step, findings, setting)
    if model and not any(step.expect for step in model.steps):
        findings.error("test-empty", test.place, f"the test «{model.name}» expects nothing")


def _check_files(file: Path, names: Node, findings: Findings) -> None:
    for name in names.value if isinstance(names.value, list) else [names]:
        if isinstance(name.value, str) and name.value and not _is_file(file.parent / name.value):
            findings.error("test-rules", name.place, f"there is no rule file «{name.value}» beside the test")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long a name, or a null character in it
        return False


def _check_step(file: Path, step: Node, findings: Findings, setting: Setting) -> None:
    if not isinstance(step.value, dict):
        return  # the model has said so
    if len(step.value) != 1:
        findings.error("bad-value", step.place, f"a step of a test is one of {', '.join(_STEPS)}")
    if event := step.child("event"):
        _check_event(event, findings)
    if state := step.child("state"):
        _check_state(state, findings)
    if answer := step.child("answer"):
        _check_answer(answer, findings)
    if reload := step.child("reload"):
        _check_files(file, reload, findings)
    if (expect := step.child("expect")) and isinstance(expect.value, dict):
        _check_expect(expect, findings, setting)


def _check_answer(answer: Node, findings: Findings) -> None:
    api = answer.child("api")
    if api is None or not isinstance(api.value, str):
        return
    try:
        load_catalog().require(api.value)
    except UnknownApi as error:
        findings.error("step-parameter", api.place, str(error))


def _check_event(event: Node, findings: Findings) -> None:
    kind = event.child("type")
    if kind is None or not isinstance(kind.value, str):
        findings.error("test-event", kind.place if kind else event.place, "an event needs a type")
        return
    if parts_of(kind.value) is None:
        near = did_you_mean(kind.value, ADDS) or f": there are {listed(ADDS)}, hook.NAME and custom.NAME"
        findings.error("test-event", kind.place, f"there is no event «{kind.value}»{near}")
        return
    _check_fields(event, Event, Names((kind.value,)).event_fields(), findings)


def _check_state(state: Node, findings: Findings) -> None:
    if not isinstance(state.value, dict):
        return
    for key, node in state.value.items():
        if key not in STATES:
            message = f"«{key}» is not a state: there are {listed(STATES)}"
            findings.error("unknown-key", state.keys[key].place, message)
        else:
            model = typing.cast("type", item_type(field_types(Event)[key]))
            _check_fields(node, model, (*field_types(model), *BESIDE.get(key, ())), findings)


def _check_fields(node: Node, model: type, known: tuple[str, ...], findings: Findings) -> None:
    """Report fields that the event model does not have, and values that are of another type."""
    if not isinstance(node.value, dict):
        findings.error("test-event", node.place, f"must be a mapping with fields such as {known[0]}")
        return
    for key, value in node.value.items():
        if key not in known:
            near = did_you_mean(key, known) or f": it has {listed(known)}"
            findings.error("test-event", node.keys[key].place, f"«{key}» is not a field here{near}")
        else:
            _check_value(key, value, field_types(model).get(key, _BESIDE.get(key)), findings)


def _check_value(key: str, node: Node, declared: Any, findings: Findings) -> None:
    options = typing.get_args(declared) if isinstance(declared, types.UnionType) else (declared,)
    if declared is Any or (node.value is None and types.NoneType in options):
        return
    kind = next(option for option in options if option is not types.NoneType)
    part = item_type(kind)
    if typing.get_origin(kind) is tuple:
        _check_list(key, node, typing.cast("type", part), findings)
    elif part is not None:
        _check_fields(node, part, ALWAYS if part is Event else tuple(field_types(part)), findings)
    elif typing.get_origin(kind) is typing.Literal:
        if node.value not in typing.get_args(kind):
            findings.error("test-event", node.place, f"«{key}» must be one of {', '.join(typing.get_args(kind))}")
    elif not _FITS[typing.get_origin(kind) or kind](node.value):
        findings.error("test-event", node.place, f"«{key}» must be {_WANTED[typing.get_origin(kind) or kind]}")


def _check_list(key: str, node: Node, part: type, findings: Findings) -> None:
    if not isinstance(node.value, list):
        findings.error("test-event", node.place, f"«{key}» must be a list")
        return
    for item in node.value:
        _check_fields(item, part, tuple(field_types(part)), findings)


def _is_time(value: Any) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value) is not None
    except ValueError:
        return False


_FITS: Mapping[Any, Any] = {
    # An id of digits is text to us, and a number to YAML.
    str: lambda value: isinstance(value, str | int) and not isinstance(value, bool),
    int: lambda value: isinstance(value, int) and not isinstance(value, bool),
    float: lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    bool: lambda value: isinstance(value, bool),
    datetime: _is_time,
    Mapping: lambda value: isinstance(value, dict),
}
_WANTED: Mapping[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    datetime: "a time such as 2026-01-05T06:00:00+08:00",
    Mapping: "a mapping",
}


def _check_expect(expect: Node, findings: Findings, setting: Setting) -> None:
    if not expect.value:
        findings.error("test-empty", expect.place, "«expect» is empty: say `actions: []` when nothing may happen")
    actions = expect.child("actions")
    for action in actions.value if actions and isinstance(actions.value, list) else ():
        if isinstance(action.value, dict):
            _check_action(action, findings, setting)


def _check_action(action: Node, findings: Findings, setting: Setting) -> None:
    beside = {key for kind in setting.kinds.values() for key in kind.beside}
    known = tuple(setting.kinds)
    steps = [key for key in action.value if key not in ABOUT_ACTIONS and key not in beside]
    if len(steps) != 1:
        findings.error("step-kind", action.place, "an action is told by the key of one step, and what came of it")
    for key, value in action.value.items():
        kind = setting.kinds.get(key)
        if key in ABOUT_ACTIONS:
            if not isinstance(value.value, str):
                findings.error("bad-value", value.place, f"«{key}» must be text")
        elif key not in known and key not in beside:
            near = did_you_mean(key, known) or f": there are {listed(setting.kinds)}"
            findings.error("step-kind", action.keys[key].place, f"there is no step «{key}»{near}")
        elif kind and isinstance(value.value, dict):
            _check_parameters(key, kind.params.model_fields, value, findings)


def _check_parameters(name: str, fields: Mapping[str, Any], node: Node, findings: Findings) -> None:
    known = [field.alias or field_name for field_name, field in fields.items()]
    for key, place in node.keys.items():
        if key not in known:
            near = did_you_mean(key, known) or f": it takes {listed(known)}"
            findings.error("step-parameter", place.place, f"«{key}» is not a parameter of {name}{near}")
