"""The words of a notice that are not its rule's own, in each language, and how its text is put together and cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from phinops.execute.notify.note import Note
from phinops.execute.steps.notify import SEVERITIES

Language = Literal["en", "zh"]

CUT = "\n…"
"""What stands behind a text of which there is more."""


@dataclass(frozen=True, slots=True)
class Wording:
    """The fixed words of one language. `marks` are by severity, `links` by the name of a link."""

    marks: Mapping[str, str]
    links: Mapping[str, str]
    many: str
    more: str

    def link(self, name: str) -> str:
        """What a link is called."""
        return self.links.get(name, name)

    def headline(self, note: Note) -> str:
        """The title behind the mark of its severity."""
        return self.marks.get(note.severity, "") + note.title


WORDINGS: Mapping[Language, Wording] = {
    "en": Wording(
        marks={"info": "", "warning": "[WARNING] ", "critical": "[CRITICAL] "},
        links={},
        many="{n} notices",
        more="… and more of each: `phinops firings` has all",
    ),
    "zh": Wording(
        marks={"info": "", "warning": "【警告】", "critical": "【严重】"},
        links={
            "log": "日志",
            "object": "对象",
            "config": "监控配置",
            "event": "事件",
            "approve": "批准",
            "deny": "拒绝",
            "approval": "审批",
        },
        many="{n} 条通知",
        more="…… 各条详情见 `phinops firings`",
    ),
}


def origin(note: Note) -> str:
    """Who says so: the rule, the tenant and the firing, as far as there are any."""
    return " · ".join(part for part in (note.rule, note.event.get("tenant"), note.firing_id) if part)


def cut(text: str, most: int) -> str:
    """The text, no longer than `most` bytes of UTF-8; a longer one ends with `CUT`."""
    whole = text.encode()
    if len(whole) <= most:
        return text
    return whole[: max(0, most - len(CUT.encode()))].decode(errors="ignore") + CUT


def fitted(make: Callable[[str], bytes], text: str, most: int) -> bytes:
    """The body that `make` gives for the text, which is cut until the body has no more than `most` bytes.

    Raises:
        ValueError: even without any text the body is larger.
    """
    room = most
    while len(body := make(cut(text, room))) > most:
        if room <= 0:
            raise ValueError(f"a body without a text has {len(body)} bytes, {most} are allowed")
        room -= max(1, len(body) - most)
    return body


def lines(note: Note, words: Wording) -> Iterator[str]:
    """The notice as lines of plain text."""
    yield words.headline(note)
    yield note.message
    if said := origin(note):
        yield said
    for name, url in note.links.items():
        yield f"{words.link(name)}: {url}"


def worst(severities: Sequence[str]) -> str:
    """The most severe of several; what is unknown counts as a warning."""
    return max(severities, key=lambda each: SEVERITIES.index(each) if each in SEVERITIES else 1)
