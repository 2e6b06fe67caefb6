"""What every part of reading a rule needs: the setting, the language, the file, and where to put mistakes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from phinops.decide.document import Document, Node
from phinops.decide.findings import Findings
from phinops.decide.jinja import is_template
from phinops.decide.language import Language
from phinops.decide.offsets import locate
from phinops.decide.rule import Setting
from phinops.decide.scope import Flaw, Names

Check = Callable[[str, Names], list[Flaw]]

_COMMENT = re.compile(r"[ \t]+#([^\n]*)")


@dataclass(frozen=True, slots=True)
class Reading:
    """One rule being read."""

    setting: Setting
    language: Language
    document: Document
    findings: Findings
    vars: dict[str, Any]

    def names(self, types: tuple[str, ...], steps: tuple[str, ...] = ()) -> Names:
        """What expressions of the rule may speak of."""
        return Names(types, steps, frozenset(self.vars))

    def expression(self, name: str, node: Node | None, check: Check, names: Names) -> None:
        """Report what is wrong with the expression of the key `name`."""
        if node is None or not isinstance(node.value, str):
            return  # a literal, or not text at all, which the model has said
        comment = self._comment_after(node)
        for flaw in check(node.value, names):
            if flaw.code == "expression-syntax" and comment:
                place, text = comment
                message = f"«{name}» ends at ` #{text[:20]}`, which begins a YAML comment: put it in quotes"
                self.findings.error("yaml-quotes", place, message)
                return
            self.findings.error(flaw.code, locate(self.document.text, node, flaw.offset), f"«{name}»: {flaw.message}")

    def templates(self, node: Node, names: Names) -> None:
        """Report what is wrong with the templates anywhere below the node."""
        for leaf in _texts(node):
            comment = self._comment_after(leaf)
            if comment and ("{{" in comment[1] or "}}" in comment[1]):
                report = self.findings.error if "{{" in leaf.value else self.findings.warning
                report("yaml-comment", comment[0], "` #` begins a YAML comment here: put the whole text in quotes")
            if is_template(leaf.value):
                for flaw in self.language.check_template(leaf.value, names):
                    self.findings.error(flaw.code, locate(self.document.text, leaf, flaw.offset), flaw.message)

    def _comment_after(self, node: Node) -> tuple[tuple[int, int], str] | None:
        """Place and text of a comment that follows a plain value in its line."""
        if node.style:
            return None
        found = _COMMENT.match(self.document.text, node.end)
        if not found:
            return None
        sign = found.start(1) - 1
        before = self.document.text[:sign]
        return (before.count("\n") + 1, sign - before.rfind("\n")), found[1]


def _texts(node: Node) -> Iterator[Node]:
    if isinstance(node.value, str):
        yield node
    elif isinstance(node.value, dict):
        for item in node.value.values():
            yield from _texts(item)
    elif isinstance(node.value, list):
        for item in node.value:
            yield from _texts(item)
