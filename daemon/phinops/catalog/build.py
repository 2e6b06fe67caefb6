"""Makes `apis.json` from a description of the SDK's actions and the published table of levels.

Run it from a source tree, when Alibaba publishes a new SDK or a new table::

    python -m phinops.catalog.build APIS.json LEVELS.csv

APIS.json holds `actions` (every action of the SDK with its top-level parameters) and `detailed` (full trees
of some of them); LEVELS.csv has the columns section, group, api, throttling_level and minimum_edition.

What is written: one line an API, sorted by name, each
`[level, edition, section, group, parameters, response, detailed]`. A parameter is
`[name, type, required, location, children, enum]`, a field of the response `[name, type, children, enum]`;
empty ends are left out, and so are the five fields that every answer has (`catalog.ENVELOPE`).
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from phinops.catalog.catalog import DATA, ENVELOPE

Row: TypeAlias = list[Any]

LOCATIONS: Mapping[str, str] = {"query": "query", "body": "form"}


def trimmed(row: Row) -> Row:
    """`row` without the empty values at its end."""
    while row and row[-1] in ([], "", 0, None):
        row.pop()
    return row


def enum_of(source: Mapping[str, Any]) -> list[str]:
    """The documented values of a parameter or field; none where it is open."""
    return [entry["value"] for entry in source.get("enum", ())]


def parameter(source: Mapping[str, Any], location: str) -> Row:
    """One parameter and what lies in it; children travel wherever their root does."""
    where = LOCATIONS[source.get("location", location)]
    inside = [parameter(child, "body") for child in source.get("children", ())]
    return trimmed([source["name"], source["type"], int(source["required"]), where, inside, enum_of(source)])


def field(source: Mapping[str, Any]) -> Row:
    """One field of an answer and what lies in it."""
    inside = [field(child) for child in source.get("children", ())]
    return trimmed([source["name"], source["type"], inside, enum_of(source)])


def api_row(action: Mapping[str, Any], tree: Mapping[str, Any] | None, level: Mapping[str, str] | None) -> Row:
    """One API as `apis.json` has it; `tree` is its full description, `level` its row of the table, None for none."""
    request = (tree or action)["request"]
    # Where the answer's tree is not described, neither is the type of its payload.
    fields = tree["response"] if tree else [{"name": name, "type": "any"} for name in action["response_top_level"]]
    response = [field(each) for each in fields if each["name"] not in ENVELOPE]
    place: Row = [None, None, "", ""]
    if level:
        place = [int(level["throttling_level"]), level["minimum_edition"], level["section"], level["group"]]
    return [*place, [parameter(each, "query") for each in request], response, int(tree is not None)]


def build(apis: Mapping[str, Any], levels: Sequence[Mapping[str, str]]) -> str:
    """The text of `apis.json`. Raises ValueError when the two sources name different APIs or levels."""
    leveled = {row["api"]: row for row in levels}
    actions = apis["actions"]
    absent = sorted(leveled.keys() - actions.keys())
    if absent:
        raise ValueError(f"the table of levels names APIs that the SDK lacks: {', '.join(absent)}")
    lines = []
    for name in sorted(actions):
        row = api_row(actions[name], apis["detailed"].get(name), leveled.get(name))
        if row[0] != actions[name]["throttle_level"]:
            raise ValueError(f"{name}: level {row[0]} in the table, {actions[name]['throttle_level']} in APIS.json")
        lines.append(f"{json.dumps(name)}:{json.dumps(row, ensure_ascii=False, separators=(',', ':'))}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main(arguments: Sequence[str], target: Path = DATA) -> int:
    """Write `target` from the two files named; the exit code: 0, or 2 for a wrong usage. Raises what `build` raises."""
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m phinops.catalog.build APIS.json LEVELS.csv\n")
        return 2
    apis = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    with Path(arguments[1]).open(encoding="utf-8", newline="") as table:
        text = build(apis, list(csv.DictReader(table)))
    target.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
