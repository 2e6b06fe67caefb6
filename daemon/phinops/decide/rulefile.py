"""A rule file taken apart: its rules, and what stands beside them, each with whose mistake a mistake is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from phinops.decide.calendarfile import Calendars, read_calendars
from phinops.decide.document import Document, Node
from phinops.decide.findings import Findings, did_you_mean
from phinops.decide.language import Language
from phinops.decide.reading import Reading
from phinops.decide.rule import Setting
from phinops.decide.ruledefaults import Defaults, read_defaults
from phinops.problem import Problem

_FILE_KEYS = ("rules", "vars", "defaults", "calendars", "blueprints")
_APART = ("rules", "blueprints")
"""Keys whose items are rules and blueprints: a mistake in one of them is not the others'."""


@dataclass(frozen=True, slots=True)
class RuleFile:
    """What stands in a rule file. `errors` are those of its text; `broken` says that the file as a whole has one."""

    document: Document
    findings: Findings
    rules: tuple[Node, ...]
    blueprints: tuple[Node, ...]
    vars: dict[str, Any]
    calendars: Calendars
    defaults: Defaults
    errors: tuple[Problem, ...]
    broken: bool

    def reading(self, setting: Setting, language: Language) -> Reading:
        """What is needed to read one of its rules, whose mistakes are kept apart."""
        findings = Findings(self.findings.file)
        return Reading(setting, language, self.document, findings, self.vars, self.calendars)


def take_apart(document: Document, findings: Findings, setting: Setting) -> RuleFile:
    """The parts of a file that is readable; what is wrong beside its rules and blueprints is reported."""
    root = document.root
    rules = _items(root, findings, "rules")
    blueprints = _items(root, findings, "blueprints")
    _check_keys(root, findings)
    parts = {key: _mapping(root, key, findings) for key in ("vars", "calendars", "defaults")}
    # Those of the text as such, before the parts add theirs: two rules may share a line.
    found = tuple(each for each in findings.problems if each.severity == "error")
    calendars = read_calendars(parts["calendars"], setting.zone, findings)
    before = len(findings.problems)
    defaults = read_defaults(parts["defaults"], calendars, findings)
    unknown = any(each.code == "unknown-key" for each in findings.problems[before:])
    first = rules[0].line if rules else None
    return RuleFile(
        document,
        findings,
        rules,
        blueprints,
        parts["vars"].plain() if parts["vars"] else {},
        calendars,
        defaults,
        found,
        unknown or any(_about_the_file(each, root, first) for each in found),
    )


def _check_keys(root: Node | None, findings: Findings) -> None:
    if root is None or not isinstance(root.value, dict):
        at = root.place if root else (1, 1)
        findings.error("file-shape", at, "a rule file is a mapping with the key `rules`")
        return
    for key, node in root.keys.items():
        if key not in _FILE_KEYS:
            near = did_you_mean(key, _FILE_KEYS) or f": a rule file has {', '.join(f'`{each}`' for each in _FILE_KEYS)}"
            findings.error("unknown-key", node.place, f"«{key}» is not a key of a rule file{near}")
    if "rules" not in root.value and "blueprints" not in root.value:
        findings.error("file-shape", root.place, "`rules` must be a list of rules, each beginning with `-`")


def _items(root: Node | None, findings: Findings, key: str) -> tuple[Node, ...]:
    node = root.child(key) if root else None
    if node is None or node.value is None:  # `rules:` with nothing below is an empty file
        return ()
    if not isinstance(node.value, list):
        findings.error("file-shape", node.place, f"`{key}` must be a list of {key}, each beginning with `-`")
        return ()
    return tuple(node.value)


def _mapping(root: Node | None, key: str, findings: Findings) -> Node | None:
    node = root.child(key) if root else None
    if node is None or node.value is None:
        return None
    if not isinstance(node.value, dict):
        findings.error("bad-value", node.place, f"«{key}» must be a mapping")
        return None
    return node


def _about_the_file(problem: Problem, root: Node | None, first: int | None) -> bool:
    """Whether the mistake touches every rule: it stands in another key of the file, or before the `first` of them,
    or in place of them all.
    """
    if root is None or not isinstance(root.value, dict):
        return True
    place = problem.line, problem.column
    before = [(node.place, key) for key, node in root.keys.items() if node.place <= place]
    key = max(before)[1] if before else ""
    return key not in _APART or (key == "rules" and (first is None or problem.line < first))
