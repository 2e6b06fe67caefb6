from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phinops.record.documents import from_text, to_text

documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters()), inner, max_size=3),
    max_leaves=10,
)


@given(documents)
def test_a_document_comes_back_as_it_was(document: Any) -> None:
    assert from_text(to_text(document)) == document


def test_a_lone_surrogate_can_be_stored() -> None:
    text = to_text({"name": "\ud800"})
    assert text.encode() == b'{"name":"\\ud800"}'
    assert from_text(text) == {"name": "\ud800"}


def test_what_is_not_json_is_refused() -> None:
    with pytest.raises(TypeError):
        to_text({"when": object()})
