"""What the calls of each quota day were spent on.

Details (hours and firings) are kept of the `DETAILS` newest days of an account, totals a day by source, API and rule of
the `TOTALS` newest. Days are counted, not measured by the clock: one that jumps a year ahead ages nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from phinops.record.documents import to_text
from phinops.record.tx import Row, Snapshot, Tx
from phinops.spending import Spend

DETAILS = 7
TOTALS = 35

Key = Literal["api", "source", "rule", "firing"]
"""What spenders may be told apart by."""

_TOLD: Mapping[Key | None, Sequence[str]] = {
    None: ("source", "rule", "api"),
    "api": ("api",),
    "source": ("source",),
    "rule": ("rule",),
    "firing": ("firing", "rule"),
}


@dataclass(frozen=True, slots=True)
class Spent:
    """What one spender had of a day; what it was not asked by is ""."""

    calls: int
    source: str = ""
    rule: str = ""
    firing: str = ""
    api: str = ""


def add(tx: Tx, account: str, spends: Mapping[Spend, int]) -> None:
    """Add these calls to what was spent."""
    tx.many("put_spend", (_row(account, spend, calls) for spend, calls in spends.items()))


def biggest(
    tx: Snapshot, account: str, day: date, levels: Collection[int], by: Key | None = None, limit: int = 10
) -> list[Spent]:
    """The biggest spenders of the levels' calls, told apart by `by` or, without it, by source, rule and API.

    By rule and by firing only calls are told that have one.
    """
    told = _TOLD[by]
    flags = {f"by_{name}": name in told for name in ("source", "rule", "firing", "api")}
    named = by if by in ("rule", "firing") else ""
    rows = tx.all(
        "spend_by",
        account=account,
        day=day.isoformat(),
        levels=to_text(list(levels)),
        named=named,
        limit=limit,
        **flags,
    )
    return [Spent(row["calls"], row["source"], row["rule"], row["firing"], row["api"]) for row in rows]


def shown(spent: Spent, by: Key | None = None) -> dict[str, str | int]:
    """The spender as JSON: what it was asked by, and its calls."""
    return {**{name: getattr(spent, name) for name in _TOLD[by]}, "calls": spent.calls}


def by_source(tx: Snapshot, account: str, day: date) -> dict[tuple[str, int], int]:
    """The calls of a day by (source, level)."""
    rows = tx.all("spend_by_source", account=account, day=day.isoformat())
    return {(row["source"], row["level"]): row["calls"] for row in rows}


def in_hour(tx: Snapshot, account: str, day: date, hour: int) -> dict[int, int]:
    """The calls of one hour, 0 to 23 of the quota's zone, by level; none of days whose details are gone."""
    rows = tx.all("spend_in_hour", account=account, day=day.isoformat(), hour=hour)
    return {row["level"]: row["calls"] for row in rows}


def prune(tx: Tx) -> None:
    """Turn the details of older days into totals, and drop totals that are older still."""
    for account in [row["account"] for row in tx.all("spend_accounts")]:
        days = [row["day"] for row in tx.all("spend_days", account=account)]
        if len(days) > DETAILS:
            tx.run("spend_total", account=account, before=days[DETAILS - 1])
            tx.run("spend_forget_details", account=account, before=days[DETAILS - 1])
        if len(days) > TOTALS:
            tx.run("spend_forget", account=account, before=days[TOTALS - 1])


def _row(account: str, spend: Spend, calls: int) -> Row:
    return {
        "account": account,
        "day": spend.day.isoformat(),
        "hour": spend.hour,
        "level": spend.level,
        "source": spend.spender.source,
        "api": spend.api,
        "rule": spend.spender.rule,
        "firing": spend.spender.firing,
        "calls": calls,
    }
