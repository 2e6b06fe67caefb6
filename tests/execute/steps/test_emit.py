from __future__ import annotations

import pytest

from phinops.execute.steps.emit import LARGEST, EmitParams, check_size
from phinops.execute.steps.kind import BadStep, checked
from phinops.execute.steps.table import STEPS

EMIT = STEPS["emit"]


def test_a_type_of_ones_own_and_data_or_none() -> None:
    params = EmitParams.model_validate({"type": "custom.team-a.mended", "data": {"n": 1}})
    assert (params.type, params.data) == ("custom.team-a.mended", {"n": 1})
    assert not EMIT.writes(params)
    assert EMIT.apis(params) == ()
    assert EmitParams.model_validate({"type": "custom.x", "data": None}).data == {}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"type": "mended"}, "must be custom.NAME"),
        ({"type": "custom."}, "must be custom.NAME"),
        ({"type": "custom.a..b"}, "must be custom.NAME"),
        ({"type": "custom." + "a" * 100}, "must be custom.NAME"),
        ({"type": "custom.{{ event.node.name }}"}, "cannot come from a template"),
        ({"type": "custom.x", "data": [1]}, "valid dict"),
        ({"type": "custom.x", "date": {}}, "Extra inputs"),
    ],
)
def test_a_wrong_value_is_refused(given: dict[str, object], reason: str) -> None:
    with pytest.raises(BadStep, match=reason):
        checked(EMIT, given)


def test_data_is_bounded() -> None:
    check_size({"x": "a" * (LARGEST - len('{"x": ""}'))})
    with pytest.raises(BadStep, match="are allowed"):
        check_size({"x": "a" * (LARGEST - len('{"x": ""}') + 1)})
