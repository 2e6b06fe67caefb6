"""Two lists compared: what was expected and what happened, with the first difference told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from phinops.surface.trial.script import Expects, Place

OF_ANOTHER = "it is of "
"""How a difference begins that says whose something is instead."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that is not as it was expected; `notes` say more, a line each."""

    place: Place
    message: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Way:
    """How two lists are compared: `differs` says in what way one is not as expected, "" where it is; `tell` names what
    happened, `wanted` what was expected; what is `quiet` may be left out. Of an `open` list also what is quiet is too
    much where nothing is expected.
    """

    differs: Callable[[Any, Any], str]
    tell: Callable[[Any], str]
    wanted: Callable[[Any], str]
    quiet: Callable[[Any], bool] = lambda _: False
    ordered: bool = True
    open: bool = False


def listed(expects: Expects, key: str, wanted: Sequence[Any], happened: Sequence[Any], way: Way) -> Iterator[Failure]:
    """The first difference, if there is one: what is wanted must have happened in this order, and nothing else."""
    left = list(happened)
    for index, each in enumerate(wanted):
        place = expects.at(key, index)
        found = _find(each, left, way)
        if found is None:
            yield Failure(place, _missing(key, each, left, way), _lists(wanted, happened, way))
            return
        del left[slice(0 if way.ordered else found, found + 1)]
    beyond = [each for each in left if not way.quiet(each) or (way.open and not wanted)]
    if beyond:
        message = f"{key}: {way.tell(beyond[0])} was not expected"
        yield Failure(expects.at(key), message, _lists(wanted, happened, way))


def _find(wanted: Any, left: Sequence[Any], way: Way) -> int | None:
    """Where the wanted one is among those left, of which only quiet ones may come before it."""
    for index, each in enumerate(left):
        if not way.differs(wanted, each):
            return index
        if way.ordered and not way.quiet(each):
            return None
    return None


def _missing(key: str, wanted: Any, left: Sequence[Any], way: Way) -> str:
    loud = [each for each in left if not way.quiet(each)] or list(left)
    if not loud:
        return f"{key}: {way.wanted(wanted)} did not happen"
    # What is of another rule tells the least of why the wanted one is not there.
    differences = sorted((way.differs(wanted, each) for each in loud), key=lambda told: told.startswith(OF_ANOTHER))
    return f"{key}: expected {way.wanted(wanted)}, but {differences[0]}"


def _lists(wanted: Sequence[Any], happened: Sequence[Any], way: Way) -> tuple[str, ...]:
    return (
        *(f"expected  {way.wanted(each)}" for each in wanted or ()),
        *(("expected  nothing",) if not wanted else ()),
        *(f"happened  {way.tell(each)}" for each in happened),
        *(("happened  nothing",) if not happened else ()),
    )
