"""`do`: the steps of a rule, each of one kind, with what its kind and the language say of its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from phinops.decide.document import Node, Path
from phinops.decide.findings import did_you_mean, listed
from phinops.decide.mistakes import InNode, keys_at, validated
from phinops.decide.model import StepModel
from phinops.decide.reading import Reading
from phinops.decide.rule import RuleStep, StepKind, verifiable
from phinops.decide.scope import Names

_WAIT, _APPROVE, _EMIT = "wait", "approve", "emit"
_SHARED = keys_at(StepModel, ())
_WITH_TARGET = ("instance.", "alert.")
"""Events that bear an instance, and through it a node and a project of nodes."""


class Steps:
    """Reads the items of `do` in order; a step may speak of those before it."""

    def __init__(self, reading: Reading, types: tuple[str, ...], types_known: bool, *, several: bool = False) -> None:
        self._reading = reading
        self._findings = reading.findings
        self._kinds = reading.setting.kinds
        self._types = types
        self._types_known = types_known
        self._several = several
        self._named: dict[str, Node] = {}
        self._steps: list[RuleStep] = []
        self._waited = False
        self._asking: list[Node] = []
        self.writes = False

    def read(self, nodes: list[Node]) -> tuple[RuleStep, ...]:
        """The steps that can be used; the mistakes of the others are reported."""
        for node in nodes:
            if isinstance(node.value, dict):
                self._step(node)
            else:
                self._findings.error("bad-value", node.place, "a step is a mapping such as { rerun_instance: {} }")
        for node in self._asking:
            message = "nothing that follows writes: people are asked for nothing"
            self._findings.warning("approve-nothing", node.keys[_APPROVE].place, message)
        return tuple(self._steps)

    def _step(self, node: Node) -> None:
        name = self._kind_of(node)
        kind = self._kinds.get(name)
        beside = kind.beside if kind else frozenset()
        shared = {
            key: item.plain()
            for key, item in node.value.items()
            # Without a kind nothing tells a parameter from a mistake; another kind is one already.
            if key in _SHARED or (kind and key not in beside and key not in self._kinds)
        }
        model = validated(StepModel, shared, InNode(node), self._findings)
        names = self._names()
        self._reading.expression("if", node.value.get("if"), self._reading.language.check_condition, names)
        params = self._params(node, name, kind) if kind else None
        if kind and params is not None:
            self._check_params(node, kind, params)
            self._check_wanted(node, kind, params)
        if model:
            self._keep(node, name, kind, params or {}, model)

    def _names(self) -> Names:
        return self._reading.names(self._types, tuple(self._named), several=self._several)

    def _keep(self, node: Node, name: str, kind: StepKind | None, params: dict[str, Any], model: StepModel) -> None:
        within = model.verify.within if model.verify else None
        if kind and within and not verifiable(kind, params):
            hint = f": say by «{kind.probe_key}» how to read what it did" if kind.probe_key else ""
            message = f"{name} cannot be verified by reading{hint}"
            self._findings.error("step-verify", node.keys["verify"].place, message)
        if name == _APPROVE and model.retry:
            message = "people's answer is an answer: «approve» is not done again"
            self._findings.error("step-parameter", node.keys["retry"].place, message)
        if model.id:
            self._name(model.id, node.value["id"])
        step_id = model.id or self._own_id(name)
        self._steps.append(_step(step_id, name, params, model, within))

    def _name(self, step_id: str, node: Node) -> None:
        if step_id in self._named:
            first = self._named[step_id].line
            message = f"the step id «{step_id}» is taken: it stands in line {first}"
            self._findings.error("duplicate-id", node.place, message)
        self._named.setdefault(step_id, node)

    def _own_id(self, name: str) -> str:
        """The name of a step that was given none; no condition can speak of it."""
        return f"{name}-{len(self._steps) + 1}"

    def _kind_of(self, node: Node) -> str:
        """The key that names the step's kind, or "" and the mistake reported."""
        kinds: list[str] = [key for key in node.value if key in self._kinds]
        for second in kinds[1:]:
            message = f"«{second}» makes this step two: begin a step of its own with `-`"
            self._findings.error("step-kind", node.keys[second].place, message)
        if not kinds:
            self._unknown_kind(node)
            return ""
        return kinds[0]

    def _unknown_kind(self, node: Node) -> None:
        others = [key for key in node.value if key not in _SHARED]
        if not others:
            message = f"the step does nothing: it needs one of {listed(self._kinds)}"
            self._findings.error("step-kind", node.place, message)
            return
        near = did_you_mean(others[0], (*self._kinds, *_SHARED)) or f": there are {listed(self._kinds)}"
        self._findings.error("step-kind", node.keys[others[0]].place, f"there is no step «{others[0]}»{near}")

    def _params(self, node: Node, name: str, kind: StepKind) -> dict[str, Any] | None:
        own = node.value[name]
        params: dict[str, Any] = {key: node.value[key].plain() for key in kind.beside if key in node.value}
        if isinstance(own.value, dict):
            return {**own.plain(), **params}
        if kind.scalar:
            return {kind.scalar: own.plain(), **params}
        if own.value is None:
            return params
        self._findings.error("bad-value", own.place, f"«{name}» takes a mapping of parameters, not «{own.plain()}»")
        return None

    def _check_params(self, node: Node, kind: StepKind, params: dict[str, Any]) -> None:
        where = _InStep(node, kind)
        self._check_texts(node, kind)
        model = validated(kind.params, params, where, self._findings, code="step-parameter")
        writes = kind.writes(model) if model else kind.target is not None
        self.writes = self.writes or writes
        if kind.name == _APPROVE:
            self._asking.append(node)
        elif writes or kind.name == _EMIT:
            self._asking.clear()
        if model:
            for path, message in kind.problems(model, self._reading.setting):
                # A path leads to a value; what is wrong with an unknown name is the name.
                place = where.key(path) if "has no parameter" in message else where.value(path)
                self._findings.error("step-parameter", place, message)
        if kind.target and self._types_known:
            self._check_target(node, kind, params)

    def _check_texts(self, node: Node, kind: StepKind) -> None:
        """Templates wherever a parameter may hold them, and conditions where it is one."""
        names = self._names()
        for part in (kind.name, *sorted(kind.beside)):
            own = node.value.get(part)
            if own is None:
                continue
            if part == kind.probe_key and isinstance(own.value, dict):
                self._check_probe(own, names)
                continue
            inside = own.value if part == kind.name and isinstance(own.value, dict) else {}
            conditions = kind.conditions & inside.keys()
            for key in conditions:
                self._reading.expression(key, inside[key], self._reading.language.check_condition, names)
            for each in [item for key, item in inside.items() if key not in conditions] if conditions else [own]:
                self._reading.templates(each, names)

    def _check_probe(self, node: Node, names: Names) -> None:
        """What it asks is a condition on a reply, the rest are texts."""
        for key, each in node.value.items():
            if key == "if":
                self._reading.expression(key, each, lambda source, _: self._reading.language.check_reply(source), names)
            else:
                self._reading.templates(each, names)

    def _check_wanted(self, node: Node, kind: StepKind, params: Mapping[str, Any]) -> None:
        """Warn of a write to the event's own object after a wait, if nothing asks what has become of that."""
        own = kind.target is not None and params.get(f"{kind.target}_id") is None
        if self._waited and own and "if" not in node.value:
            message = "the object may have gone on during the wait: ask in «if» whether the step is still wanted"
            self._findings.warning("step-unasked", node.keys[kind.name].place, message)
        self._waited = self._waited or kind.name == _WAIT

    def _check_target(self, node: Node, kind: StepKind, params: Mapping[str, Any]) -> None:
        given = {name for name in (f"{kind.target}_id", "project_id") if params.get(name) is not None}
        without = [each for each in self._types if not each.startswith(_WITH_TARGET)]
        wanted = [name for name in (f"{kind.target}_id", "project_id") if name not in given]
        if wanted and without:
            message = f"{', '.join(without)} has no {kind.target}: {kind.name} needs {' and '.join(wanted)}"
            self._findings.error("step-target", node.keys[kind.name].place, message)


def _step(step_id: str, name: str, params: dict[str, Any], model: StepModel, within: timedelta | None) -> RuleStep:
    return RuleStep(step_id, name, params, model.if_ or "", model.on_error, within, model.retry)


class _InStep:
    """Where a step's parameters stand: below its key, after it, or beside it."""

    def __init__(self, step: Node, kind: StepKind) -> None:
        self._step = step
        self._kind = kind

    def value(self, path: Path) -> tuple[int, int]:
        node, rest = self._root(path)
        return node.deepest(rest)[0].place

    def key(self, path: Path) -> tuple[int, int]:
        node, rest = self._root(path)
        return node.place_of_key(rest) if rest and isinstance(node.value, dict) else self._own_place()

    def _root(self, path: Path) -> tuple[Node, Path]:
        if path and path[0] in self._kind.beside:
            return self._step, path
        own = self._step.value[self._kind.name]
        if path and path[0] == self._kind.scalar and not isinstance(own.value, dict):
            return own, path[1:]
        return own, path

    def _own_place(self) -> tuple[int, int]:
        return self._step.keys[self._kind.name].place
