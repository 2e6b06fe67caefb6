"""The token that every change over HTTP needs: the daemon writes it, the command line finds it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from phinops.config import Config
from phinops.errors import StoreError

FILE = "token"
# Where the unit's StateDirectory= lies: whoever runs the CLI by hand has no $STATE_DIRECTORY.
SERVICE_STATE = Path("/var/lib/phinops")


def write_token(folder: Path) -> str:
    """A new token, readable by the daemon's user and group, in place of an older one.

    Raises:
        StoreError: the state folder cannot be written.
    """
    token = secrets.token_urlsafe(32)
    fresh = folder / f".{FILE}.new"
    try:
        fresh.unlink(missing_ok=True)
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            os.fchmod(file.fileno(), 0o640)  # whatever the umask
            file.write(token + "\n")
        fresh.replace(folder / FILE)
    except OSError as error:
        raise StoreError(f"cannot write {folder / FILE}: {error.strerror}") from error
    return token


def find_tokens(config: Config) -> Iterator[str]:
    """The tokens that may open the daemon of this config, the likeliest first."""
    for folder in dict.fromkeys((config.state_folder, SERVICE_STATE)):
        try:
            yield (folder / FILE).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
    if config.server.token is not None:
        yield config.server.token.reveal()
