"""The rules that events were decided by, kept for as long as somebody may ask why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from phinops.event import JsonObject
from phinops.record.documents import from_text, to_text
from phinops.record.tx import Snapshot, Tx


@dataclass(frozen=True, slots=True)
class KeptSet:
    """Rules that were in force together, in order, as their firings keep them; `shadow`: none of them was armed."""

    hash: str
    shadow: bool
    rules: tuple[JsonObject, ...]


def put_set(tx: Tx, name: str, versions: Sequence[tuple[str, str, Mapping[str, object]]], *, shadow: bool) -> None:
    """Keep a set under its hash; `versions` are hash, id and meaning of its rules. One that is known is kept longer."""
    body = {"rules": [version for version, _, _ in versions], "shadow": shadow}
    tx.run("put_rule_set", hash=name, body=to_text(body), now=tx.now)
    tx.many(
        "put_rule_version",
        [{"hash": each, "rule": rule, "body": to_text(body), "now": tx.now} for each, rule, body in versions],
    )


def prune_sets(tx: Tx, before: datetime) -> int:
    """Drop the sets that decided nothing that is left, and the versions that no set has; how many sets went."""
    gone = tx.run("forget_rule_sets", before=before)
    if gone:
        tx.run("forget_rule_versions")
    return gone


def set_of(tx: Snapshot, name: str) -> KeptSet | None:
    """The set of that hash, or None."""
    row = tx.one("get_rule_set", hash=name)
    if row is None:
        return None
    body = from_text(row["body"])
    found = {
        each["hash"]: from_text(each["body"]) for each in tx.all("rule_versions_of", hashes=to_text(body["rules"]))
    }
    return KeptSet(name, body["shadow"], tuple(found[each] for each in body["rules"] if each in found))


def version_of(tx: Snapshot, name: str) -> JsonObject | None:
    """The meaning that a rule had under this hash, or None."""
    row = tx.one("get_rule_version", hash=name)
    found: JsonObject | None = from_text(row["body"]) if row else None
    return found
