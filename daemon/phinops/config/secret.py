"""Secrets are references: where a value is to be found, never the value."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import model_validator

from phinops.config.fields import LocalPath, Model, refuse
from phinops.errors import ConfigError

CURE = (
    'a secret is never written into the config: put it into a file and write { file = "PATH" }, '
    'or write { env = "NAME" } or { credential = "NAME" }'
)


class Secret(Model):
    """Where a secret is to be found; the value itself is read when it is needed and never kept."""

    env: str | None = None
    file: LocalPath | None = None
    credential: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _is_one_reference(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            refuse([((), CURE)])
        elif len(value) != 1:
            refuse([((), "name one place of the secret: env, file or credential")])
        return value

    def reveal(self) -> str:
        """The secret as it is now, without the line end after it.

        Raises:
            ConfigError: it is missing, empty or unreadable, or its file may be read by everybody.
        """
        if self.env is not None:
            value = os.environ.get(self.env, "")
        elif self.credential is not None:
            value = _credential(self.credential)
        else:
            value = _private_text(self.file or Path())
        value = value.strip("\r\n")
        if not value:
            raise ConfigError(f"the secret {self} is missing or empty")
        return value

    def __str__(self) -> str:
        return " ".join(f"{kind} {name}" for kind, name in self if name is not None)


def _credential(name: str) -> str:
    # systemd hands credentials over in a folder that only the service can enter: their modes need no check.
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise ConfigError(f"the secret credential {name} needs systemd's LoadCredential={name}:PATH in the unit")
    return _text(Path(folder) / name)


def _private_text(path: Path) -> str:
    try:
        readable_by_all = path.stat().st_mode & 0o004
    except OSError as error:
        raise ConfigError(f"the secret {path} cannot be read: {error.strerror}") from error
    if readable_by_all:
        raise ConfigError(f"everybody may read the secret {path}: chmod o-rwx {path}")
    return _text(path)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"the secret {path} is not text") from None
    except OSError as error:
        raise ConfigError(f"the secret {path} cannot be read: {error.strerror}") from error
