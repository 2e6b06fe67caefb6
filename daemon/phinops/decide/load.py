"""From paths to the rules in force: every file read, every mistake told, broken rules left out."""

from __future__ import annotations

import gc
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from phinops.decide.blueprint import Blueprint, read_blueprints, use_blueprint
from phinops.decide.build import build_rule
from phinops.decide.document import Node, read
from phinops.decide.findings import Findings
from phinops.decide.language import Language
from phinops.decide.loops import endless_loops
from phinops.decide.reading import Reading
from phinops.decide.rule import Rule, RuleSet, Setting
from phinops.decide.ruledefaults import with_defaults, with_step_defaults
from phinops.decide.rulefile import RuleFile, take_apart
from phinops.event import SCHEDULE
from phinops.problem import Problem

RULES, TESTS = ".rules.yaml", ".test.yaml"


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
    blueprints: tuple[Blueprint, ...] = ()

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
    blueprints: dict[str, Blueprint] = field(default_factory=dict)
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
        opened = [found for file in files if (found := _open(file, gathered))]
        # A rule may use a blueprint of any file, whatever their order.
        for each in opened:
            read_blueprints(each, setting, gathered.language, gathered.blueprints)
        for each in opened:
            _read_rules(each, gathered)
    _warn_of_schedules(gathered)
    gathered.problems += endless_loops(gathered.rules.values(), setting.kinds)
    return Loaded(
        rules=RuleSet(gathered.rules.values()),
        problems=tuple(sorted(gathered.problems)),
        quarantined=tuple(gathered.quarantined),
        broken_files=frozenset(gathered.broken),
        files=tuple(map(str, files)),
        blueprints=tuple(gathered.blueprints.values()),
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


def _open(file: Path, gathered: _Gathered) -> RuleFile | None:
    """The parts of a rule file. A test file is done with here, and one that cannot be read is left out."""
    findings = Findings(str(file))
    found = None
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
        elif document.readable:
            found = take_apart(document, findings, gathered.setting)
        else:
            gathered.broken.add(findings.file)
    if found is None:
        gathered.problems += findings.problems
        if not file.name.endswith(TESTS):
            _quarantine_file(findings, gathered)
    return found


def _quarantine_file(findings: Findings, gathered: _Gathered) -> None:
    """A file whose rules cannot even be told apart is left out as one."""
    if findings.file in gathered.broken and not any(each.file == findings.file for each in gathered.quarantined):
        first = min(findings.problems)
        gathered.quarantined.append(Quarantined("", findings.file, first.line, str(first)))


def _read_rules(file: RuleFile, gathered: _Gathered) -> None:
    for index, node in enumerate(file.rules):
        end = file.rules[index + 1].line if index + 1 < len(file.rules) else None
        _read_rule(node, _Span(node.line, end), file, gathered)
    if file.broken:
        gathered.broken.add(file.findings.file)
    gathered.problems += file.findings.problems
    _quarantine_file(file.findings, gathered)


@dataclass(frozen=True, slots=True)
class _Span:
    """The lines of a rule, up to the next one."""

    first: int
    end: int | None

    def __contains__(self, line: int) -> bool:
        return self.first <= line and (self.end is None or line < self.end)


def _read_rule(node: Node, span: _Span, file: RuleFile, gathered: _Gathered) -> None:
    reading = file.reading(gathered.setting, gathered.language)
    rule = _build(node, file, reading, gathered)
    mistakes = [each for each in reading.findings.problems if each.severity == "error"]
    mistakes += [each for each in file.errors if each.line in span]
    rules = gathered.rules
    if rule is not None and rule.id in rules:
        first = rules[rule.id]
        id_node = node.value["id"]
        message = f"the rule id «{rule.id}» is taken: it stands in {first.file}, line {first.line}"
        reading.findings.error("duplicate-id", id_node.place, message)
        mistakes.append(reading.findings.problems[-1])
    file.findings.problems += reading.findings.problems
    if rule is not None and not mistakes and not reading.blamed and not file.broken:
        rules[rule.id] = rule
        return
    reasons = [str(min(mistakes))] if mistakes else reading.blamed or ["something is wrong with the file as a whole"]
    gathered.quarantined.append(Quarantined(_id_of(node), file.findings.file, node.line, reasons[0]))


def _build(node: Node, file: RuleFile, reading: Reading, gathered: _Gathered) -> Rule | None:
    if not isinstance(node.value, dict):
        return build_rule(node, reading)
    if "use" in node.value or "with" in node.value:
        return use_blueprint(node, file, reading, gathered.blueprints)
    node = with_defaults(node, file.defaults, node.child("on"), reading.blamed)
    return build_rule(with_step_defaults(node, file.defaults, reading.setting.kinds, reading.blamed), reading)


def _id_of(node: Node) -> str:
    found = node.child("id")
    return found.value if found and isinstance(found.value, str) else ""


def _warn_of_schedules(gathered: _Gathered) -> None:
    if any(rule.cron for rule in gathered.rules.values()):
        return
    for rule in gathered.rules.values():
        if rule.types == (SCHEDULE,):
            message = f"{rule.id}: no rule has a schedule, so nothing fires it: write `on: {{ schedule: CRON }}`"
            gathered.problems.append(Problem(rule.file, rule.line, rule.column, "never-fires", message, "warning"))
