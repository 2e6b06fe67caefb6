"""`phinops init`: what a newcomer needs to begin with a tenant of their own."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import click

from phinops.surface.cli.schema import as_text
from phinops.surface.schema import SCHEMAS

_FILES = {
    "phinops.toml": "phinops.toml",
    "rules/first.rules.yaml": "first.rules.yaml",
    "rules/first.test.yaml": "first.test.yaml",
}


@click.command()
@click.argument("folder", default=".", metavar="[DIR]", type=click.Path(file_okay=False, path_type=Path))
def init(folder: Path) -> None:
    """Write a config that explains itself and a rule to start from; nothing that exists is touched.

    In .phinops are the schemas by which an editor completes and explains them.

    \b
    Example:
      phinops init ops && cd ops && phinops check
    """
    try:
        for name, template in _FILES.items():
            _write(folder / name, files("phinops.surface").joinpath("templates", template).read_text(encoding="utf-8"))
        for name, make in SCHEMAS.items():
            _write(folder / ".phinops" / f"{name}.schema.json", as_text(make()))
    except OSError as error:
        raise click.BadParameter(f"cannot write {error.filename}: {error.strerror}", param_hint="DIR") from error
    click.echo(
        "\nNext: set the tenant and its keys in phinops.toml, then `phinops check`, `phinops test` and `phinops run`.\n"
        "To try rules on a simulated tenant: `phinops simulate --keys keys.sh`; its url is the endpoint, and after\n"
        "`. ./keys.sh` the shell that says `phinops run` has its keys.\n"
        "As a service: put phinops.toml and rules/ into /etc/phinops, the keys into files that only root can read,\n"
        'name those with LoadCredential= in a drop-in of phinops.service, { credential = "NAME" } in the config,\n'
        "and `systemctl enable --now phinops`."
    )


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        click.echo(f"kept    {path}")
    else:
        click.echo(f"written {path}")
