"""Options that several commands have, spelled once."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from phinops.clock import SystemClock
from phinops.durations import parse_duration
from phinops.errors import ConfigError

if TYPE_CHECKING:
    from phinops.config import Config, Tenant

Command = TypeVar("Command", bound=Callable[..., Any])


class DurationType(click.ParamType[timedelta]):
    """A duration as in rule files: `90s`, `1h30m`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


DURATION = DurationType()


class MomentType(click.ParamType[datetime]):
    """A moment: RFC 3339, or a duration as in rule files, counted back from now."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        with suppress(ValueError):
            return SystemClock().now() - parse_duration(value)
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"«{value}» is neither a time, such as 2026-01-05T08:00:00+08:00, nor a duration", param, ctx)
        if moment.tzinfo is None:
            self.fail(f"«{value}» needs a zone, such as {value}Z or {value}+08:00", param, ctx)
        return moment


MOMENT = MomentType()

config_option = click.option(
    "--config",
    "config_path",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The config; else $PHINOPS_CONFIG, ./phinops.toml, /etc/phinops/phinops.toml.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
limit_option = click.option(
    "--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="How many at most."
)
tenant_option = click.option("--tenant", metavar="NAME", help="Which tenant, where several are configured.")


def person() -> str:
    """Who types this, for the audit: as the system knows them, not the environment; behind sudo who that was."""
    user, before = os.getuid(), os.environ.get("SUDO_USER", "")
    if user == 0 and before:
        return before  # only root can have set it otherwise, who may do anything
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def log_options(command: Command) -> Command:
    """`--log-level` and `--log-format`."""
    level = click.option(
        "--log-level",
        type=click.Choice(["debug", "info", "warning", "error"]),
        default="info",
        show_default=True,
        help="The least important messages to show.",
    )
    form = click.option(
        "--log-format",
        type=click.Choice(["auto", "json", "text"]),
        default="auto",
        show_default=True,
        help="auto: JSON under systemd and in pipes, lines for people on a terminal.",
    )
    return level(form(command))


def config_of(explicit: Path | None) -> Config:
    """The config that a command works with.

    Raises:
        ConfigError: there is none, or it is broken.
    """
    from phinops.config import find_config, load_config

    path = find_config(explicit)
    if path is None:
        raise ConfigError("no config: give --config FILE, or write one with `phinops init`")
    return load_config(path)


def tenant_of(config: Config, name: str | None) -> Tenant:
    """The tenant that a command speaks to.

    Raises:
        ConfigError: several are configured and none was named, or there is none of that name.
    """
    names = ", ".join(tenant.name for tenant in config.tenants)
    if name is None and len(config.tenants) > 1:
        raise ConfigError(f"several tenants are configured: say which with --tenant ({names})")
    tenant = config.tenant(name) if name is not None else config.tenants[0]
    if tenant is None:
        raise ConfigError(f"no tenant is called «{name}»: there is {names}")
    return tenant
