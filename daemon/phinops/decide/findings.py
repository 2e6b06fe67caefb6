"""What `check` says of rule and test files: stable codes, and the problems of one file as they are found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from phinops.catalog.catalog import nearest
from phinops.problem import Problem

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")

CODES: Mapping[str, str] = {
    "file-unreadable": "The file cannot be read, is not UTF-8 or is too large.",
    "file-shape": "The file's outermost level is not what its kind of file has.",
    "none-found": "A path that was named does not exist or holds nothing to check.",
    "yaml-syntax": "The file is not YAML.",
    "yaml-quotes": "YAML reads the value as something else than text: it needs quotes.",
    "yaml-duplicate-key": "A mapping has the same key twice.",
    "yaml-alias": "An alias names no finished anchor.",
    "yaml-too-big": "More nodes, or deeper nesting, than a rule file may have.",
    "yaml-comment": "A comment begins inside what looks like the value (warning).",
    "unknown-key": "The key is not part of the language.",
    "missing-key": "A key that is required is not there.",
    "bad-value": "The value is not of the kind that the key takes.",
    "not-yet": "This version of phinops does not have it yet.",
    "duplicate-id": "Two rules, or two steps of a rule, have the same id.",
    "mode-missing": "A rule that writes, to Dataphin or elsewhere, must say its mode.",
    "only-delays": "The events have no state that `for` could wait on (warning).",
    "not-polled": "The rule's events come by themselves: `within` has nothing to hasten.",
    "never-fires": "Nothing can make this rule fire (warning).",
    "never-true": "The condition can never be true (warning).",
    "impossible-value": "The condition compares something with a value that it never has (warning).",
    "endless-loop": "Rules wake each other again and again, and nothing of theirs ends it (warning).",
    "unknown-event": "There is no such event type.",
    "same-event": "A correlation names the same event type twice.",
    "absent-key": "Nothing says which absent event belongs to which (warning).",
    "unknown-hook": "The config has no such hook.",
    "bad-cron": "The schedule is not a cron expression.",
    "bad-calendar": "Hours, days or time zone of a calendar are wrong.",
    "unknown-calendar": "The file has no such calendar.",
    "days-unknown": "China's working days are not known as far ahead as they soon matter (warning).",
    "unknown-blueprint": "No file that is loaded has such a blueprint.",
    "blueprint-input": "A value for a blueprint is missing, unknown or wrong.",
    "expression-syntax": "The condition or key is not CEL.",
    "expression-name": "The condition or key speaks of a name, field, step or function that does not exist.",
    "expression-type": "Types in the condition or key do not fit, or its result is of the wrong type.",
    "template-syntax": "The template is not Jinja, or uses what templates here do not have.",
    "template-name": "The template speaks of a name, field, step, filter or test that does not exist.",
    "step-kind": "The step has no kind, two kinds, or an unknown one.",
    "step-parameter": "A parameter of the step, or of the API it calls, is unknown, missing or wrong.",
    "step-target": "The rule's events do not say which instance or node the step means.",
    "step-verify": "What the step does cannot be verified.",
    "step-unasked": "The step writes after a wait, whatever has become of its target meanwhile (warning).",
    "protected-target": "The rule names what [safety].protected keeps it from writing to (warning).",
    "approve-nothing": "People are asked, and nothing that follows needs their yes (warning).",
    "unused-notifier": "No rule tells the notifier anything (warning).",
    "quota-polls": "The day has fewer calls for polls than a `within` or an `every` asks for (warning).",
    "quota-schedule": "The day has fewer calls than a rule's schedule makes (warning).",
    "quota-together": "Each for itself would fit into the day's calls, all together do not (warning).",
    "within-unmet": "The config polls the rule's source more rarely than its `within` wishes (warning).",
    "test-rules": "The rule file that a test names does not exist.",
    "test-event": "The test's event has an unknown type or field, or a value of the wrong type.",
    "test-empty": "The test expects nothing.",
}
"""Every code with the sentence that explains it; docs/check-codes.md has examples and cures."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`: did you mean «x»?` for the known word that is nearest, or nothing."""
    near = nearest(word, sorted(known))
    return f": did you mean «{near}»?" if near else ""


def listed(words: Iterable[str]) -> str:
    """The words in order, for the end of a message."""
    return ", ".join(sorted(words))


def _one_line(message: str) -> str:
    """The message without the line ends and control characters that a quoted word of the file may have."""
    return _CONTROLS.sub(" ", message)


@dataclass(slots=True)
class Findings:
    """The problems of one file, gathered while it is read."""

    file: str
    problems: list[Problem] = field(default_factory=list)

    def error(self, code: str, place: tuple[int, int], message: str) -> None:
        """Something that must be mended; `place` is line and column from 1."""
        self.problems.append(Problem(self.file, *place, code, _one_line(message)))

    def warning(self, code: str, place: tuple[int, int], message: str) -> None:
        """Something to look at; the rule works all the same."""
        self.problems.append(Problem(self.file, *place, code, _one_line(message), "warning"))

    @property
    def errors(self) -> int:
        """How many errors there are so far."""
        return sum(problem.severity == "error" for problem in self.problems)
