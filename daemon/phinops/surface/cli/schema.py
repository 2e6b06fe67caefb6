"""`phinops schema`: what editors need to know of the files that people write."""

from __future__ import annotations

import json

import click

from phinops.surface.schema import SCHEMAS, Schema


@click.command()
@click.argument("kind", type=click.Choice(list(SCHEMAS)))
def schema(kind: str) -> None:
    """Print the JSON Schema of rule files, tests or the config, for completion and hints in an editor.

    `phinops init` writes all three; this brings them up to date after an upgrade.

    \b
    Example:
      phinops schema rules > .phinops/rules.schema.json
    """
    click.echo(as_text(SCHEMAS[kind]()), nl=False)


def as_text(document: Schema) -> str:
    """The schema as it is written to a file."""
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"
