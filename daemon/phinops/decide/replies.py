"""What a probe asks of a reply: CEL over `reply`, and over `sent`, the parameters of the write that it is about."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cel_expr_python import cel

from phinops.decide.celtext import flaws_of
from phinops.decide.scope import Flaw, Names

_NOBODY = Names(types=())
_WORD = re.compile(r"\w+")
_STATUS = re.compile(r"^[A-Z_]+: ")


class Replies:
    """Compiles and evaluates such conditions; compiled ones are kept."""

    def __init__(self) -> None:
        self._env = cel.NewEnv(variables={"reply": cel.Type.DYN, "sent": cel.Type.DYN})
        self._compiled: dict[str, Any] = {}

    def check(self, source: str) -> list[Flaw]:
        """Every mistake in the condition."""
        try:
            kind = self._compile(source).return_type().name()
        except (RuntimeError, TypeError) as error:
            return [_of_replies(flaw, source) for flaw in flaws_of(str(error), source, _NOBODY)]
        if kind in ("BOOL", "DYN"):
            return []
        return [Flaw("expression-type", 0, f"is {kind.lower()}, and a condition must be true or false")]

    def holds(self, source: str, reply: Mapping[str, Any], sent: Mapping[str, Any]) -> tuple[bool | None, str]:
        """Whether it is so, or None where that cannot be told of this reply, and why not."""
        try:
            activation = self._env.Activation({"reply": dict(reply), "sent": dict(sent)})
            result = self._compile(source).eval(activation)
        except (RuntimeError, TypeError) as error:
            return None, f"the probe cannot be evaluated: {error}"
        if result.type() == cel.Type.BOOL:
            return bool(result.value()), ""
        if result.type() == cel.Type.ERROR:
            why = _STATUS.sub("", str(result.value())).replace("Key not found in map :", "there is no key")
            return None, f"the probe cannot be evaluated: {why}"
        return None, "the probe cannot be evaluated: it is neither true nor false"

    def _compile(self, source: str) -> Any:
        if source not in self._compiled:
            self._compiled[source] = self._env.compile(source)
        return self._compiled[source]


PROBES = Replies()
"""Of the whole process, for those who act: a condition is compiled once and says the same of every tenant."""


def _of_replies(flaw: Flaw, source: str) -> Flaw:
    """The flaw in the words of a probe, which knows two names."""
    if flaw.code != "expression-name":
        return flaw
    word = _WORD.match(source, flaw.offset)
    name = f"«{word[0]}»" if word else "it"
    return Flaw(flaw.code, flaw.offset, f"there is no {name} here: a probe speaks of `reply` and of `sent`")
