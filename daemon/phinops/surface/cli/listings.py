"""`phinops events`, `firings`, `actions` and `leases`: what was seen, decided, done, and ends by itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from phinops.config import Config
from phinops.surface.cli.options import config_of, config_option, json_option, limit_option, tenant_of, tenant_option
from phinops.surface.cli.output import print_json, print_rows
from phinops.surface.cli.reach import NobodyAnswers, Remote
from phinops.surface.cli.shelf import in_store
from phinops.surface.words import what_of

Rows = list[dict[str, Any]]


@click.command()
@config_option
@tenant_option
@limit_option
@json_option
def events(config_path: Path | None, tenant: str | None, limit: int, as_json: bool) -> None:
    """What changed in Dataphin, newest first.

    \b
    Example:
      phinops events --limit 20
    """
    columns = {"TIME": "time", "TYPE": "type", "TENANT": "tenant", "WHAT": "what", "ID": "id"}
    rows = _rows("events", config_of(config_path), tenant, limit)
    if as_json:
        print_json(rows)
    else:
        print_rows([{**row, "what": what_of(row)} for row in rows], columns)


@click.command()
@config_option
@tenant_option
@limit_option
@json_option
def firings(config_path: Path | None, tenant: str | None, limit: int, as_json: bool) -> None:
    """What the rules decided and why, newest first. `phinops explain ID` tells all that led to one of them.

    \b
    Example:
      phinops firings --limit 20
    """
    columns = {
        "TIME": "time", "RULE": "rule", "MODE": "mode", "STATE": "state", "EVENT": "event_id", "REASON": "reason",
        "ID": "id",
    }  # fmt: skip
    show("firings", config_of(config_path), tenant, limit, as_json, columns)


@click.command()
@config_option
@tenant_option
@limit_option
@json_option
def leases(config_path: Path | None, tenant: str | None, limit: int, as_json: bool) -> None:
    """Pauses of nodes that end by themselves, and how those ended that are over, newest first.

    \b
    Example:
      phinops leases
    """
    columns = {
        "NODE": "node_id", "PROJECT": "project_id", "STATE": "state", "DUE": "due", "SINCE": "since", "RULE": "rule",
        "ACTION": "action_id", "REASON": "reason",
    }  # fmt: skip
    show("leases", config_of(config_path), tenant, limit, as_json, columns)


def show(
    kind: str,
    config: Config,
    tenant: str | None,
    limit: int,
    as_json: bool,
    columns: Mapping[str, str],
    rare: Mapping[str, str] | None = None,
) -> None:
    """Print the newest of a kind, in columns or as JSON; a `rare` column only where a row has something for it."""
    rows = _rows(kind, config, tenant, limit)
    if as_json:
        print_json(rows)
    else:
        found = {name: key for name, key in (rare or {}).items() if any(row.get(key) for row in rows)}
        print_rows(rows, {**columns, **found})


def _rows(kind: str, config: Config, tenant: str | None, limit: int) -> Rows:
    name = tenant_of(config, tenant).name if tenant is not None else ""
    try:
        rows: Rows = Remote(config).get(f"/api/v1/{kind}", limit=limit, tenant=name)
    except NobodyAnswers as nobody:
        return _from_store(kind, config, name, limit, nobody)
    return rows


def _from_store(kind: str, config: Config, tenant: str, limit: int, nobody: NobodyAnswers) -> Rows:
    from phinops.record import lists
    from phinops.record.leases import list_leases

    zone = config.timezone
    listings = {
        "events": lambda tx: lists.list_events(tx, limit, tenant),
        "firings": lambda tx: lists.list_firings(tx, limit, tenant, zone),
        "actions": lambda tx: lists.list_actions(tx, limit, tenant, zone),
        "leases": lambda tx: list_leases(tx, limit, tenant, zone),
    }
    return in_store(config, nobody, lambda store: store.read(listings[kind]))
