"""`phinops check`: everything that is wrong with rules, tests and config, at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path

import click

from phinops.clock import SystemClock
from phinops.config import Config, check_config, places_in
from phinops.decide.calendarfile import unknown_days
from phinops.decide.load import Loaded, load_rules
from phinops.decide.printing import print_rules, together
from phinops.decide.rule import RuleSet
from phinops.demand import quota_warnings
from phinops.demand.ask import counted
from phinops.demand.gather import SpotOf
from phinops.errors import ConfigError
from phinops.execute.steps.table import STEPS
from phinops.problem import Problem
from phinops.rulebook import setting_of
from phinops.surface.cli.caret import lines_of, shown, style_of
from phinops.surface.cli.found import Found, find, own_rules
from phinops.surface.cli.options import config_option
from phinops.surface.cli.output import print_json, terminal_width
from phinops.surface.protecting import protected_targets
from phinops.surface.unused import covers, unused_notifiers


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(path_type=Path))
@config_option
@click.option("--format", "form", type=click.Choice(["text", "json", "github"]), default="text", show_default=True)
@click.option("--print", "printed", is_flag=True, help="Print the rules as they were understood, in canonical form.")
@click.pass_context
def check(ctx: click.Context, paths: tuple[Path, ...], config_path: Path | None, form: str, printed: bool) -> None:
    """Find the mistakes in rules, tests and config, all of them in one go.

    Each is a line FILE:LINE:COLUMN: CODE MESSAGE, on a terminal with that line of the file below it. In a folder
    everything below is read that is called *.rules.yaml, *.test.yaml or phinops.toml. Without PATH: the config and what
    its [rules].paths lists, or ./rules if there is no config. The exit code is 1 when there is an error or nothing to
    read; warnings do not count. Secrets stay unread.

    \b
    Example:
      phinops check rules --format github
    """
    if config_path is not None and not config_path.is_file():
        raise ConfigError(f"{config_path}: no such file")
    found = find(paths, config_path)
    checked = {path: check_config(path) for path in found.configs}
    config = checked[found.config][0] if found.config is not None else None
    loaded = load_rules(found.rules if paths else own_rules(config), setting_of(config))
    mistakes = (each for _, problems in checked.values() for each in problems)
    warnings = (
        *_beyond_the_quota(found, config, loaded.rules),
        *unknown_days(loaded.rules, SystemClock().now()),
        *_unused(paths, found, config, loaded),
        *(protected_targets(config, loaded.rules) if config else ()),
    )
    problems = sorted([*loaded.problems, *mistakes, *warnings])
    if printed:
        _print_rules(loaded.rules)
        for problem in problems:
            click.echo(_line(problem), err=True)
    else:
        _FORMATS[form](problems)
    _tell_what_was_not_checked(found, config)
    nothing = not loaded.files and not (paths and found.configs)
    errors = sum(each.severity == "error" for each in problems)
    files = len(loaded.files) + len(found.configs)
    told = (counted(errors, "error"), counted(len(problems) - errors, "warning"))
    click.echo(f"{counted(files, 'file')}: {', '.join(told)}", err=True)
    if nothing:
        click.echo("nothing to check: no *.rules.yaml, no *.test.yaml", err=True)
    ctx.exit(1 if errors or nothing else 0)


def _beyond_the_quota(found: Found, config: Config | None, rules: RuleSet) -> Sequence[Problem]:
    if config is None or found.config is None:
        return ()
    return quota_warnings(config, rules, _where_in(found.config))


def _where_in(config: Path) -> SpotOf:
    places = places_in(config)
    return lambda key: (str(config), *places.key(key))


def _unused(paths: Sequence[Path], found: Found, config: Config | None, loaded: Loaded) -> Iterable[Problem]:
    """Notifiers of the config that no rule needs, where all of its rules were read."""
    if config is None or found.config is None or not loaded.files or (paths and not covers(paths, config)):
        return ()
    return unused_notifiers(config, loaded, _where_in(found.config))


def _tell_what_was_not_checked(found: Found, config: Config | None) -> None:
    if config is None:
        why = "no config" if found.config is None else f"{found.config} is broken"
        click.echo(f"{why}: notifiers, hooks and edition were not checked, nor the quota", err=True)


def _print_text(problems: Sequence[Problem]) -> None:
    """One line each; on a terminal with the line of the file that it is about."""
    width = terminal_width()
    if width is not None:
        style, lines = style_of(width), cache(lines_of)
        for problem in problems:
            click.echo(shown(problem, lines(problem.file), style))
        return
    for problem in problems:
        click.echo(_line(problem))


def _line(problem: Problem) -> str:
    return f"{problem}{' (warning)' if problem.severity == 'warning' else ''}"


def _print_rules(rules: RuleSet) -> None:
    """The rules without a mistake, those of each file together below its name."""
    for file, listed in groupby(rules, key=lambda rule: rule.file):
        for group in together(listed):
            click.echo(f"# {file}\n{print_rules(group, STEPS)}", nl=False)


def _print_json(problems: Sequence[Problem]) -> None:
    print_json([dataclasses.asdict(problem) for problem in problems])


def _print_github(problems: Sequence[Problem]) -> None:
    for each in problems:
        place = f"file={_property(each.file)},line={each.line},col={each.column},title={_property(each.code)}"
        click.echo(f"::{each.severity} {place}::{_data(each.message)}")


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


_FORMATS: Mapping[str, Callable[[Sequence[Problem]], None]] = {
    "text": _print_text,
    "json": _print_json,
    "github": _print_github,
}
