"""Where in a TOML document each key and value stands; `tomllib` does not say.

Reads only documents that `tomllib` has accepted, so it need not know what is wrong, only where things are. A
path is the keys and list indexes that lead to a value: `("tenants", 0, "quota", "share")`. Dates, numbers and
other bare values are passed over unread; a quoted key with an escape in it keeps the escape.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping

Path = tuple[str | int, ...]

_SPACE = " \t"
_BLANK = " \t\r\n"


class Places:
    """Line and column, both from 1, of what a TOML document holds."""

    def __init__(self, text: str) -> None:
        self._lines = [0, *(offset + 1 for offset, char in enumerate(text) if char == "\n")]
        scan = _Scan(text)
        scan.document()
        self._keys: Mapping[Path, int] = scan.keys
        self._values: Mapping[Path, int] = scan.values

    def key(self, path: Path) -> tuple[int, int]:
        """Where the key (or the table's header) stands; where it is absent, the nearest table around it."""
        return self._nearest(self._keys, path)

    def value(self, path: Path) -> tuple[int, int]:
        """Where the value begins; for a table with a header, its header."""
        return self._nearest({**self._keys, **self._values}, path)

    def _nearest(self, offsets: Mapping[Path, int], path: Path) -> tuple[int, int]:
        while path and path not in offsets:
            path = path[:-1]
        offset = offsets.get(path, 0)
        line = bisect_right(self._lines, offset)
        return line, offset - self._lines[line - 1] + 1


class _Scan:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._lengths: dict[Path, int] = {}
        self.keys: dict[Path, int] = {}
        self.values: dict[Path, int] = {}

    def document(self) -> None:
        table: Path = ()
        while self._skip_blank():
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> Path:
        start = self._at
        is_list = self._text.startswith("[[", start)
        self._at += 2 if is_list else 1
        parts = self._dotted()
        self._at += 2 if is_list else 1
        path: Path = ()
        for depth, (name, _) in enumerate(parts):
            path = (*path, name)
            last = depth == len(parts) - 1
            if last and is_list:
                self._lengths[path] = self._lengths.get(path, 0) + 1
            if path in self._lengths:  # a header speaks of the list's newest element
                self.keys.setdefault(path, start)
                path = (*path, self._lengths[path] - 1)
            self.keys.setdefault(path, start)
        return path

    def _pair(self, table: Path) -> None:
        path = table
        for name, offset in self._dotted():
            path = (*path, name)
            self.keys.setdefault(path, offset)
        self._at += 1  # the equals sign
        self._value(path)

    def _dotted(self) -> list[tuple[str, int]]:
        parts = []
        while True:
            self._skip(_SPACE)
            start = self._at
            parts.append((self._key_part(), start))
            self._skip(_SPACE)
            if self._text[self._at] != ".":
                return parts
            self._at += 1

    def _key_part(self) -> str:
        start = self._at
        if self._text[start] in "\"'":
            self._string()
            return self._text[start + 1 : self._at - 1]
        while self._text[self._at] not in " \t.=]":
            self._at += 1
        return self._text[start : self._at]

    def _value(self, path: Path) -> None:
        self._skip(_SPACE)
        self.values[path] = self._at
        char = self._text[self._at]
        if char == "{":
            self._inside(path, "}")
        elif char == "[":
            self._inside(path, "]")
        elif char in "\"'":
            self._string()
        else:
            while self._at < len(self._text) and self._text[self._at] not in ",]}#\r\n":
                self._at += 1

    def _inside(self, path: Path, close: str) -> None:
        self._at += 1
        index = 0
        while self._skip_blank() and self._text[self._at] != close:
            if self._text[self._at] == ",":
                self._at += 1
            elif close == "}":
                self._pair(path)
            else:
                self._value((*path, index))
                index += 1
        self._at += 1

    def _string(self) -> None:
        quote = self._text[self._at]
        fence = quote * 3 if self._text.startswith(quote * 3, self._at) else quote
        self._at += len(fence)
        while not self._text.startswith(fence, self._at):
            self._at += 2 if quote == '"' and self._text[self._at] == "\\" else 1
        self._at += len(fence)
        while len(fence) == 3 and self._text.startswith(quote, self._at):
            self._at += 1  # up to two quotes may stand right before the closing fence

    def _skip_blank(self) -> bool:
        """Passes blanks and comments; false at the end of the document."""
        self._skip(_BLANK)
        while self._at < len(self._text) and self._text[self._at] == "#":
            end = self._text.find("\n", self._at)
            self._at = len(self._text) if end < 0 else end
            self._skip(_BLANK)
        return self._at < len(self._text)

    def _skip(self, chars: str) -> None:
        while self._at < len(self._text) and self._text[self._at] in chars:
            self._at += 1
