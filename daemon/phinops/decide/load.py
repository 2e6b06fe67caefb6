"""From paths to the rules in force: every file read, every mistake told, broken rules left out."""

from __future__ import annotations

import gc
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phinops.decide import later
from phinops.decide.build import build_rule
from phinops.decide.document import Document, Node, read
from phinops.decide.findings import Findings, did_you_mean
from phinops.decide.language import Language
from phinops.decide.loops import endless_loops
from phinops.decide.reading import Reading
from phinops.decide.rule import Rule, RuleSet, Setting
from phinops.decide.trigger import SCHEDULE
from phinops.problem import Problem

RULES, TESTS = ".rules.yaml", ".test.yaml"
_FILE_KEYS = ("rules", "vars")


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A rule that was left out; `reason` is its first mistake. `id` is "" where not even that could be read: then it
    stands for all rules of its file.
    """

    id: str
    file: str
    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was read. `broken_files` are rule files none of whose rules can be used; `files` all that were found."""

    rules: RuleSet
    problems: tuple[Problem, ...] = ()
    quarantined: tuple[Quarantined, ...] = ()
    broken_files: frozenset[str] = frozenset()
    files: tuple[str, ...] = ()

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that are not just warnings."""
        return tuple(problem for problem in self.problems if problem.severity == "error")


@dataclass(slots=True)
class _Gathered:
    """What is known while files are read one after the other."""

    setting: Setting
    language: Language
    rules: dict[str, Rule] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)


def load_rules(paths: Iterable[str | Path], setting: Setting, language: Language | None = None) -> Loaded:
    """All rules below the paths, files or folders, in the order of their names. Reads test files for their form.

    Never raises for what stands in a file: every mistake is a problem, and rules with errors are left out. Given
    `language`, what is compiled here is compiled there.
    """
    gathered = _Gathered(setting, language or Language(setting.zone))
    files = list(_files(paths, gathered.problems))
    with _uncollected():
        for file in files:
            _read_file(file, gathered)
    _warn_of_schedules(gathered)
    gathered.problems += endless_loops(gathered.rules.values(), setting.kinds)
    return Loaded(
        rules=RuleSet(gathered.rules.values()),
        problems=tuple(sorted(gathered.problems)),
        quarantined=tuple(gathered.quarantined),
        broken_files=frozenset(gathered.broken),
        files=tuple(map(str, files)),
    )


@contextmanager
def _uncollected() -> Iterator[None]:
    """Spares the search for garbage while a lot is made that stays: a tenth of the time of a thousand rules."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def with_last_good(loaded: Loaded, previous: RuleSet) -> RuleSet:
    """The loaded rules, and of `previous` those whose new version is quarantined or stands in a broken file."""
    broken = {each.id for each in loaded.quarantined}
    kept = [
        rule
        for rule in previous
        if loaded.rules.get(rule.id) is None and (rule.id in broken or rule.file in loaded.broken_files)
    ]
    return RuleSet([*loaded.rules, *kept])


def _files(paths: Iterable[str | Path], problems: list[Problem]) -> Iterator[Path]:
    seen: set[str] = set()

    def unreadable(error: OSError) -> None:
        problems.append(_unreadable(str(error.filename), error))

    for path in map(Path, paths):
        try:
            is_folder = stat.S_ISDIR(path.stat().st_mode)
        except (OSError, ValueError) as error:
            problems.append(_unreadable(str(path), error))
            continue
        for file in _walk(path, unreadable) if is_folder else [path]:
            real = os.path.realpath(file)
            if real not in seen:
                seen.add(real)
                yield file


def _unreadable(path: str, error: Exception) -> Problem:
    if isinstance(error, FileNotFoundError):
        return Problem(path, 1, 1, "none-found", "does not exist")
    reason = error.strerror if isinstance(error, OSError) else error
    return Problem(path, 1, 1, "file-unreadable", f"cannot be read: {reason}")


def _walk(folder: Path, unreadable: Callable[[OSError], None]) -> Iterator[Path]:
    for here, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(here, name) for name in sorted(names) if name.endswith((RULES, TESTS)))


def _read_file(file: Path, gathered: _Gathered) -> None:
    findings = Findings(str(file))
    try:
        data = file.read_bytes()
    except OSError as error:
        findings.problems.append(_unreadable(findings.file, error))
        gathered.broken.add(findings.file)
    else:
        document = read(data, findings)
        if file.name.endswith(TESTS):
            # Only a folder with tests pays for their model.
            from phinops.decide.testfile import check_tests

            check_tests(file, document, findings, gathered.setting)
        else:
            _read_rules(document, findings, gathered)
    gathered.problems += findings.problems
    if not file.name.endswith(TESTS):
        _quarantine_file(findings, gathered)


def _quarantine_file(findings: Findings, gathered: _Gathered) -> None:
    """A file whose rules cannot even be told apart is left out as one."""
    if findings.file in gathered.broken and not any(each.file == findings.file for each in gathered.quarantined):
        first = min(findings.problems)
        gathered.quarantined.append(Quarantined("", findings.file, first.line, str(first)))


def _read_rules(document: Document, findings: Findings, gathered: _Gathered) -> None:
    root = document.root
    if not document.readable:
        gathered.broken.add(findings.file)
        return
    items = _items(root, findings)
    variables = _variables(root, findings)
    first = items[0].line if items else 0
    # Those of the text as such, before the rules add theirs: two rules may share a line.
    found = tuple(each for each in findings.problems if each.severity == "error")
    whole = any(_about_the_file(each, root, first) for each in found)
    for index, node in enumerate(items):
        end = items[index + 1].line if index + 1 < len(items) else None
        _read_rule(node, _Span(node.line, end), Reading(
            gathered.setting, gathered.language, document, Findings(findings.file), variables
        ), _Place(findings, gathered, found, whole))  # fmt: skip
    if whole:
        gathered.broken.add(findings.file)


@dataclass(frozen=True, slots=True)
class _Span:
    """The lines of a rule, up to the next one."""

    first: int
    end: int | None

    def __contains__(self, line: int) -> bool:
        return self.first <= line and (self.end is None or line < self.end)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a rule goes. `errors` are those of the file's text; `broken` says that the file as a whole has one."""

    findings: Findings
    gathered: _Gathered
    errors: tuple[Problem, ...]
    broken: bool


def _read_rule(node: Node, span: _Span, reading: Reading, place: _Place) -> None:
    rule = build_rule(node, reading)
    mistakes = [each for each in reading.findings.problems if each.severity == "error"]
    mistakes += [each for each in place.errors if each.line in span]
    rules = place.gathered.rules
    if rule is not None and rule.id in rules:
        first = rules[rule.id]
        id_node = node.value["id"]
        message = f"the rule id «{rule.id}» is taken: it stands in {first.file}, line {first.line}"
        reading.findings.error("duplicate-id", id_node.place, message)
        mistakes.append(reading.findings.problems[-1])
    place.findings.problems += reading.findings.problems
    if rule is not None and not mistakes and not place.broken:
        rules[rule.id] = rule
        return
    reason = str(min(mistakes)) if mistakes else "something is wrong with the file as a whole"
    place.gathered.quarantined.append(Quarantined(_id_of(node), place.findings.file, node.line, reason))


def _id_of(node: Node) -> str:
    found = node.child("id")
    return found.value if found and isinstance(found.value, str) else ""


def _items(root: Node | None, findings: Findings) -> list[Node]:
    if root is None or not isinstance(root.value, dict):
        at = root.place if root else (1, 1)
        findings.error("file-shape", at, "a rule file is a mapping with the key `rules`")
        return []
    for key, node in root.keys.items():
        if key in later.FILE_KEYS:
            findings.error("not-yet", node.place, later.not_yet(f"«{key}» ({later.FILE_KEYS[key]})"))
        elif key not in _FILE_KEYS:
            near = did_you_mean(key, _FILE_KEYS) or ": a rule file has `rules` and `vars`"
            findings.error("unknown-key", node.place, f"«{key}» is not a key of a rule file{near}")
    rules = root.value.get("rules")
    if rules is None or not isinstance(rules.value, list):
        at = rules.place if rules else root.place
        if rules is None or rules.value is not None:  # `rules:` with nothing below is an empty file
            findings.error("file-shape", at, "`rules` must be a list of rules, each beginning with `-`")
        return []
    items: Sequence[Node] = rules.value
    return list(items)


def _variables(root: Node | None, findings: Findings) -> dict[str, Any]:
    node = root.child("vars") if root else None
    if node is None or node.value is None:
        return {}
    if not isinstance(node.value, dict):
        findings.error("bad-value", node.place, "«vars» must be a mapping")
        return {}
    found: dict[str, Any] = node.plain()
    return found


def _about_the_file(problem: Problem, root: Node | None, first: int) -> bool:
    """Whether the mistake touches every rule: it stands before the first one, or in another key of the file."""
    if problem.line < first or root is None:
        return True
    others = [key.line for name, key in root.keys.items() if name != "rules" and key.line > first]
    return any(line <= problem.line for line in others)


def _warn_of_schedules(gathered: _Gathered) -> None:
    if any(rule.cron for rule in gathered.rules.values()):
        return
    for rule in gathered.rules.values():
        if rule.types == (SCHEDULE,):
            message = f"{rule.id}: no rule has a schedule, so nothing fires it: write `on: {{ schedule: CRON }}`"
            gathered.problems.append(Problem(rule.file, rule.line, 1, "never-fires", message, "warning"))
