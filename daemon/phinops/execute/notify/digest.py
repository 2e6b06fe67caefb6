"""Many notices as one message: where a channel takes few, nothing is dropped, what is due together is told together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from phinops.execute.notify.note import Note
from phinops.execute.notify.wording import Wording, worst

LINE = 240
"""Bytes that one notice of a digest may take: its title and the beginning of its message."""

SPARE = 400
"""Bytes of a message's room that are left for its title, its last line and where it comes from."""


def fitting(notes: Sequence[Note], room: int, words: Wording) -> int:
    """How many of the notes, in their order, one message of `room` bytes tells: at least one."""
    left = room - SPARE
    for count, note in enumerate(notes):
        left -= len(_line(note, words).encode()) + 1
        if left < 0:
            return max(1, count)
    return len(notes)


def digest(notes: Sequence[Note], words: Wording) -> Note:
    """One note that tells each of `notes` in a line; its id, time and links are those of the first."""
    first = notes[0]
    if len(notes) == 1:
        return first
    rules = {note.rule for note in notes}
    tenants = {str(note.event.get("tenant") or "") for note in notes}
    return replace(
        first,
        rule=first.rule if len(rules) == 1 else "",
        firing_id="",
        title=words.many.format(n=len(notes)),
        message="\n".join([*(_line(note, words) for note in notes), words.more]),
        severity=worst([note.severity for note in notes]),
        event={"tenant": next(iter(tenants))} if len(tenants) == 1 else {},
        links={},
    )


def _line(note: Note, words: Wording) -> str:
    said = " ".join(note.message.split())
    headline = words.headline(note)
    whole = f"- {headline}: {said}" if said else f"- {headline}"
    encoded = whole.encode()
    return whole if len(encoded) <= LINE else encoded[: LINE - 3].decode(errors="ignore") + "…"
