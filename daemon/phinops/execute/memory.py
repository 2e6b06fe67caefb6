"""Facts that never change, kept in memory to choose the cheaper call."""

from __future__ import annotations

from typing import TypeVar

MEMORY = 50_000
"""So many facts of a kind are remembered."""

_Key = TypeVar("_Key")
_Fact = TypeVar("_Fact")


def remember(memory: dict[_Key, _Fact], key: _Key, fact: _Fact) -> None:
    """Keep a fact; the oldest goes when there are too many."""
    if key not in memory and len(memory) >= MEMORY:
        del memory[next(iter(memory))]
    memory[key] = fact
