"""`phinops test`: rules tried on a virtual clock."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from phinops.demand.ask import counted
from phinops.errors import ConfigError
from phinops.problem import Problem
from phinops.surface.cli.found import Found, find, own_rules
from phinops.surface.cli.options import config_option, json_option
from phinops.surface.cli.output import print_json, print_rows

if TYPE_CHECKING:
    from phinops.config import Config
    from phinops.surface.trial.coverage import Covered
    from phinops.surface.trial.run import Result
    from phinops.surface.trial.session import Session


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(path_type=Path))
@config_option
@click.option("--coverage", is_flag=True, help="Tell which rules, clauses and steps no test has tried.")
@click.option("--fail-under", type=click.FloatRange(0, 100), metavar="PERCENT", help="Exit 1 when less is covered.")
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write JUnit XML too.")
@json_option
@click.pass_context
def test(
    ctx: click.Context,
    paths: tuple[Path, ...],
    config_path: Path | None,
    coverage: bool,
    fail_under: float | None,
    junit: Path | None,
    as_json: bool,
) -> None:
    """Run rule tests: the real daemon on a clock of its own, with a Dataphin that says what the test says.

    In a folder every *.test.yaml below is run. Without PATH: what the config's [rules].paths lists, or ./rules if there
    is no config. Nothing is sent anywhere and no secret is read; of the config its time zone, notifiers, hooks and
    ceiling of writes hold, and how its first tenant is: edition, env, business dates, timeouts, quota levels.
    The exit code is 1 when a test fails, a file has mistakes, or there is no test.

    \b
    Example:
      phinops test rules --coverage
    """
    from phinops.surface.logs import configure
    from phinops.surface.trial.session import run_tests

    configure("critical", "text")
    if config_path is not None and not config_path.is_file():
        raise ConfigError(f"{config_path}: no such file")
    found = find(paths, config_path)
    config = _config_in(found)
    with tempfile.TemporaryDirectory(prefix="phinops-test-") as folder:
        session = run_tests(found.rules if paths else own_rules(config), config, Path(folder))
    covered = session.coverage.report() if coverage or fail_under is not None else []
    if as_json:
        _print_json(session, covered if coverage else None)
    else:
        _print_text(session)
        if coverage:
            _print_coverage(covered)
    if junit is not None:
        _write(junit, session)
    _sum_up(session, to_stderr=as_json)
    ctx.exit(0 if session.passed and _reaches(covered, fail_under) else 1)


def _config_in(found: Found) -> Config | None:
    """The config that rules run with; a broken one is nothing to test by. Raises ConfigError."""
    from phinops.config import load_config

    return None if found.config is None else load_config(found.config)


def _write(file: Path, session: Session) -> None:
    from phinops.surface.trial.junit import write_junit

    try:
        write_junit(file, session.results, session.problems)
    except OSError as error:
        raise click.BadParameter(f"cannot write {file}: {error.strerror}", param_hint="--junit") from error


def _reaches(covered: Sequence[Covered], fail_under: float | None) -> bool:
    from phinops.surface.trial.coverage import percent

    if fail_under is None:
        return True
    whole = percent(pair for each in covered for pair in (each.rules, each.clauses, each.steps))
    if whole < fail_under:
        click.echo(f"phinops: {whole:.1f} % is covered, {fail_under:g} % are wanted", err=True)
    return whole >= fail_under


def _print_text(session: Session) -> None:
    for problem in session.mistakes:
        click.echo(str(problem))
    for file, results in session.by_file().items():
        failed = sum(not result.passed for result in results)
        told = [f"{len(results) - failed} passed"] + ([click.style(f"{failed} failed", fg="red")] if failed else [])
        click.echo(f"{file}: {', '.join(told)}")
    for result in session.results:
        if not result.passed:
            _print_failure(result)


def _print_failure(result: Result) -> None:
    click.echo(f"\n{click.style('FAILED', fg='red', bold=True)} {result.script.name}")
    for failure in result.failures:
        click.echo(f"  {failure.place}: {failure.message}")
        for note in failure.notes:
            click.echo(f"      {note}")


def _print_coverage(covered: Sequence[Covered]) -> None:
    def part(pair: tuple[int, int]) -> str:
        return f"{pair[0]}/{pair[1]}"

    rows = [
        {
            "file": each.file,
            "rules": part(each.rules),
            "clauses": part(each.clauses),
            "steps": part(each.steps),
            "percent": f"{each.percent:.0f} %",
        }
        for each in covered
    ]
    click.echo()
    print_rows(rows, {"FILE": "file", "RULES": "rules", "CLAUSES": "clauses", "STEPS": "steps", "COVERED": "percent"})
    for each in covered:
        for gap in each.gaps:
            click.echo(f"{gap.place}: {gap.rule}: {gap.what}")


def _print_json(session: Session, covered: Sequence[Covered] | None) -> None:
    from phinops.surface.trial.coverage import to_json

    tests = [_result_json(result) for result in session.results]
    if covered is None:
        print_json(tests)
    else:
        print_json({"tests": tests, "coverage": [to_json(each) for each in covered]})
    _tell(session.mistakes)


def _tell(problems: Sequence[Problem]) -> None:
    for problem in problems:
        click.echo(str(problem), err=True)


def _result_json(result: Result) -> dict[str, Any]:
    script = result.script
    return {
        "file": str(script.place.file),
        "line": script.place.line,
        "name": script.name,
        "passed": result.passed,
        "seconds": round(result.seconds, 3),
        "failures": [
            {
                "file": str(failure.place.file),
                "line": failure.place.line,
                "column": failure.place.column,
                "message": failure.message,
                "notes": list(failure.notes),
            }
            for failure in result.failures
        ],
    }


def _sum_up(session: Session, *, to_stderr: bool) -> None:
    passed = sum(result.passed for result in session.results)
    failed = len(session.results) - passed
    if not session.results:
        click.echo("no test was found: they stand in files *.test.yaml", err=True)
    mistakes = f", {counted(len(session.mistakes), 'mistake')} in files" if session.mistakes else ""
    click.echo(f"{passed} passed, {failed} failed{mistakes} in {session.seconds:.1f} s", err=to_stderr)
