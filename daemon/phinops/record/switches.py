"""Switches that survive a restart: small values under a name."""

from __future__ import annotations

from phinops.record.tx import Snapshot, Tx


def switch(tx: Snapshot, name: str) -> str:
    """The value that the switch was last set to, or "" when it never was."""
    row = tx.one("kv_get", name=name)
    return str(row["value"]) if row else ""


def set_switch(tx: Tx, name: str, value: str) -> None:
    """Set the switch from here on."""
    tx.run("kv_put", name=name, value=value, now=tx.now)
