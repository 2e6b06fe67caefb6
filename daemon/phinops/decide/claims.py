"""What a condition claims: its alternatives, each a row of claims about values that must all be true at once.

Read from the checked syntax tree (`checked`). Only claims that are written out in full are understood: a field, or
any other expression, compared with values. Everything else is a claim about itself, true or false.
"""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from phinops.decide.checked import nodes_of

Relation = Literal["in", "not in", "<", "<=", ">", ">=", "starts", "ends", "contains"]
Value = tuple[str, Any]
"""A constant with its kind (null, bool, number or text), since Python holds True and 1 for the same."""

Row = tuple["Claim", ...]

NAMELESS = "#"
"""Begins the text of what cannot be written in short."""

MAX_ROWS = 64
"""Alternatives beyond which a condition is not looked into."""

TRUE: Value = ("bool", True)

_COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TEXTS: Mapping[str, Callable[[str, str], bool]] = {
    "starts": str.startswith,
    "ends": str.endswith,
    "contains": str.__contains__,
}
_OPPOSITE: Mapping[Relation, Relation] = {
    "in": "not in", "not in": "in", "<": ">=", "<=": ">", ">": "<=", ">=": "<",
}  # fmt: skip
_MIRRORED: Mapping[Relation, Relation] = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "in": "in", "not in": "not in"}
_OPERATORS: Mapping[str, Relation] = {
    "_==_": "in", "_!=_": "not in", "_<_": "<", "_<=_": "<=", "_>_": ">", "_>=_": ">=", "@in": "in",
}  # fmt: skip
_FUNCTIONS: Mapping[str, Relation] = {"startsWith": "starts", "endsWith": "ends", "contains": "contains"}
_CALLED = {relation: name for name, relation in _FUNCTIONS.items()}
_LAZY = frozenset({"_&&_", "_||_", "_?_:_"})


@dataclass(frozen=True, slots=True)
class Claim:
    """That `subject`, an expression as text, stands in `relation` to one of `values`, or to all for "not in".

    `constant` is the claim's own truth where it has no subject. `parts` are the parts of the event that must be there
    for it to be evaluated at all; `places` the offset of each of `values`, `offset` that of the claim.
    """

    subject: str
    relation: Relation
    values: tuple[Value, ...]
    offset: int
    constant: bool | None = None
    parts: frozenset[str] = frozenset()
    places: tuple[int, ...] = ()

    def admits(self, value: Value) -> bool:
        """Whether the claim is true where the subject has this value."""
        if self.relation in ("in", "not in"):
            return (value in self.values) is (self.relation == "in")
        kind, bound = self.values[0]
        if value[0] != kind:
            return False  # it could not even be compared
        compare = _COMPARED.get(self.relation) or _TEXTS[self.relation]
        return bool(compare(value[1], bound))

    def __str__(self) -> str:
        values = [json.dumps(value, ensure_ascii=False) for _, value in self.values]
        if self.constant is not None:
            return self.subject
        if self.values == (TRUE,):
            return f"{'' if self.relation == 'in' else '!'}{self.subject}"
        if self.relation in _CALLED:
            return f"{self.subject}.{_CALLED[self.relation]}({values[0]})"
        if len(values) == 1:
            sign = {"in": "==", "not in": "!="}.get(self.relation, self.relation)
            return f"{self.subject} {sign} {values[0]}"
        listed = f"{self.subject} in [{', '.join(values)}]"
        return listed if self.relation == "in" else f"!({listed})"


def rows_of(tree: Any) -> list[Row] | None:
    """The alternatives of which one must be true in all its claims; None where there are more than MAX_ROWS."""
    try:
        return _Rows(tree).of(tree.expr, positive=True)
    except _TooMany:
        return None


class _TooMany(Exception):
    """The condition has too many alternatives."""


class _Rows:
    def __init__(self, tree: Any) -> None:
        self._positions = tree.source_info.positions

    def of(self, node: Any, *, positive: bool) -> list[Row]:
        call = node.call_expr  # empty where the node is no call
        match call.function:
            case "!_":
                return self.of(call.args[0], positive=not positive)
            case "_&&_" | "_||_" as sign:
                sides = [self.of(each, positive=positive) for each in call.args]
                return self._all(sides) if (sign == "_&&_") is positive else self._any(sides)
            case "_?_:_":
                asked, then, otherwise = call.args
                yes = [self.of(asked, positive=True), self.of(then, positive=positive)]
                no = [self.of(asked, positive=False), self.of(otherwise, positive=positive)]
                return self._any([self._all(yes), self._all(no)])
            case _:
                return [(self._claim(node, positive),)]

    @staticmethod
    def _any(sides: Sequence[list[Row]]) -> list[Row]:
        rows = [row for side in sides for row in side]
        if len(rows) > MAX_ROWS:
            raise _TooMany
        return rows

    @staticmethod
    def _all(sides: Sequence[list[Row]]) -> list[Row]:
        rows: list[Row] = [()]
        for side in sides:
            if len(rows) * len(side) > MAX_ROWS:
                raise _TooMany
            rows = [(*row, *more) for row in rows for more in side]
        return rows

    def _claim(self, node: Any, positive: bool) -> Claim:
        claim = self._comparison(node) or self._itself(node)
        if positive:
            return claim
        if claim.constant is not None:
            return _constant(f"!{claim.subject}", not claim.constant, claim.offset)
        if claim.relation not in _OPPOSITE:  # `!x.startsWith(y)`: of the call as such, nothing but that it is false
            return self._itself(node, "not in")
        turned = _OPPOSITE[claim.relation]
        return Claim(claim.subject, turned, claim.values, claim.offset, None, claim.parts, claim.places)

    def _itself(self, node: Any, relation: Relation = "in") -> Claim:
        offset = self._begin(node)
        value = _value(node)
        if value in (TRUE, ("bool", False)):
            return _constant(json.dumps(value[1]), value == TRUE, offset)
        return Claim(text_of(node), relation, (TRUE,), offset, None, frozenset(_parts(node)), (offset,))

    def _begin(self, node: Any) -> int:
        """The offset of its first character, as far as the parser tells: an operator's own place is the operator."""
        return min(int(self._positions[each.id]) for each in nodes_of(node) if each.id in self._positions)

    def _comparison(self, node: Any) -> Claim | None:
        call = node.call_expr if node.WhichOneof("kind") == "call_expr" else None
        if call is None:
            return None
        if call.function in _FUNCTIONS and call.HasField("target") and len(call.args) == 1:
            return self._about(call.target, _FUNCTIONS[call.function], call.args[0], node)
        if call.function not in _OPERATORS:
            return None
        left, right = call.args
        relation = _OPERATORS[call.function]
        if call.function != "@in" and _value(left) is not None and _value(right) is None:
            left, right, relation = right, left, _MIRRORED[relation]
        return self._about(left, relation, right, node)

    def _about(self, subject: Any, relation: Relation, other: Any, whole: Any) -> Claim | None:
        given = list(other.list_expr.elements) if other.WhichOneof("kind") == "list_expr" else [other]
        values = [_value(each) for each in given]
        known = tuple(value for value in values if value is not None)
        if not known or len(known) < len(values):
            return None
        offset = self._begin(whole)
        claim = Claim(
            text_of(subject), relation, known, offset, None, frozenset(_parts(subject)),
            tuple(self._positions[each.id] for each in given),
        )  # fmt: skip
        own = _value(subject)
        return claim if own is None else _constant(str(claim), claim.admits(own), offset)


def _constant(text: str, truth: bool, offset: int) -> Claim:
    return Claim(text, "in", (), offset, constant=truth)


_KINDS = {
    "null_value": "null", "bool_value": "bool", "int64_value": "number", "uint64_value": "number",
    "double_value": "number", "string_value": "text",
}  # fmt: skip


def _value(node: Any) -> Value | None:
    """The constant that the node is, or None."""
    kind = node.const_expr.WhichOneof("kind") if node.WhichOneof("kind") == "const_expr" else None
    if kind not in _KINDS:
        return None
    return _KINDS[kind], None if kind == "null_value" else getattr(node.const_expr, kind)


def text_of(node: Any) -> str:
    """The expression as text: equal for equal expressions. What has no short text is told apart by its form."""
    match node.WhichOneof("kind"):
        case "ident_expr":
            return str(node.ident_expr.name)
        case "select_expr":
            path = f"{text_of(node.select_expr.operand)}.{node.select_expr.field}"
            return f"has({path})" if node.select_expr.test_only else path
        case "call_expr":
            return _call_text(node.call_expr)
        case "list_expr":
            return f"[{', '.join(map(text_of, node.list_expr.elements))}]"
        case "const_expr" if value := _value(node):
            return json.dumps(value[1], ensure_ascii=False)
        case _:
            copy = type(node)()
            copy.CopyFrom(node)
            _forget_ids(copy)
            return f"{NAMELESS}{hashlib.sha256(copy.SerializeToString(deterministic=True)).hexdigest()[:16]}"


def _call_text(call: Any) -> str:
    arguments = [text_of(each) for each in call.args]
    signs = call.function.strip("_@")
    if call.function.startswith("_") and call.function.endswith("_") and len(arguments) == 2:
        return f"({arguments[0]} {signs} {arguments[1]})"
    if call.function == "_[_]":
        return f"{arguments[0]}[{arguments[1]}]"
    target = f"{text_of(call.target)}." if call.HasField("target") else ""
    return f"{target}{signs}({', '.join(arguments)})"


def _forget_ids(message: Any) -> None:
    """Takes the numbers of nodes away, which differ between two writings of one expression."""
    for field, value in message.ListFields():
        if field.name == "id":
            message.ClearField("id")
        elif field.type == field.TYPE_MESSAGE:
            for each in value if field.is_repeated else (value,):
                _forget_ids(each)


def _parts(node: Any) -> Iterator[str]:
    """The fields of the event that the expression cannot do without; those that it may not come to are left out."""
    match node.WhichOneof("kind"):
        case "select_expr" if not node.select_expr.test_only:
            inner = node.select_expr.operand
            if inner.WhichOneof("kind") == "ident_expr" and inner.ident_expr.name == "event":
                yield node.select_expr.field
            yield from _parts(inner)
        case "call_expr" if node.call_expr.function not in _LAZY:
            for each in (node.call_expr.target, *node.call_expr.args):
                yield from _parts(each)
