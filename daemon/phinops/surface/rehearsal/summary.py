"""What several days have in common, and whether a day was as it must be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from phinops.event import JsonObject


def shortcomings(day: JsonObject) -> list[str]:
    """Why the day was not as it must be: no call refused, no action dropped, the reserve left alone by polls."""
    refused = sum(day["refused"].values())
    found = [f"{refused:g} calls were refused"] if refused else []
    dropped = day["actions"]["dropped"]
    found += [f"{dropped:g} actions were dropped"] if dropped else []
    return found + [
        f"polls took {each['calls']:g} calls of levels {each['pool']} and were to leave all above {each['most']:g}"
        for each in day["polls"]
        if each["calls"] > each["most"]
    ]


def averaged(days: Sequence[JsonObject]) -> JsonObject:
    """The mean of each number over days of one edition, of each `max` the largest; what no day has is None."""
    mean: JsonObject = _averaged(days, "")
    return {**mean, "edition": days[0]["edition"], "seed": "mean"}


def _averaged(values: Sequence[Any], name: str) -> Any:
    there = [value for value in values if value is not None]
    if not there:
        return None
    first = there[0]
    if isinstance(first, Mapping):
        # A word that only some days have, such as a reason of refusals, counts as nothing on the others.
        keys = dict.fromkeys(key for value in there for key in value)
        return {key: _averaged([value.get(key, 0) for value in there], key) for key in keys}
    if isinstance(first, list):
        return [_averaged(each, name) for each in zip(*there, strict=True)]
    if isinstance(first, str):
        return first
    return max(there) if name == "max" else round(sum(there) / len(there), 3)
