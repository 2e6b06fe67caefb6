"""YAML with the place of everything in it, so that a mistake in a rule is told with its line and column.

Plain values follow YAML 1.2's core schema: `on`, `off`, `yes` and `no` are text, and so are dates. Integers too long
for one are text as well, so that no digit of an id is lost. What a file may hold is bounded, as it may come from
anywhere: size, depth, and the number of nodes with aliases counted in full.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml

from phinops.decide.findings import Findings
from phinops.decide.quotes import Repair, explain, repair, tag_reason

Path: TypeAlias = Sequence[str | int]

MAX_BYTES = 4 * 1024 * 1024
MAX_NODES = 200_000
MAX_DEPTH = 40
MAX_REPAIRS = 25

# The parser written in C is ten times as fast; PyYAML is built without it where libyaml is missing.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_WORDS: Mapping[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_INTEGER = re.compile(r"[-+]?[0-9]{1,19}")
_RADIX = re.compile(r"0o[0-7]{1,21}|0x[0-9a-fA-F]{1,16}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_OTHER_BREAKS = re.compile("[\x85\u2028\u2029]")
_STANDARD = "tag:yaml.org,2002:"


@dataclass(slots=True, eq=False)
class Node:
    """A value with its place: `line` and `column` from 1, `start` and `end` as offsets into the text.

    `value` is a scalar's value, a list of nodes, or a dict of nodes by key, whose own nodes are in `keys`.
    """

    value: Any
    line: int
    column: int
    start: int
    end: int
    style: str = ""
    keys: dict[str, Node] = field(default_factory=dict)
    size: int = 1

    @property
    def place(self) -> tuple[int, int]:
        """Line and column where it begins."""
        return self.line, self.column

    def plain(self) -> Any:
        """The value without places."""
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value

    def child(self, part: str | int) -> Node | None:
        """The item or the value of the key, or None."""
        if isinstance(self.value, dict):
            return self.value.get(part)
        if isinstance(self.value, list) and isinstance(part, int) and 0 <= part < len(self.value):
            item: Node = self.value[part]
            return item
        return None

    def deepest(self, path: Path) -> tuple[Node, Path]:
        """The node that the path leads to, as far as the file goes, and the rest of the path."""
        node = self
        for index, part in enumerate(path):
            inner = node.child(part)
            if inner is None:
                return node, path[index:]
            node = inner
        return node, ()

    def place_of_key(self, path: Path) -> tuple[int, int]:
        """Where the key that the path ends in stands; where its mapping begins when it is not there."""
        parent, rest = self.deepest(path[:-1])
        key = parent.keys.get(str(path[-1])) if path and not rest else None
        return key.place if key else parent.place


@dataclass(frozen=True, slots=True)
class Document:
    """A file that was read. `root` is None when it is empty; `readable` is false when it is not YAML."""

    text: str
    root: Node | None
    readable: bool = True
    repairs: tuple[Repair, ...] = ()


def read(data: bytes, findings: Findings) -> Document:
    """The file's content, with every mistake in it reported. Never raises, whatever the bytes are.

    A value that only lacks quotes is reported and then read as if it had them, so that all else is found as well.
    """
    if len(data) > MAX_BYTES:
        findings.error("file-unreadable", (1, 1), f"is larger than {MAX_BYTES // 1024 // 1024} MiB")
        return Document("", None, readable=False)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        findings.error("file-unreadable", (line, 1), f"is not UTF-8 text: byte {error.start} is {data[error.start]:#x}")
        return Document("", None, readable=False)
    return _read_text(_with_plain_lines(text), findings)


def _with_plain_lines(text: str) -> str:
    """The text with a line feed at the end of each line, and no other character that the parser breaks lines at.

    The parser follows YAML 1.1, for which U+0085, U+2028 and U+2029 end lines; for YAML 1.2 and editors they do not.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.isascii() else _OTHER_BREAKS.sub(" ", text)


def _read_text(text: str, findings: Findings) -> Document:
    repairs: list[Repair] = []
    while True:
        attempt = Findings(findings.file)
        try:
            root = _Composer(text, attempt).document()
        except yaml.YAMLError as error:
            mistake = explain(error, text)
            findings.error(mistake.code, mistake.place, mistake.message)
            again = len(repairs) == MAX_REPAIRS or any(done.line == mistake.place[0] for done in repairs)
            mended = None if again else repair(text, mistake)
            if mended is None:
                return Document(text, None, readable=False)
            repairs.append(mended)
            text = mended.text
        else:
            findings.problems += attempt.problems
            return Document(text, root, not _hopeless(attempt), tuple(repairs))


def _hopeless(findings: Findings) -> bool:
    return any(problem.code == "yaml-too-big" for problem in findings.problems)


class _TooBig(Exception):
    """The rest of the file is not worth reading."""


class _Composer:
    """Makes nodes of the parser's events without recursion, so that no nesting can exhaust the stack."""

    def __init__(self, text: str, findings: Findings) -> None:
        self._text = text
        self._findings = findings
        self._anchors: dict[str, Node] = {}
        self._nodes = 0

    def document(self) -> Node | None:
        """The first document's node. Raises YAMLError where the text is not YAML."""
        try:
            return self._document()
        except _TooBig:
            return None

    def _document(self) -> Node | None:
        root: Node | None = None
        open_nodes: list[_Open] = []
        for event in _events(self._text):
            if isinstance(event, yaml.DocumentStartEvent) and root is not None:
                self._findings.error("file-shape", _place(event), "a second YAML document: one file holds one document")
                return root
            done = self._step(event, open_nodes)
            if done is not None and not open_nodes:
                root = done
        return root

    def _step(self, event: Any, open_nodes: list[_Open]) -> Node | None:
        """Takes one event; the node that it completes, put into the collection it belongs to."""
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event)
        elif isinstance(event, yaml.AliasEvent):
            node = self._alias(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._open(event, open_nodes)
            return None
        elif isinstance(event, yaml.CollectionEndEvent):
            node = self._close(event, open_nodes.pop())
        else:
            return None
        if open_nodes:
            self._put(node, open_nodes[-1])
        return node

    def _open(self, event: Any, open_nodes: list[_Open]) -> None:
        if len(open_nodes) >= MAX_DEPTH:
            self._too_big(event, f"nested deeper than {MAX_DEPTH} levels")
        mark = event.start_mark
        value: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
        node = Node(value, mark.line + 1, mark.column + 1, mark.index, mark.index)
        if event.tag not in (None, "!", _STANDARD + "map", _STANDARD + "seq"):
            self._findings.error("yaml-quotes", node.place, tag_reason(event.tag))
        open_nodes.append(_Open(node, event.anchor, bool(event.flow_style)))
        self._count(1, event)

    def _close(self, event: Any, collection: _Open) -> Node:
        node = collection.node
        node.end = event.end_mark.index
        if collection.keyed:
            # `{{ x }}`: a mapping whose key is a mapping. What the writer meant is the text itself.
            source = self._text[node.start : node.end]
            self._findings.error(
                "yaml-quotes", node.place, f"`{_short(source)}` is a YAML mapping here: put it in quotes"
            )
            node.value, node.keys, node.style = source, {}, "!"
        return self._finished(node, collection.anchor)

    def _finished(self, node: Node, anchor: str | None) -> Node:
        if anchor:
            self._anchors[anchor] = node
        return node

    def _put(self, node: Node, collection: _Open) -> None:
        parent = collection.node
        parent.size += node.size
        if isinstance(parent.value, list):
            parent.value.append(node)
        elif collection.key is not None:
            parent.value[str(collection.key.value)] = node
            collection.key = None
        elif isinstance(node.value, dict | list):
            collection.keyed = True
            collection.key = Node("", *node.place, node.start, node.end)
        else:
            self._take_key(node, collection)

    def _take_key(self, node: Node, collection: _Open) -> None:
        # A key is its source text: `404: x`, `on: x` and `true: x` are all keyed by what was written.
        key = node.value if isinstance(node.value, str) else self._text[node.start : node.end].strip()
        parent = collection.node
        if key in parent.keys:
            first = parent.keys[key]
            self._findings.error("yaml-duplicate-key", node.place, f"«{key}» is here twice, first in line {first.line}")
        parent.keys.setdefault(key, node)
        collection.key = Node(key, *node.place, node.start, node.end)

    def _scalar(self, event: Any) -> Node:
        self._count(1, event)
        start, end = event.start_mark, event.end_mark
        node = Node(None, start.line + 1, start.column + 1, start.index, end.index, event.style or "")
        node.value = self._value(event, node)
        return self._finished(node, event.anchor)

    def _value(self, event: Any, node: Node) -> Any:
        if event.tag in (None, "") and event.implicit[0]:
            return resolve(event.value)
        if event.tag in (None, "!", _STANDARD + "str"):
            return event.value
        if event.tag.startswith(_STANDARD):
            return resolve(event.value)
        source = self._text[node.start : node.end]
        self._findings.error("yaml-quotes", node.place, tag_reason(source))
        return source

    def _alias(self, event: Any) -> Node:
        found = self._anchors.get(event.anchor)
        if found is None:
            place = _place(event)
            message = f"`*{event.anchor}` is a YAML alias of nothing: put it in quotes if it is text"
            self._findings.error("yaml-alias", place, message)
            return Node(f"*{event.anchor}", *place, event.start_mark.index, event.end_mark.index, "!")
        self._count(found.size, event)
        return found

    def _count(self, nodes: int, event: Any) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            self._too_big(event, f"more than {MAX_NODES} values, aliases counted in full")

    def _too_big(self, event: Any, message: str) -> None:
        self._findings.error("yaml-too-big", _place(event), message)
        raise _TooBig


@dataclass(slots=True)
class _Open:
    """A collection whose end has not come yet; `key` waits for its value, `keyed` had a collection as a key."""

    node: Node
    anchor: str | None
    flow: bool
    key: Node | None = None
    keyed: bool = False


def _events(text: str) -> Iterator[Any]:
    loader = _LOADER(text)
    try:
        while loader.check_event():
            yield loader.get_event()
    finally:
        loader.dispose()


def _place(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else line[:57] + "..."


def resolve(text: str) -> str | int | float | bool | None:
    """The value of a plain scalar by YAML 1.2's core schema; what JSON cannot hold stays text."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "-+.0123456789":
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _RADIX.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text) and not text.lstrip("-+").isdigit():
        number = float(text)
        return number if math.isfinite(number) else text
    return text
