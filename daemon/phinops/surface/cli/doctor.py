"""`phinops doctor`: what works, what does not, and what to do."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import anyio
import anyio.to_thread
import click

from phinops.config import Config
from phinops.errors import ApiError, ConfigError, PhinopsError, QuotaSpent, Transient
from phinops.event import JsonObject
from phinops.surface.cli.options import config_of, config_option, json_option
from phinops.surface.cli.output import print_json
from phinops.surface.cli.reach import NobodyAnswers, Remote
from phinops.surface.cli.stopped import stopped_daemon
from phinops.surface.doctor import Ask, Finding, Reply, examine, quota_findings

_WAIT = timedelta(seconds=30)
"""For how long a call may wait for its turn."""

Status = Callable[[], Awaitable[JsonObject]]
"""Asks how the daemon is, after the calls that were made."""

_MARKS = {"ok": "ok      ", "warning": "WARNING ", "bad": "BAD     ", "unknown": "?       "}


@click.command()
@config_option
@click.option("--send", is_flag=True, help="Send a notice by every notifier, to see that it arrives.")
@json_option
@click.pass_context
def doctor(ctx: click.Context, config_path: Path | None, send: bool, as_json: bool) -> None:
    """Keys, clock, endpoint, rights, edition, quota, store, notifiers: what works, what does not, what to do.

    Nothing is written to Dataphin; a handful of reads is made for each tenant, by the daemon if it runs. The exit code
    is 1 when something keeps phinops from its work.

    \b
    Example:
      phinops doctor --send
    """
    config = config_of(config_path)
    findings = anyio.run(_examined, config, send, not as_json)
    if as_json:
        print_json([finding.to_json() for finding in findings])
    ctx.exit(1 if any(finding.state == "bad" for finding in findings) else 0)


async def _examined(config: Config, send: bool, tell: bool) -> list[Finding]:
    found: list[Finding] = []
    async for finding in _findings(config, send):
        found.append(finding)
        if tell:
            _tell(finding)
    return found


async def _findings(config: Config, send: bool) -> AsyncGenerator[Finding]:
    remote = Remote(config)

    async def asked() -> JsonObject:
        status: JsonObject = await anyio.to_thread.run_sync(lambda: remote.get("/api/v1/status"))
        return status

    after: Status = asked
    async with AsyncExitStack() as stack:
        try:
            status: JsonObject | None = await asked()
            ask = _by_daemon(remote)
        except NobodyAnswers as silence:
            status = None
            ask, after = await _alone(stack, config, silence)
        async for finding in examine(config, ask, status):
            yield finding
        for finding in quota_findings(await after()):
            yield finding
    for finding in await _sent(config) if send else ():
        yield finding


async def _alone(stack: AsyncExitStack, config: Config, silence: PhinopsError) -> tuple[Ask, Status]:
    """By a daemon of our own, opened and not run; where that cannot be, what is asked tells why."""
    try:
        daemon = await stack.enter_async_context(stopped_daemon(config, silence))
    except PhinopsError as error:
        reason = str(error)

        async def unable(_tenant: str, _api: str, _params: JsonObject) -> Reply:
            return Reply(None, reason, reached=False)

        async def nothing() -> JsonObject:
            return {"tenants": []}

        return unable, nothing

    async def ask(tenant: str, api: str, params: JsonObject) -> Reply:
        try:
            return Reply(await daemon.call(api, params, _WAIT, tenant))
        except ApiError as error:
            return Reply(None, str(error), error.code, reached=not isinstance(error, Transient))
        except (QuotaSpent, PhinopsError, ValueError) as error:
            return Reply(None, str(error))

    async def status() -> JsonObject:
        return daemon.status()

    return ask, status


def _by_daemon(remote: Remote) -> Ask:
    async def ask(tenant: str, api: str, params: JsonObject) -> Reply:
        body = {"api": api, "params": params, "tenant": tenant, "wait": f"{_WAIT.seconds}s"}
        answer = await anyio.to_thread.run_sync(lambda: remote.post("/api/v1/call", body, wait=_WAIT))
        if answer.status == 200:
            return Reply(answer.body)
        error = answer.body.get("error", {}) if isinstance(answer.body, dict) else {}
        code = str(error.get("dataphin_code", ""))
        return Reply(None, answer.message, code, reached=error.get("code") != "unavailable")

    return ask


async def _sent(config: Config) -> Sequence[Finding]:
    """What became of a notice by each notifier, sent from here and not by the daemon."""
    from phinops.channels import channels_of
    from phinops.clock import SystemClock
    from phinops.execute.notify.note import Note, Undelivered
    from phinops.execute.notify.post import Post

    clock, found = SystemClock(), []
    async with Post() as post:
        for name, notifier in config.notifiers.items():
            note = Note(
                "msg_doctor", clock.now(), "", "", "phinops doctor", "This is a test: nothing has failed.", "info"
            )
            try:
                await channels_of({name: notifier}, post, clock)[name].send(note)
            except (Undelivered, ConfigError) as error:
                cure = "is the url right, and the secret the one of this robot or receiver?"
                found.append(Finding("notice", "bad", f"not delivered: {error}", cure, name))
            else:
                found.append(Finding("notice", "ok", "delivered: somebody should see it", about=name))
    return found


def _tell(finding: Finding) -> None:
    about = f" {finding.about}" if finding.about else ""
    click.echo(f"{_MARKS[finding.state]}{finding.check}{about}: {finding.said}")
    if finding.cure:
        click.echo(f"        -> {finding.cure}")
