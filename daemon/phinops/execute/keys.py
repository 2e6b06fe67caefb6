"""The key pairs that calls are signed with, checked as they are read."""

from __future__ import annotations

from typing import Protocol

from phinops.errors import ConfigError
from phinops.execute.sign import KeyPair


class Keys(Protocol):
    """The tenant's AccessKey pairs, (id, secret) each, read anew at every call. Raise ConfigError."""

    def read(self) -> tuple[str, str]: ...

    def write(self) -> tuple[str, str]: ...


def key_pairs(keys: Keys) -> dict[bool, KeyPair]:
    """The pair for reads (True) and that for writes (False). Raises ConfigError."""
    return {True: _pair("access_key", *keys.read()), False: _pair("write_access_key", *keys.write())}


def _pair(name: str, key_id: str, secret: str) -> KeyPair:
    if key_id.startswith("STS."):
        raise ConfigError(
            f"{name}_id begins with STS.: it belongs to a RAM role, and roles cannot call Dataphin's OpenAPI; "
            "use the AccessKey of a RAM user"
        )
    for part, text in (("id", key_id), ("secret", secret)):
        if not text or not text.isascii() or not text.isprintable() or " " in text:
            raise ConfigError(f"{name}_{part} is empty or holds characters that no AccessKey has")
    return KeyPair(key_id, secret)
