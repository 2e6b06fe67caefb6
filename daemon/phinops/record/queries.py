"""SQL is SQL: every query lies in a `.sql` file under its name, with a sentence that says what it is for.

::

    -- lease_epoch --
    -- Who owns the shard now.
    SELECT epoch FROM lease WHERE name = :name;
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

_NAME = re.compile(r"^-- (\w+) --$", re.MULTILINE)
_PARAMETER = re.compile(r"(?<!:):([a-z_]\w*)")
_COMMENT = re.compile(r"--.*$|'(?:[^']|'')*'", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Query:
    """One statement: `parameters` are the names that it binds with a colon."""

    name: str
    sentence: str
    sql: str
    parameters: frozenset[str]


def parse_queries(text: str, file: str) -> Iterator[Query]:
    """The queries of one `.sql` file, in order.

    Raises:
        ValueError: something stands before the first name, or a query has no sentence or no statement.
    """
    head, *parts = _NAME.split(text)
    if head.strip():
        raise ValueError(f"{file}: a query begins with a line such as «-- its_name --», not with «{head.strip()[:40]}»")
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        comment, _, sql = body.strip().partition("\n")
        if not (comment.startswith("-- ") and sql.strip()):
            raise ValueError(f"{file}: «{name}» needs a comment of one line, then a statement")
        bare = _COMMENT.sub("", sql)
        yield Query(name, comment[3:], sql.strip(), frozenset(_PARAMETER.findall(bare)))


def load_queries(folder: Traversable) -> Mapping[str, Query]:
    """All queries of a folder's `.sql` files by name.

    Raises:
        ValueError: a name is used twice, or a file is not as `parse_queries` wants it.
    """
    found: dict[str, Query] = {}
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if not file.name.endswith(".sql"):
            continue
        for query in parse_queries(file.read_text(encoding="utf-8"), file.name):
            if query.name in found:
                raise ValueError(f"{file.name}: there are two queries named «{query.name}»")
            found[query.name] = query
    return found


SQL = files("phinops.record") / "sql"
QUERIES = load_queries(SQL)
"""Every query of the package."""
