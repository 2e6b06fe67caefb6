from __future__ import annotations

import ast
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

import phinops
from phinops.clock import SystemClock
from phinops.record.migrations import load_migrations, migrate
from phinops.record.queries import QUERIES, Query, load_queries, parse_queries

PACKAGE = Path(phinops.__file__).parent


@pytest.fixture(scope="module")
def schema() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, ":memory:", SystemClock().now(), load_migrations())
    yield connection
    connection.close()


@pytest.mark.parametrize("name", sorted(QUERIES))
def test_a_query_fits_the_schema_and_binds_what_it_says(name: str, schema: sqlite3.Connection) -> None:
    query = QUERIES[name]
    schema.execute(f"EXPLAIN {query.sql}", dict.fromkeys(query.parameters))
    for missing in query.parameters:
        with pytest.raises(sqlite3.ProgrammingError):
            schema.execute(f"EXPLAIN {query.sql}", dict.fromkeys(query.parameters - {missing}))


def test_code_names_only_queries_that_exist_and_binds_what_they_need() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)}:{call.lineno}: {name}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for call, name in _calls(ast.parse(path.read_text("utf-8")))
        if not _fits(call, name)
    ]
    assert wrong == []


def test_no_query_lies_about_unused() -> None:
    named = {
        node.value
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert sorted(set(QUERIES) - named) == []


def test_a_file_gives_its_queries_in_order() -> None:
    text = "-- one --\n-- The first.\nSELECT 1;\n\n-- two --\n-- The second.\nSELECT :a, ':b' -- :c\n , :d_1;\n"
    assert list(parse_queries(text, "x.sql")) == [
        Query("one", "The first.", "SELECT 1;", frozenset()),
        Query("two", "The second.", "SELECT :a, ':b' -- :c\n , :d_1;", frozenset({"a", "d_1"})),
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("SELECT 1;\n-- one --\n-- First.\nSELECT 1;", "a query begins with a line such as"),
        ("-- one --\nSELECT 1;", "«one» needs a comment"),
        ("-- one --\n-- The first.\n", "«one» needs a comment"),
    ],
)
def test_a_query_without_name_sentence_or_statement_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        list(parse_queries(text, "x.sql"))


def test_a_name_used_twice_is_refused(tmp_path: Path) -> None:
    for file in ("a.sql", "b.sql", "notes.txt"):
        (tmp_path / file).write_text("-- one --\n-- The first.\nSELECT 1;\n")
    with pytest.raises(ValueError, match=r"b\.sql: there are two queries named «one»"):
        load_queries(tmp_path)


def _calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            first = node.args[0]
            on_a_transaction = isinstance(node.func.value, ast.Name) and node.func.value.id == "tx"
            if on_a_transaction and isinstance(first, ast.Constant) and node.func.attr in ("all", "one", "run", "many"):
                yield node, str(first.value)


def _fits(call: ast.Call, name: str) -> bool:
    if name not in QUERIES:
        return False
    given = {keyword.arg for keyword in call.keywords}
    if None in given or (isinstance(call.func, ast.Attribute) and call.func.attr == "many"):
        return given - {None} <= QUERIES[name].parameters
    return given == QUERIES[name].parameters
