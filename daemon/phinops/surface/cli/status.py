"""`phinops status`: what the daemon sees and has spent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import click

from phinops.config import Config
from phinops.surface.cli.options import config_of, config_option, json_option, tenant_of, tenant_option
from phinops.surface.cli.output import paused_text, print_json, print_rows
from phinops.surface.cli.reach import NobodyAnswers, Remote


@click.command()
@config_option
@tenant_option
@json_option
@click.pass_context
def status(ctx: click.Context, config_path: Path | None, tenant: str | None, as_json: bool) -> None:
    """Whether the daemon is ready, how fresh its sources are, and what is left of the quota.

    The exit code is 1 when it is not ready.

    \b
    Example:
      phinops status --json
    """
    config = config_of(config_path)
    wanted = tenant_of(config, tenant).name if tenant is not None else None
    try:
        document = Remote(config).get("/api/v1/status")
    except NobodyAnswers as silence:
        document = _stopped(config, silence)
    if wanted is not None:
        document["tenants"] = [each for each in document["tenants"] if each["name"] == wanted]
    if as_json:
        print_json(document)
    else:
        _tell(document)
    ctx.exit(0 if document["ready"] else 1)


def _tell(document: dict[str, Any]) -> None:
    click.echo("ready" if document["ready"] else "not ready: " + "; ".join(document["reasons"]))
    if document["paused"]:
        click.echo(f"no write leaves: {paused_text(document['paused'])}")
    for tenant in document["tenants"]:
        click.echo(f"\n{tenant['name']}")
        if tenant["sources"]:
            columns = {"SOURCE": "name", "STATE": "state", "LAST GOOD": "last_good", "EVERY (s)": "interval_s"}
            print_rows(tenant["sources"], columns)
        if tenant["quota"]:
            columns = {"QUOTA OF LEVELS": "pool", "USED": "used", "LIMIT": "limit", "RESERVE": "reserve"}
            print_rows(tenant["quota"], columns)
    store = document["store"]
    click.echo(f"\nstore: {store['bytes'] / 1e6:.1f} MB{_since(store)}")


def _since(store: dict[str, Any]) -> str:
    since = f", events since {store['oldest_event']}" if store["oldest_event"] else ""
    return since + (f", pruned before {store['pruned_before']}" if store["pruned_before"] else "")


def _stopped(config: Config, silence: NobodyAnswers) -> dict[str, Any]:
    """The status of a daemon that does not run, from its store."""
    from phinops.surface.cli.stopped import stopped_daemon

    if not config.store.path.exists():  # asking must not make a store that the service could not write
        raise NobodyAnswers(f"{silence}; there is no store at {config.store.path} either")

    async def read() -> dict[str, Any]:
        async with stopped_daemon(config, silence) as daemon:
            document: dict[str, Any] = daemon.status()
            return document

    document = anyio.run(read)
    tenants = [{**tenant, "sources": []} for tenant in document["tenants"]]
    return {**document, "ready": False, "reasons": ["no daemon is running"], "tenants": tenants}
