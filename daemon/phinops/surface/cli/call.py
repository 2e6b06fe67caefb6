"""`phinops call`: one call to Dataphin, counted and limited like the daemon's own."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import click

from phinops.catalog.catalog import ApiSpec, UnknownApi, load_catalog
from phinops.catalog.check import problems_of
from phinops.catalog.quotas import allowed
from phinops.config import Config, Tenant
from phinops.durations import format_duration
from phinops.errors import PhinopsError, Refused
from phinops.surface.cli.options import DURATION, config_of, config_option, person, tenant_of, tenant_option
from phinops.surface.cli.output import print_json
from phinops.surface.cli.reach import Answer, NobodyAnswers, Remote

_NOT_SENT, _REFUSED = 400, 422


class _No(Refused):
    """The call is refused before anything is sent (exit code 1)."""

    def __init__(self, api: str, message: str) -> None:
        super().__init__(api, "not sent", message)


class _Told(Refused):
    """Dataphin refused the call, in the daemon's words (exit code 1)."""

    def __init__(self, api: str, message: str) -> None:
        super().__init__(api, "refused", message)
        self.args = (message,)


@click.command()
@click.argument("api")
@click.argument("arguments", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--data", metavar="JSON", default="{}", help="An object of parameters, merged with NAME=VALUE.")
@click.option("--yes", is_flag=True, help="Do not ask before a write.")
@click.option("--wait", type=DURATION, default="60s", show_default=True, help="How long to wait for the call's turn.")
@click.option("--override-protection", "override", is_flag=True, help="Write also to what [safety].protected names.")
@tenant_option
@config_option
def call(
    api: str,
    arguments: tuple[str, ...],
    data: str,
    yes: bool,
    wait: timedelta,
    override: bool,
    tenant: str | None,
    config_path: Path | None,
) -> None:
    """One call to Dataphin; prints the reply, which is JSON.

    Names, types and required parameters are checked, and the edition, before anything is sent. A write asks first
    and is journalled. Exit code 1 is a refusal, by us or by Dataphin; 3 means that nobody was reached, that the quota
    left no call within --wait, or that the answer to a write was lost.

    \b
    Example:
      phinops call GetMyTenants
      phinops call OperateInstance --data '{"OperateCommand": {"ProjectId": 1,
        "Operation": "RERUN", "InstanceIdList": [{"Id": "t_1"}]}}'
    """
    config = config_of(config_path)
    speaker = tenant_of(config, tenant)
    spec = _spec(api)
    params = {**_object(data), **dict(_pair(spec, text) for text in arguments)}
    _check(spec, params, speaker)
    if not spec.reads and not yes:
        click.confirm(f"{api} changes tenant {speaker.name}: send it?", abort=True, err=True)
    body = {"api": api, "params": params, "wait": format_duration(wait), "tenant": speaker.name}
    print_json(_ask(config, {**body, "override_protection": override, "by": person()}, wait))


def _spec(api: str) -> ApiSpec:
    try:
        return load_catalog().require(api)
    except UnknownApi as error:
        raise _No(api, str(error)) from error


def _object(data: str) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError as error:
        raise click.BadParameter(f"not JSON: {error}", param_hint="--data") from error
    if not isinstance(value, dict):
        raise click.BadParameter("not a JSON object", param_hint="--data")
    return value


def _pair(spec: ApiSpec, text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"«{text}» is not NAME=VALUE", param_hint="arguments")
    parameter = spec.parameter(name)
    if parameter is not None and parameter.type.startswith(("array", "object", "any")):
        try:
            return name, json.loads(value)
        except ValueError:
            return name, value  # the catalog's check says what it should have been
    return name, value


def _check(spec: ApiSpec, params: dict[str, Any], tenant: Tenant) -> None:
    if not allowed(spec, tenant.edition):
        raise _No(spec.name, f"edition {tenant.edition} does not have it, {spec.edition} does")
    mistakes = [problem.message for problem in problems_of(spec, params)]
    if mistakes:
        raise _No(spec.name, "; ".join(mistakes))


def _ask(config: Config, body: dict[str, Any], wait: timedelta) -> Any:
    try:
        answer = Remote(config).post("/api/v1/call", body, wait=wait)
    except NobodyAnswers as silence:
        return _alone(config, body, wait, silence)
    if answer.status == 200:
        return answer.body
    raise _failure(body["api"], answer)


def _failure(api: str, answer: Answer) -> PhinopsError:
    if answer.status == _REFUSED:
        return _Told(api, answer.message)
    return _No(api, answer.message) if answer.status == _NOT_SENT else NobodyAnswers(answer.message)


def _alone(config: Config, body: dict[str, Any], wait: timedelta, silence: NobodyAnswers) -> Any:
    from phinops.surface.cli.stopped import stopped_daemon

    async def ask() -> Any:
        async with stopped_daemon(config, silence) as daemon:
            override = body["override_protection"]
            api, params, by = body["api"], body["params"], body["by"]
            return await daemon.call(api, params, wait, body["tenant"], override=override, by=by)

    try:
        return anyio.run(ask)
    except ValueError as error:
        raise _No(body["api"], str(error)) from error
