"""The checked syntax tree of a CEL expression: read for `check`, rewritten so that nothing absent looks present.

A protobuf time that is not set reads as 1970, and a part that an event lacks reads as an empty one. Every read of
such a field is replaced by one that is an error unless the field is there, which CEL's own logic then carries:
`has(x) && x < now` is false without x, and `x < now` cannot be evaluated. The untyped fields `raw`, `body` and
`data` become variables of their own, so that only what an expression reads of them is ever converted.

The messages are those of cel/expr/checked.proto and syntax.proto (CEL specification), as far as they are needed;
what is not declared here passes through unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory

from phinops.decide.scope import PARTS
from phinops.decide.shape import ABSENT, PACKAGE, UNTYPED

_FIELD = descriptor_pb2.FieldDescriptorProto
_TIMESTAMP = 2  # cel.expr.Type.WellKnownType.TIMESTAMP
_BOOL = 1  # cel.expr.Type.PrimitiveType.BOOL

_MESSAGES: dict[str, tuple[tuple[int, str, str], ...]] = {
    "Expr": (
        (2, "id", "int64"), (3, "const_expr", "Constant"), (4, "ident_expr", "Ident"), (5, "select_expr", "Select"),
        (6, "call_expr", "Call"), (7, "list_expr", "CreateList"), (8, "struct_expr", "CreateStruct"),
        (9, "comprehension_expr", "Comprehension"),
    ),
    "Constant": (
        (1, "null_value", "int64"), (2, "bool_value", "bool"), (3, "int64_value", "int64"),
        (4, "uint64_value", "uint64"), (5, "double_value", "double"), (6, "string_value", "string"),
    ),
    "Ident": ((1, "name", "string"),),
    "Select": ((1, "operand", "Expr"), (2, "field", "string"), (3, "test_only", "bool")),
    "Call": ((1, "target", "Expr"), (2, "function", "string"), (3, "args", "*Expr")),
    "CreateList": ((1, "elements", "*Expr"),),
    "CreateStruct": ((2, "entries", "*Entry"),),
    "Entry": ((3, "map_key", "Expr"), (4, "value", "Expr")),
    "Comprehension": (
        (2, "iter_range", "Expr"), (4, "accu_init", "Expr"), (5, "loop_condition", "Expr"), (6, "loop_step", "Expr"),
        (7, "result", "Expr"),
    ),
    "Type": (
        (1, "dyn", "Empty"), (3, "primitive", "int64"), (5, "well_known", "int64"), (9, "message_type", "string"),
    ),
    "Empty": (),
    "Reference": ((1, "name", "string"), (3, "overload_id", "*string")),
    "SourceInfo": ((4, "positions", "{int32"),),
    "CheckedExpr": (
        (2, "reference_map", "{Reference"), (3, "type_map", "{Type"), (4, "expr", "Expr"),
        (5, "source_info", "SourceInfo"),
    ),
}  # fmt: skip

_SCALARS = {
    "int64": _FIELD.TYPE_INT64, "int32": _FIELD.TYPE_INT32, "string": _FIELD.TYPE_STRING, "bool": _FIELD.TYPE_BOOL,
    "uint64": _FIELD.TYPE_UINT64, "double": _FIELD.TYPE_DOUBLE,
}  # fmt: skip
_ONE_OF = {"Expr": ("id",), "Constant": (), "Type": ()}


def _declare() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="phinops/checked.proto", package="cel.expr", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        if name in _ONE_OF:
            message.oneof_decl.add(name="kind")
        for number, field_name, kind in fields:
            field = message.field.add(name=field_name, number=number, label=_FIELD.LABEL_OPTIONAL)
            if name in _ONE_OF and field_name not in _ONE_OF[name]:
                field.oneof_index = 0
            _set_type(message, field, kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("cel.expr.CheckedExpr"))


def _set_type(message: Any, field: Any, kind: str) -> None:
    if kind.startswith("{"):
        entry = message.nested_type.add(name="".join(map(str.title, field.name.split("_"))) + "Entry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, label=_FIELD.LABEL_OPTIONAL, type=_FIELD.TYPE_INT64)
        _set_type(entry, entry.field.add(name="value", number=2, label=_FIELD.LABEL_OPTIONAL), kind[1:])
        kind = f"*{message.name}.{entry.name}"
    if kind.startswith("*"):
        field.label, kind = _FIELD.LABEL_REPEATED, kind[1:]
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type, field.type_name = _FIELD.TYPE_MESSAGE, f".cel.expr.{kind}"


_CheckedExpr = _declare()


@dataclass(frozen=True, slots=True)
class Read:
    """A field that an expression reads, or with `tested` only asks for by `has()`.

    `owner` is the message's name ("Event", "Instance"), or the variable's ("steps", "vars") for a key of a map.
    """

    owner: str
    field: str
    offset: int
    tested: bool


def reads(serialized: bytes) -> list[Read]:
    """What a checked expression reads of the event's messages, of `steps` and of `vars`."""
    tree = tree_of(serialized)
    found = (_read(tree, node) for node in nodes_of(tree.expr))
    return [read for read in found if read is not None]


def mentions(serialized: bytes, name: str) -> list[int]:
    """Where a checked expression speaks of the variable."""
    tree = tree_of(serialized)
    idents = (node for node in nodes_of(tree.expr) if node.WhichOneof("kind") == "ident_expr")
    return sorted(tree.source_info.positions[node.id] for node in idents if node.ident_expr.name == name)


def paths(serialized: bytes, roots: frozenset[str]) -> list[str]:
    """The longest dotted names that a checked expression reads of the variables `roots`, each once, in order."""
    found: dict[str, None] = {}
    _gather_paths(tree_of(serialized).expr, roots, found)
    return list(found)


def _gather_paths(node: Any, roots: frozenset[str], found: dict[str, None]) -> None:
    kind = node.WhichOneof("kind")
    if kind in ("ident_expr", "select_expr"):
        text = _text(node)
        if text.partition(".")[0] in roots:
            found[text] = None
            return
    for child in _children(node):
        _gather_paths(child, roots, found)


@dataclass(frozen=True, slots=True)
class Constant:
    """A text that is written out as the last argument of a function."""

    function: str
    text: str
    offset: int


def constants(serialized: bytes, functions: frozenset[str]) -> list[Constant]:
    """The texts that a checked expression gives to any of `functions`."""
    tree = tree_of(serialized)
    calls = (node.call_expr for node in nodes_of(tree.expr) if node.WhichOneof("kind") == "call_expr")
    return [
        Constant(call.function, call.args[-1].const_expr.string_value, tree.source_info.positions[call.args[-1].id])
        for call in calls
        if call.function in functions and call.args and call.args[-1].const_expr.WhichOneof("kind") == "string_value"
    ]


def tree_of(serialized: bytes) -> Any:
    """The `CheckedExpr` of a serialized expression, as far as it is declared here."""
    return _CheckedExpr.FromString(any_pb2.Any.FromString(serialized).value)


def _read(tree: Any, node: Any) -> Read | None:
    offset = tree.source_info.positions[node.id]
    kind = node.WhichOneof("kind")
    if kind == "select_expr":
        select = node.select_expr
        owner = _owner(tree, select.operand)
        return Read(owner, select.field, offset, select.test_only) if owner else None
    if kind == "call_expr" and node.call_expr.function == "_[_]":
        container, key = node.call_expr.args
        owner = _owner(tree, container)
        if owner in ("steps", "vars") and key.const_expr.WhichOneof("kind") == "string_value":
            return Read(owner, key.const_expr.string_value, tree.source_info.positions[key.id], False)
    return None


def _owner(tree: Any, operand: Any) -> str:
    message = tree.type_map[operand.id].message_type if operand.id in tree.type_map else ""
    if message.startswith(PACKAGE + "."):
        return str(message.removeprefix(PACKAGE + "."))
    name = operand.ident_expr.name if operand.WhichOneof("kind") == "ident_expr" else ""
    return name if name in ("steps", "vars") else ""


def nodes_of(node: Any) -> Iterator[Any]:
    """The node and all below it."""
    yield node
    for child in _children(node):
        yield from nodes_of(child)


def _children(node: Any) -> Iterator[Any]:
    match node.WhichOneof("kind"):
        case "select_expr":
            yield node.select_expr.operand
        case "call_expr":
            # An empty target has no kind, so nothing is found in it.
            yield from (node.call_expr.target, *node.call_expr.args)
        case "list_expr":
            yield from node.list_expr.elements
        case "struct_expr":
            for entry in node.struct_expr.entries:
                yield from (entry.map_key, entry.value)
        case "comprehension_expr":
            inner = node.comprehension_expr
            yield from (inner.iter_range, inner.accu_init, inner.loop_condition, inner.loop_step, inner.result)


def guarded(serialized: bytes, absent: frozenset[str]) -> bytes:
    """The expression with every read of what may not be there made an error where it is not there.

    `absent` are the fields of `event` that events of its kind never have; of the list `events` each is asked for what
    it has, as they may be of several kinds. What stands inside of `has()` is left as it is: there, absence is the
    answer.
    """
    envelope = any_pb2.Any.FromString(serialized)
    tree = _CheckedExpr.FromString(envelope.value)
    _Guard(tree, absent).visit(tree.expr)
    envelope.value = tree.SerializeToString()
    return envelope.SerializeToString()


class _Guard:
    def __init__(self, tree: Any, absent: frozenset[str]) -> None:
        self._tree = tree
        self._absent = absent
        self._last_id: int = max(node.id for node in nodes_of(tree.expr))

    def visit(self, node: Any) -> None:
        select = node.select_expr if node.WhichOneof("kind") == "select_expr" else None
        owner = _owner(self._tree, select.operand) if select else ""
        if select is None or not owner or owner in ("steps", "vars"):
            for child in _children(node):
                self.visit(child)
        elif owner == "Event" and select.operand.ident_expr.name != "event":
            self._read_one_of_several(node, select)
        elif select.test_only:
            self._untie(node, select, owner)
        elif owner == "Event" and select.field in self._absent:
            self._fail(node, f"the event has no `{select.field}`")
        elif owner == "Event" and select.field in UNTYPED:
            self._variable(node, select.field)
        else:
            self._read(node, select)

    def _untie(self, node: Any, select: Any, owner: str) -> None:
        """`has(event.body)` asks for a message's field that is never filled: ask the variable instead."""
        if owner == "Event" and select.field in UNTYPED and select.field not in self._absent:
            self._call(node, "_!=_", "not_equals")
            self._variable(node.call_expr.args.add(id=self._new_id()), select.field)
            node.call_expr.args.add(id=self._new_id()).const_expr.null_value = 0

    def _read_one_of_several(self, node: Any, select: Any) -> None:
        """What only some of the events have is read of those that have it."""
        operand = type(node)()
        operand.CopyFrom(select.operand)
        self.visit(select.operand)
        if select.field in PARTS and not select.test_only:
            self._ask_first(node, operand, f"{_text(operand)}.{select.field}")

    def _read(self, node: Any, select: Any) -> None:
        is_time = self._tree.type_map[node.id].well_known == _TIMESTAMP
        operand = type(node)()
        operand.CopyFrom(select.operand)
        name = f"{_text(operand)}.{select.field}"
        self.visit(select.operand)
        if is_time:
            self._ask_first(node, operand, name)

    def _ask_first(self, node: Any, operand: Any, name: str) -> None:
        """Make the reading of a field one that is an error unless the field is there."""
        read = type(node)()
        read.CopyFrom(node)
        read.id = self._new_id()
        self._tree.type_map[read.id].CopyFrom(self._tree.type_map[node.id])
        self._call(node, "_?_:_", "conditional")
        asked = node.call_expr.args.add(id=self._new_id(primitive=_BOOL))
        asked.select_expr.operand.CopyFrom(operand)
        asked.select_expr.field, asked.select_expr.test_only = read.select_expr.field, True
        node.call_expr.args.append(read)
        self._fail(node.call_expr.args.add(id=self._new_id()), f"`{name}` is absent")

    def _fail(self, node: Any, message: str) -> None:
        self._call(node, ABSENT, ABSENT)
        node.call_expr.args.add(id=self._new_id()).const_expr.string_value = message

    def _variable(self, node: Any, name: str) -> None:
        node.ident_expr.name = "@" + name
        self._tree.reference_map[node.id].Clear()
        self._tree.reference_map[node.id].name = "@" + name

    def _call(self, node: Any, function: str, overload: str) -> None:
        node.call_expr.Clear()
        node.call_expr.function = function
        self._tree.reference_map[node.id].Clear()
        self._tree.reference_map[node.id].overload_id.append(overload)

    def _new_id(self, *, primitive: int = 0) -> int:
        self._last_id += 1
        kind = self._tree.type_map[self._last_id]
        if primitive:
            kind.primitive = primitive
        else:
            kind.dyn.SetInParent()
        return self._last_id


def _text(node: Any) -> str:
    """The operand as it was written, for messages."""
    match node.WhichOneof("kind"):
        case "ident_expr":
            return str(node.ident_expr.name)
        case "select_expr":
            return f"{_text(node.select_expr.operand)}.{node.select_expr.field}"
        case _:
            return "..."
