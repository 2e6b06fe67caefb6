"""The command line. Commands are imported when they are called, so that `--help` and `check` start at once.

What a command ends with:

    0   it did what was asked
    1   it could not be said yes to: mistakes found, a refusal, nothing found
    2   typed wrong, or what it was told to read (config, secrets) is not readable
    3   somebody it needs is away, or the store or address is taken
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from phinops import __version__
from phinops.errors import ConfigError, PhinopsError, Refused


class Entry(NamedTuple):
    """Where a command is written, and what the overview says of it."""

    module: str
    function: str
    help: str


_HERE = "phinops.surface.cli"

COMMANDS: Mapping[str, Entry] = {
    "demo": Entry(f"{_HERE}.demo", "demo", "Watch it work: a simulated tenant, the daemon, the example rules."),
    "run": Entry(f"{_HERE}.run", "run", "The daemon in the foreground."),
    "check": Entry(f"{_HERE}.check", "check", "Validate rule, test and config files."),
    "test": Entry(f"{_HERE}.test", "test", "Run rule tests on a virtual clock."),
    "backtest": Entry(f"{_HERE}.backtest", "backtest", "Try rules on what was recorded."),
    "schema": Entry(f"{_HERE}.schema", "schema", "JSON Schemas of rules, tests and config, for editors."),
    "doctor": Entry(f"{_HERE}.doctor", "doctor", "What works, what does not, and what to do about it."),
    "init": Entry(f"{_HERE}.init", "init", "Write a config that explains itself, and a rule to start from."),
    "status": Entry(f"{_HERE}.status", "status", "What the daemon sees and has spent."),
    "events": Entry(f"{_HERE}.listings", "events", "What changed, newest first."),
    "firings": Entry(f"{_HERE}.listings", "firings", "What was decided and why, newest first."),
    "actions": Entry(f"{_HERE}.actions", "actions", "What was done and what came of it; decides what is unknown."),
    "notices": Entry(f"{_HERE}.notices", "notices", "What people were told; tells once more what did not arrive."),
    "undo": Entry(f"{_HERE}.undo", "undo", "Take an action back, if its target is still as it left it."),
    "leases": Entry(f"{_HERE}.listings", "leases", "Pauses that end by themselves, newest first."),
    "approvals": Entry(f"{_HERE}.approvals", "approvals", "What people are asked before a rule goes on."),
    "approve": Entry(f"{_HERE}.approvals", "approve", "Say yes to what a rule asks."),
    "deny": Entry(f"{_HERE}.approvals", "deny", "Say no to what a rule asks."),
    "explain": Entry(f"{_HERE}.explain", "explain", "Why rules fired on an event, or did not."),
    "audit": Entry(f"{_HERE}.audit", "audit", "Who did what, on what, and what came of it: an export."),
    "quota": Entry(f"{_HERE}.quota", "quota", "What is left of the quota, until when, and who spent it."),
    "reload": Entry(f"{_HERE}.reload", "reload", "Make the running daemon read config and rules again."),
    "silence": Entry(f"{_HERE}.silence", "silence", "Mute rules, or what they are about, for a time."),
    "pause": Entry(f"{_HERE}.pause", "pause", "Let no write to Dataphin leave until resumed."),
    "resume": Entry(f"{_HERE}.pause", "resume", "Let writes to Dataphin leave again."),
    "backup": Entry(f"{_HERE}.backup", "backup", "A copy of the store, while the daemon runs."),
    "restore": Entry(f"{_HERE}.backup", "restore", "Put a backup in the store's place."),
    "call": Entry(f"{_HERE}.call", "call", "One call to Dataphin through the same limits."),
    "catalog": Entry(f"{_HERE}.catalog", "catalog", "The APIs of Dataphin with level, edition and parameters."),
    "rehearse": Entry(f"{_HERE}.rehearse", "rehearse", "A day of a tenant in seconds, and what it costs."),
    "simulate": Entry(f"{_HERE}.simulate", "simulate", "A Dataphin tenant to try things on."),
}
"""In the order in which a newcomer needs them."""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = vars(importlib.import_module(entry.module))[entry.function]
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from phinops.config.fields import did_you_mean  # only a mistake pays for it

            ctx.fail(f"there is no command «{args[0]}»{did_you_mean(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except PhinopsError as error:
            _end(ctx, error)
        except BaseExceptionGroup as group:  # what task groups make of it
            expected, unexpected = group.split(PhinopsError)
            if expected is None or unexpected is not None:
                raise
            _end(ctx, _first(expected))


def _end(ctx: click.Context, error: PhinopsError) -> None:
    click.echo(f"phinops: {error}", err=True)
    ctx.exit(exit_code(error))


def _first(group: BaseExceptionGroup[PhinopsError]) -> PhinopsError:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


def exit_code(error: PhinopsError) -> int:
    """1 when Dataphin said no, 2 when the config or a secret is at fault, 3 when something could not be reached."""
    if isinstance(error, Refused):
        return 1
    return 2 if isinstance(error, ConfigError) else 3


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="phinops", message="%(prog)s %(version)s")
def phinops() -> None:
    """The operations daemon for Alibaba Cloud Dataphin: detects, decides by your rules, acts within the quota.

    Start with `phinops demo`: it needs no account and no config.
    """
