"""Conditions are cut where they say «and» and «or», nowhere else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phinops.decide.clauses import Clause, clauses, leaves, parse


def shown(clause: Clause) -> Any:
    return clause.text if clause.kind == "is" else (clause.kind, [shown(part) for part in clause.parts])


@pytest.mark.parametrize(
    ("condition", "tree"),
    [
        ("a", "a"),
        ("a && b", ("all", ["a", "b"])),
        ("a || b && c", ("any", ["a", ("all", ["b", "c"])])),
        ("a && (b || c) && !(d && e)", ("all", ["a", ("any", ["b", "c"]), "!(d && e)"])),
        ("((a && b))", ("all", ["a", "b"])),
        ("(a) && (b)", ("all", ["a", "b"])),
        ("a ? b && c : d", "a ? b && c : d"),
        ('x.matches("a && b") && y', ("all", ['x.matches("a && b")', "y"])),
        (r"x.matches(r'a\') && y", ("all", [r"x.matches(r'a\')", "y"])),
        (r"""x == "a\" && b" && y""", ("all", [r'''x == "a\" && b"''', "y"])),
        ("// in && between\n a && // one || other\n b", ("all", ["a", "b"])),
        ("l.exists(x, x.a && x.b) && z", ("all", ["l.exists(x, x.a && x.b)", "z"])),
    ],
)
def test_a_condition_as_a_tree(condition: str, tree: Any) -> None:
    assert shown(parse(condition)) == tree


def test_the_top_level_is_what_must_hold_all_together() -> None:
    assert [each.text for each in clauses("a && (b || c)")] == ["a", "b || c"]
    assert [each.text for each in clauses("a || b")] == ["a || b"]


WORDS = st.sampled_from(
    ["a", "b.c", "&&", "||", "(", ")", "[", "]", '"x && y"', "'", '"', "?", ":", "r'", "//", "\n", " "]
)


@given(st.lists(WORDS, max_size=20).map(" ".join))
def test_whatever_is_cut_each_leaf_stands_where_it_says(condition: str) -> None:
    for leaf in leaves(parse(condition)):
        assert condition[leaf.offset : leaf.offset + len(leaf.text)] == leaf.text
