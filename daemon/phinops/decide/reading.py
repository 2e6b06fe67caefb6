"""What every part of reading a rule needs: the setting, the language, the file, and where to put mistakes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from phinops.decide.calendarfile import Calendars
from phinops.decide.document import Document, Node
from phinops.decide.findings import Findings
from phinops.decide.inputs import Inputs
from phinops.decide.language import Language
from phinops.decide.offsets import locate
from phinops.decide.rule import Setting
from phinops.decide.scope import Flaw, Names

Check = Callable[[str, Names], list[Flaw]]

_COMMENT = re.compile(r"[ \t]+#([^\n]*)")


@dataclass(frozen=True, slots=True)
class Reading:
    """One rule being read.

    `inputs` are those of the blueprint that it is. `blamed` are mistakes that keep it from being used and that were
    told at the place where they stand: of a calendar, a default or a blueprint.
    """

    setting: Setting
    language: Language
    document: Document
    findings: Findings
    vars: dict[str, Any]
    calendars: Calendars
    inputs: Inputs = field(default_factory=dict)
    blamed: list[str] = field(default_factory=list)

    def names(self, types: tuple[str, ...], steps: tuple[str, ...] | None = None, *, several: bool = False) -> Names:
        """What expressions of the rule may speak of; those of a step also of the `steps` before it.

        `several` says that the rule's firings have several events.
        """
        return Names(
            types, steps or (), frozenset(self.vars), self.inputs, events=several, within_plan=steps is not None
        )

    def expression(self, name: str, node: Node | None, check: Check, names: Names) -> None:
        """Report what is wrong with the expression of the key `name`."""
        # `if: false` is a bool to YAML and an expression to us.
        source = str(node.value).lower() if node is not None and isinstance(node.value, bool) else node and node.value
        if node is None or not isinstance(source, str) or not source.strip():
            return  # nothing that could be an expression, which the model has said
        self._report(node, check(source, names), "expression-syntax", f"«{name}»: ")

    def templates(self, node: Node, names: Names) -> None:
        """Report what is wrong with the templates anywhere below the node."""
        for leaf in _texts(node):
            flaws = self.language.check_template(leaf.value, names)
            comment = self._comment_after(leaf)
            if not flaws and comment and ("{{" in comment[1] or "}}" in comment[1]):
                message = "a YAML comment begins here: if it belongs to the text, put the text in quotes"
                self.findings.warning("yaml-comment", comment[0], message)
            self._report(leaf, flaws, "template-syntax", "")

    def _report(self, node: Node, flaws: list[Flaw], syntax: str, label: str) -> None:
        broken = any(flaw.code == syntax for flaw in flaws)
        comment = self._comment_after(node)
        if broken and comment:
            message = f"{label}the text ends before ` #`, which begins a YAML comment: put it in quotes"
            self.findings.error("yaml-quotes", comment[0], message)
            return
        if broken and self._was_unquoted(node):
            return  # no wonder, and said already
        for flaw in flaws:
            tell = self.findings.error if flaw.severity == "error" else self.findings.warning
            tell(flaw.code, self._place(node, flaw.offset), label + flaw.message)

    def _place(self, node: Node, offset: int) -> tuple[int, int]:
        if any(repair.line == node.line for repair in self.document.repairs):
            return node.line, node.column + offset  # where it stands in the file as it was, without quotes
        return locate(self.document.text, node, offset)

    def _was_unquoted(self, node: Node) -> bool:
        return node.style == "!" or any(repair.line == node.line for repair in self.document.repairs)

    def _comment_after(self, node: Node) -> tuple[tuple[int, int], str] | None:
        """Place and text of a comment that follows a plain value in its line."""
        if node.style:
            return None
        found = _COMMENT.match(self.document.text, node.end)
        if not found:
            return None
        sign = found.start(1) - 1
        before = self.document.text[node.start : sign]
        line = before.count("\n")
        column = len(before) - before.rfind("\n") if line else node.column + len(before)
        return (node.line + line, column), found[1]


def _texts(node: Node) -> Iterator[Node]:
    if isinstance(node.value, str):
        yield node
    elif isinstance(node.value, dict):
        for item in node.value.values():
            yield from _texts(item)
    elif isinstance(node.value, list):
        for item in node.value:
            yield from _texts(item)
