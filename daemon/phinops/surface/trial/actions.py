"""Expected actions: the step's kind, those of its parameters that are named, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phinops.decide.testfile import ABOUT_ACTIONS
from phinops.execute.steps.table import STEPS
from phinops.surface.trial.account import Done
from phinops.surface.trial.compare import Way
from phinops.surface.trial.values import shown


def _kind_of(wanted: Mapping[str, Any]) -> str:
    return next((key for key in wanted if key not in ABOUT_ACTIONS and key != "with"), "")


def _action_differs(wanted: Mapping[str, Any], done: Done) -> str:
    kind = _kind_of(wanted)
    if kind != done.kind:
        return f"{_tell_action(done)} came"
    about = {"outcome": done.outcome, "rule": done.rule, "step": done.step}
    for name in ABOUT_ACTIONS:
        if name in wanted and wanted[name] != about[name]:
            return f"its {name} is {about[name] or 'open'}"
    return _params_differ(kind, wanted, done)


def _params_differ(kind: str, wanted: Mapping[str, Any], done: Done) -> str:
    given = wanted[kind]
    if kind == "call":
        if given not in (None, done.api):
            return f"{_tell_action(done)} came"
        return _differ("with", wanted.get("with") or {}, done.params)
    if not isinstance(given, Mapping):
        return "" if given is None else _differ(kind, given, done.params.get(STEPS[kind].scalar))
    for name, value in given.items():
        happened = done.given.get(name, done.params.get(name))
        if found := _differ(name, value, happened):
            return found
    return ""


def _differ(name: str, wanted: Any, happened: Any) -> str:
    """How something differs from what is wanted, "" if it does not: of mappings only the keys that are named count."""
    if isinstance(wanted, Mapping):
        if not isinstance(happened, Mapping):
            return f"{name} is {shown(happened)}"
        found = (_differ(f"{name}.{key}", value, happened.get(key)) for key, value in wanted.items())
        return next((each for each in found if each), "")
    if isinstance(wanted, list | tuple) and isinstance(happened, list | tuple) and len(wanted) == len(happened):
        pairs = enumerate(zip(wanted, happened, strict=True))
        return next((each for n, (one, two) in pairs if (each := _differ(f"{name}[{n}]", one, two))), "")
    if wanted == happened and isinstance(wanted, bool) == isinstance(happened, bool):
        return ""
    if _plain(wanted) and _plain(happened) and str(wanted) == str(happened):
        return ""  # an id of digits is a number to YAML
    return f"{name} is {shown(happened)}"


def _plain(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _tell_action(done: Done) -> str:
    said = {**done.given} or done.params
    name = f"call: {done.api}" if done.kind == "call" else done.kind
    outcome = f", {done.outcome}" if done.outcome else ""
    reason = f": {done.reason}" if done.outcome in ("refused", "skipped") and done.reason else ""
    return f"{name} {shown(said)} by {done.rule}{outcome}{reason}"


def _wanted_action(wanted: Mapping[str, Any]) -> str:
    kind = _kind_of(wanted)
    beside = {name: value for name, value in wanted.items() if name != kind}
    inner = shown(wanted.get(kind)) if wanted.get(kind) is not None else ""
    return " ".join(
        part
        for part in (
            f"call: {inner}" if kind == "call" else f"{kind} {inner}".strip(),
            shown(beside) if beside else "",
        )
        if part
    )


ACTIONS = Way(_action_differs, _tell_action, _wanted_action, lambda done: done.quiet)
