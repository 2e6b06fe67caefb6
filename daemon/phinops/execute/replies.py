"""What replies carry, where what cannot be read of one is Dataphin's error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from phinops import vendor
from phinops.errors import Malformed


@contextmanager
def reading(api: str) -> Iterator[None]:
    """What cannot be read of a reply is Dataphin's error, and a `Malformed` says which field it was."""
    try:
        yield
    except ValueError as error:
        raise Malformed(api, "Malformed", str(error)) from error


def rows_of(body: Mapping[str, Any], field: str) -> list[vendor.Record]:
    """The objects of the list under `field`, none where it is absent.

    Raises:
        ValueError: it is no list of objects.
    """
    return [vendor.read_object(row, field) for row in vendor.read_list(body.get(field), field)]
