from __future__ import annotations

from typing import Any

import pytest

from phinops.decide.replies import Replies

REPLY = {"Data": [{"Id": "3", "Ratio": 1.5, "Note": None}], "TotalCount": 1}


@pytest.mark.parametrize(
    ("source", "holds"),
    [
        ("reply.TotalCount == 1", True),
        ("reply.Data.exists(each, each.Id == sent.Id)", True),
        ("size(reply.Data) > 1", False),
        ("has(reply.Other) && reply.Other == 1", False),
        ("reply.Data[0].Note == null && reply.Data[0].Ratio > 1.0", True),
        ("reply.Other == 1", None),
        ("reply.TotalCount", None),
    ],
)
def test_a_condition_is_asked_of_the_reply_and_of_what_was_sent(source: str, holds: bool | None) -> None:
    found, why = Replies().holds(source, REPLY, {"Id": "3"})
    assert found is holds
    assert bool(why) == (holds is None)


@pytest.mark.parametrize(
    ("source", "code", "offset", "message"),
    [
        ("reply.A == event.id", "expression-name", 11, "there is no «event» here: a probe speaks of `reply`"),
        ("reply.A ==", "expression-syntax", 10, "the expression ends too early"),
        ("1 + 1", "expression-type", 0, "is int, and a condition must be true or false"),
    ],
)
def test_mistakes_are_found_with_their_place(source: str, code: str, offset: int, message: str) -> None:
    (flaw,) = Replies().check(source)
    assert (flaw.code, flaw.offset) == (code, offset)
    assert message in flaw.message
    assert Replies().check("reply.A == sent.B") == []


def test_what_a_reply_lacks_is_named() -> None:
    found: tuple[Any, str] = Replies().holds("reply.Other == 1", REPLY, {})
    assert found == (None, 'the probe cannot be evaluated: there is no key "Other"')
