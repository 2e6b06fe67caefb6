"""All tests below some paths, run one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from phinops.clock import SystemClock
from phinops.config import Config
from phinops.decide.load import TESTS, load_rules
from phinops.problem import Problem
from phinops.surface.trial.coverage import Coverage
from phinops.surface.trial.run import Result, try_script
from phinops.surface.trial.script import blueprint_script, read_scripts
from phinops.surface.trial.terms import make_terms


@dataclass(frozen=True, slots=True)
class Session:
    """What came of all tests; `problems` are what `check` says of the files that were named, warnings too."""

    results: tuple[Result, ...]
    problems: tuple[Problem, ...]
    coverage: Coverage
    seconds: float

    @property
    def mistakes(self) -> list[Problem]:
        """The problems that are not just warnings."""
        return [each for each in self.problems if each.severity == "error"]

    @property
    def passed(self) -> bool:
        """Whether there was a test at all, every one passed, and no file has a mistake."""
        return bool(self.results) and not self.mistakes and all(result.passed for result in self.results)

    def by_file(self) -> dict[Path, list[Result]]:
        """The results by test file."""
        found: dict[Path, list[Result]] = {}
        for result in self.results:
            found.setdefault(result.script.place.file, []).append(result)
        return found


def run_tests(paths: Sequence[Path], own: Config | None, folder: Path) -> Session:
    """Run every test in the files and folders, those of blueprints first, under the config `own` where there is one.

    Tests in a file with mistakes are not run. Coverage is that of all rules which were named or tried. `folder` is for
    files that the trial needs meanwhile.
    """
    clock = SystemClock()
    began = clock.monotonic()
    terms = make_terms(own, folder)
    loaded = load_rules(paths, terms.setting, terms.language)
    broken = {each.file for each in loaded.errors}
    files = [Path(file) for file in loaded.files if file.endswith(TESTS) and file not in broken]
    coverage = Coverage(terms.language)
    coverage.know(loaded.rules)
    scripts = [
        *(blueprint_script(each, test) for each in loaded.blueprints if not each.mistake for test in each.tests),
        *(script for file in files for script in read_scripts(file)),
    ]
    results = []
    for script in scripts:
        result = try_script(terms, script)
        coverage.add(result.rules, result.record, result.records)
        results.append(result)
    return Session(tuple(results), loaded.problems, coverage, clock.monotonic() - began)
