"""What a command that reads rules works on: the files that are named, or those of the config."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from phinops.config import Config, find_config

CONFIG_NAME = "phinops.toml"


@dataclass(frozen=True, slots=True)
class Found:
    """What there is to check: configs, and files or folders of rules. `config` is what rules are checked against."""

    config: Path | None
    configs: tuple[Path, ...]
    rules: tuple[Path, ...]


def find(paths: Sequence[Path], explicit: Path | None) -> Found:
    """What the arguments name. A config among them is also the one to check rules against, unless another is named."""
    walked = tuple(config for path in paths for config in _configs_in(path))
    stated = explicit or os.environ.get("PHINOPS_CONFIG")
    config = find_config(explicit) if stated or not walked else walked[0]
    configs = tuple(dict.fromkeys((*walked, *([config] if config is not None else []))))
    return Found(config, configs, tuple(path for path in paths if path not in walked))


def own_rules(config: Config | None) -> Sequence[Path]:
    """Where rules lie when nothing is named; told from where one stands if they lie below."""
    return [_from_here(path) for path in config.rules.paths] if config is not None else [Path("rules")]


def _from_here(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _configs_in(path: Path) -> Iterator[Path]:
    if path.suffix == ".toml":
        yield path
    elif path.is_dir():
        for here, folders, names in os.walk(path):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            if CONFIG_NAME in names:
                yield Path(here, CONFIG_NAME)
