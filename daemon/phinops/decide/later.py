"""What the language will have and this version does not: using it is an error that says so."""

from __future__ import annotations

NOT_YET = "is not in this version yet"

STEPS: tuple[str, ...] = ()


def not_yet(what: str) -> str:
    """The message for something that a later version will have."""
    return f"{what} {NOT_YET}"
