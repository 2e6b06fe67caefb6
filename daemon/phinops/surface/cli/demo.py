"""`phinops demo`: what it is like, without an account."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import anyio
import click

from phinops.surface.cli.options import DURATION, log_options

if TYPE_CHECKING:
    from phinops.surface.demo import Demo, Notice
    from phinops.surface.watch import Sight

_QUOTA_EVERY_S = 5.0
_COLOURS = {"event": "cyan", "rule": "yellow", "action": "green", "notice": "magenta", "quota": "blue"}
_BAD = ("failed", "unknown", "timed_out", "refused", "needs_decision")


@click.command()
@click.option("--for", "lasts", type=DURATION, metavar="DURATION", help="End by itself after so long, such as 60s.")
@click.option(
    "--speed", type=click.FloatRange(1, 1000), default=60, show_default=True, help="How much faster than life."
)
@click.option("--json", "as_json", is_flag=True, help="The summary as JSON, on the last line of stdout.")
@log_options
@click.pass_context
def demo(
    ctx: click.Context, lasts: timedelta | None, speed: float, as_json: bool, log_level: str, log_format: str
) -> None:
    """Watch the daemon and the example rules at work on a simulated tenant: no account, no config.

    Shows which changes are seen, what rules make of them, what comes of it, and what that costs of the quota. Ctrl-C
    ends it with a summary. The exit code is 0 when at least one action was verified and the quota turned no call
    away.

    \b
    Example:
      phinops demo --for 60s
    """
    from phinops.surface import logs

    logs.configure("warning" if log_level == "info" else log_level, log_format)
    screen = _Screen(to_stderr=as_json)
    summary = anyio.run(_demo, lasts.total_seconds() if lasts else None, speed, screen)
    if as_json:
        click.echo(json.dumps(summary))
    else:
        screen.summary(summary)
    ctx.exit(0 if summary["refused"] == 0 and summary["actions"]["verified"] else 1)


async def _demo(lasts: float | None, speed: float, screen: _Screen) -> dict[str, Any]:
    from phinops.surface.demo import demonstration, run
    from phinops.surface.signals import obey_signals

    async with demonstration(speed, screen.notice) as demo, anyio.create_task_group() as tasks:
        await tasks.start(obey_signals, demo.daemon.stop)
        screen.opening(demo, speed)
        tasks.start_soon(_tell_quota, demo, screen)
        await run(demo, lasts, screen.sight)
        summary = await demo.summary()
        tasks.cancel_scope.cancel()
    return summary


async def _tell_quota(demo: Demo, screen: _Screen) -> None:
    while True:
        await anyio.sleep(_QUOTA_EVERY_S)
        screen.quota(demo)


class _Screen:
    """Lines for people: the tenant's time, a word for the kind, what happened."""

    def __init__(self, *, to_stderr: bool) -> None:
        from rich.console import Console

        self._console = Console(stderr=to_stderr, highlight=False, soft_wrap=True)
        self._now: Callable[[], str] = str

    def opening(self, demo: Demo, speed: float) -> None:
        clock = demo.clock
        self._now = lambda: f"{clock.now().astimezone():%H:%M:%S}"
        edition, tenant = demo.simulator.edition, demo.simulator.op_tenant_id
        self._console.print(f"A simulated Dataphin tenant ({tenant}, {edition} edition), {speed:g} times faster.")

    def sight(self, sight: Sight) -> None:
        state = f" → {sight.state}" if sight.state else ""
        self._line(sight.kind, f"{sight.name}{state}", sight.about, bad=sight.state in _BAD)

    def notice(self, notice: Notice) -> None:
        self._line("notice", notice.title, notice.message, bad=notice.severity == "critical")

    def quota(self, demo: Demo) -> None:
        used = (f"levels {each.pool}: {each.used} of {each.limit or 'unlimited'}" for each in demo.quota())
        self._line("quota", "; ".join(used), "")

    def summary(self, summary: Mapping[str, Any]) -> None:
        actions, notices, calls = summary["actions"], summary["notices"], summary["calls"]
        counted = ", ".join(f"{count} {name}" for name, count in actions.items())
        levels = ", ".join(f"{count} of level {level}" for level, count in calls.items())
        self._console.print(
            f"\nIn {summary['seconds']} seconds: {summary['events']} events, {summary['firings']} firings."
        )
        self._console.print(f"Actions: {counted}. Nodes paused: {summary['nodes_paused']}.")
        self._console.print(f"Notices: {notices['sent']} delivered, {notices['dead']} given up.")
        self._console.print(f"Calls: {levels}; {summary['refused']} refused by the quota.")

    def _line(self, kind: str, what: str, about: str, *, bad: bool = False) -> None:
        from rich.text import Text

        line = Text(f"{self._now()}  ", style="dim")
        line.append(f"{kind:<7}", style=_COLOURS[kind])
        line.append(f" {what}", style="bold red" if bad else "bold")
        line.append(f"  {about}" if about else "", style="default")
        self._console.print(line)
