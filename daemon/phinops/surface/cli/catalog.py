"""`phinops catalog`: what the OpenAPI of Dataphin offers."""

from __future__ import annotations

from typing import Any

import click

from phinops.catalog.catalog import ApiSpec, Parameter, load_catalog
from phinops.surface.cli.options import json_option
from phinops.surface.cli.output import print_json, print_rows


@click.command()
@click.argument("api", default="", metavar="[API]")
@json_option
@click.pass_context
def catalog(ctx: click.Context, api: str, as_json: bool) -> None:
    """The APIs of Dataphin: level, least edition and parameters.

    API is a name, or words to look for in names, sections and groups.

    \b
    Example:
      phinops catalog OperateInstance
      phinops catalog alert
    """
    known = load_catalog()
    exact = known.get(api)
    found = [exact] if exact is not None else known.search(api)
    if as_json:
        print_json([_entry(spec) for spec in found])
    elif exact is not None:
        _print_one(exact)
    elif found:
        print_rows(
            [_entry(spec) for spec in found], {"API": "api", "LEVEL": "level", "EDITION": "edition", "GROUP": "group"}
        )
    if not found:
        near = known.suggest(api)
        click.echo(f"no API has «{api}» in its name or group" + (f": did you mean «{near}»?" if near else ""), err=True)
        ctx.exit(1)


def _entry(spec: ApiSpec) -> dict[str, Any]:
    return {
        "api": spec.name,
        "level": spec.level,
        "edition": spec.edition,
        "section": spec.section,
        "group": spec.group,
        "parameters": [
            {"name": each.name, "type": each.type, "required": each.required, "in": each.location}
            for each in spec.parameters
        ],
    }


def _print_one(spec: ApiSpec) -> None:
    level = "3 (not published)" if spec.level is None else str(spec.level)
    click.echo(f"{spec.name}: {'reads' if spec.reads else 'writes'}, level {level}, {spec.edition or 'every edition'}")
    if spec.section:
        click.echo(f"{spec.section} / {spec.group}")
    for parameter in spec.parameters:
        _print_parameter(parameter, 1)


def _print_parameter(parameter: Parameter, depth: int) -> None:
    notes = [
        parameter.type,
        *(["required"] if parameter.required else []),
        *([parameter.location] if depth == 1 else []),
    ]
    values = f": {' | '.join(parameter.enum)}" if parameter.enum else ""
    click.echo(f"{'  ' * depth}{parameter.name} ({', '.join(notes)}){values}")
    for child in parameter.children:
        _print_parameter(child, depth + 1)
