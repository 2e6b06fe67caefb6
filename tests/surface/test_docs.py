"""What the documents promise about config, commands and service."""

from __future__ import annotations

import re
import typing
from pathlib import Path
from typing import Any

import click
import pytest
from pydantic import BaseModel

from phinops.config import Config, check_config
from phinops.surface.cli import COMMANDS, phinops
from phinops.surface.metrics import FAMILIES

ROOT = Path(__file__).parents[2]
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text("utf-8")
COMMANDS_PAGE = (ROOT / "docs" / "commands.md").read_text("utf-8")
SERVICE = (ROOT / "docs" / "service.md").read_text("utf-8")
TEMPLATE = (ROOT / "daemon/phinops/surface/templates/phinops.toml").read_text("utf-8")


MINIMAL = """\
[[tenants]]
name = "prod"
endpoint = "https://dataphin-public.cn-shanghai.aliyuncs.com"
op_tenant_id = 30001011
edition = "basic"
access_key_id = { env = "DATAPHIN_ACCESS_KEY_ID" }
access_key_secret = { env = "DATAPHIN_ACCESS_KEY_SECRET" }
"""
"""What an example that shows a part of a config is a part of."""


def keys(model: Any) -> set[str]:
    """Every key of a table and of the tables below it."""
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return {key for inner in typing.get_args(model) for key in keys(inner)}
    if model.__name__ == "Secret":
        return set()
    below = (keys(field.annotation) for field in model.model_fields.values())
    named = {field.alias or name for name, field in model.model_fields.items()}
    return named.union(*below)


@pytest.mark.parametrize("key", sorted(keys(Config)))
def test_every_key_is_documented_and_in_the_template(key: str) -> None:
    assert re.search(rf"`\[*{key}[\].`]|\[tenants\.{key}|\b{key} = ", CONFIGURATION)
    assert re.search(rf"\b{key}\b", TEMPLATE)


def test_every_example_of_a_config_is_one(tmp_path: Path) -> None:
    for text in re.findall(r"^```toml\n(.*?)^```$", CONFIGURATION, re.MULTILINE | re.DOTALL):
        whole = text if "[[tenants]]" in text else f"{MINIMAL}\n{text}"
        (tmp_path / "phinops.toml").write_text(whole, encoding="utf-8")
        assert check_config(tmp_path / "phinops.toml")[1] == []


def test_the_template_is_right_with_every_line_that_can_be_switched_on(tmp_path: Path) -> None:
    switched_on = re.sub(r"^# (?=[a-z_]+ = |\[)", "", TEMPLATE, flags=re.MULTILINE)
    (tmp_path / "phinops.toml").write_text(switched_on, encoding="utf-8")
    config, problems = check_config(tmp_path / "phinops.toml")
    assert problems == []
    assert config is not None
    assert config.tenants[0].auto_rerun is not None
    assert config.hooks.keys() == {"deploy", "dataphin"}


def test_every_command_and_option_is_documented() -> None:
    with click.Context(phinops) as context:
        for name in COMMANDS:
            assert f"`{name}`" in COMMANDS_PAGE
            command = phinops.get_command(context, name)
            assert command is not None
            for parameter in command.params:
                for option in parameter.opts if isinstance(parameter, click.Option) else ():
                    assert f"`{option}" in COMMANDS_PAGE or f" {option} " in COMMANDS_PAGE, option


def test_every_metric_is_documented() -> None:
    documented = re.findall(r"`phinops_(\w+)`", SERVICE)
    assert sorted(documented) == sorted(FAMILIES)


def test_the_unit_says_what_the_document_says() -> None:
    unit = (ROOT / "systemd" / "phinops.service").read_text("utf-8")
    for line in ("Type=notify", "ExecReload=phinops reload", "DynamicUser=yes", "RestartPreventExitStatus=2"):
        assert f"\n{line}\n" in unit
