"""Where in the rule files rules, their conditions and their steps stand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from phinops.decide.document import Node, read
from phinops.decide.findings import Findings
from phinops.decide.offsets import locate
from phinops.decide.rule import Rule
from phinops.surface.trial.script import Place


@dataclass(frozen=True, slots=True)
class _Written:
    """A rule as it is written, in the text of its file."""

    text: str
    node: Node


class Places:
    """Places of what rules are made of; of what is not written where the rule is, the rule's own."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        """Raises OSError: a file of the rules cannot be read any more."""
        files = dict.fromkeys(rule.file for rule in rules if rule.file)
        self._written = {(file, written.node.line): written for file in files for written in _written_in(Path(file))}

    def rule(self, rule: Rule) -> Place:
        """Where the rule begins."""
        return Place(Path(rule.file), rule.line, 1)

    def step(self, rule: Rule, n: int) -> Place:
        """Where the step begins."""
        written = self._written.get((rule.file, rule.line))
        node = _child(written, "do", n) if written else None
        return Place(Path(rule.file), *node.place) if node else self.rule(rule)

    def clause(self, rule: Rule, offset: int, n: int | None = None) -> Place:
        """Where the clause at `offset` of the rule's condition begins, or of that of its step `n`."""
        written = self._written.get((rule.file, rule.line))
        node = (_child(written, "if") if n is None else _child(written, "do", n, "if")) if written else None
        if written is None or node is None or not isinstance(node.value, str):
            return self.rule(rule) if n is None else self.step(rule, n)
        return Place(Path(rule.file), *locate(written.text, node, offset))


def _child(written: _Written, *path: str | int) -> Node | None:
    node, rest = written.node.deepest(path)
    return None if rest else node


def _written_in(file: Path) -> Iterator[_Written]:
    document = read(file.read_bytes(), Findings(str(file)))
    for key in ("rules", "blueprints"):
        rules = document.root.child(key) if document.root else None
        for node in rules.value if rules and isinstance(rules.value, list) else ():
            yield _Written(document.text, node)
