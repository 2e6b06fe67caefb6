"""The event model as a protobuf message, so that CEL checks conditions against it."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from cel_expr_python import cel
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    json_format,
    message_factory,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)

from phinops.decide.inputs import Inputs
from phinops.event import Event, field_types
from phinops.firing import StepResult

PACKAGE = "phinops"
ABSENT = "@absent"
UNTYPED = ("raw", "body", "data")
"""Fields of the event that hold anything."""

STEP_FIELDS = ("outcome", "reason")
"""What conditions may ask of an earlier step."""

_FIELD = descriptor_pb2.FieldDescriptorProto
# Numbers and bools are wrapped, so that a missing one is null and not 0 or false.
_WELL_KNOWN: Mapping[Any, str] = {
    int: ".google.protobuf.Int64Value",
    float: ".google.protobuf.DoubleValue",
    bool: ".google.protobuf.BoolValue",
    datetime: ".google.protobuf.Timestamp",
    Any: ".google.protobuf.Value",
}

_Fill = Callable[[Any, Any], None]


def inner_type(kind: Any) -> Any:
    """The type without `| None`."""
    options = typing.get_args(kind) if isinstance(kind, types.UnionType) else ()
    return next((option for option in options if option is not types.NoneType), kind)


def item_type(kind: Any) -> Any:
    """The dataclass of a part, or of the items of a tuple of them; None for anything else."""
    inner = inner_type(kind)
    if typing.get_origin(inner) is tuple:
        inner = typing.get_args(inner)[0]
    return inner if dataclasses.is_dataclass(inner) else None


def _models(model: type) -> dict[str, type]:
    found = {model.__name__: model}
    for kind in field_types(model).values():
        part = item_type(kind)
        if part is not None:
            found |= _models(part)
    return found


MODELS: Mapping[str, type] = _models(Event)
"""The classes of the event model by the name of their message."""

OPTIONAL_TIMES = frozenset(
    name
    for model in MODELS.values()
    for name, kind in field_types(model).items()
    if inner_type(kind) is datetime and kind is not datetime
)
"""The names of fields that hold a time or nothing."""


def _declare() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for known in (struct_pb2, timestamp_pb2, wrappers_pb2):
        pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(
        name="phinops/event.proto",
        package=PACKAGE,
        syntax="proto3",
        dependency=[known.DESCRIPTOR.name for known in (struct_pb2, timestamp_pb2, wrappers_pb2)],
    )
    for name, model in MODELS.items():
        message = file.message_type.add(name=name)
        for number, (field_name, kind) in enumerate(field_types(model).items(), 1):
            _declare_field(message, message.field.add(name=field_name, number=number, label=1), inner_type(kind))
    step = file.message_type.add(name="Step")
    for number, field_name in enumerate(STEP_FIELDS, 1):
        step.field.add(name=field_name, number=number, label=_FIELD.LABEL_OPTIONAL, type=_FIELD.TYPE_STRING)
    pool.Add(file)
    return pool


def _declare_field(message: Any, field: Any, kind: Any) -> None:
    origin = typing.get_origin(kind)
    if origin is tuple:
        field.label = _FIELD.LABEL_REPEATED
        kind = typing.get_args(kind)[0]
    if kind is str:
        field.type = _FIELD.TYPE_STRING
        return
    field.type = _FIELD.TYPE_MESSAGE
    if kind in _WELL_KNOWN:
        field.type_name = _WELL_KNOWN[kind]
    elif dataclasses.is_dataclass(kind):
        field.type_name = f".{PACKAGE}.{typing.cast('type', kind).__name__}"
    else:
        _declare_map(message, field)


def _declare_map(message: Any, field: Any) -> None:
    entry = message.nested_type.add(name=field.name.title() + "Entry")
    entry.options.map_entry = True
    for number, name in enumerate(("key", "value"), 1):
        entry.field.add(name=name, number=number, label=_FIELD.LABEL_OPTIONAL, type=_FIELD.TYPE_STRING)
    field.label = _FIELD.LABEL_REPEATED
    field.type_name = f".{PACKAGE}.{message.name}.{entry.name}"


_POOL = _declare()
_EVENT = message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{PACKAGE}.Event"))
_STEP = message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{PACKAGE}.Step"))


InputTypes = tuple[tuple[str, str], ...]
"""The inputs of a blueprint by name, each with a key of `_INPUT_TYPES`."""

_INPUT_TYPES: Mapping[str, Any] = {
    "str": cel.Type.STRING,
    "int": cel.Type.INT,
    "float": cel.Type.DOUBLE,
    "bool": cel.Type.BOOL,
    "timedelta": cel.Type.DURATION,
    "list": cel.Type.List(cel.Type.STRING),
}


def input_types(inputs: Inputs) -> InputTypes:
    """The types of the values, by which an environment is declared."""
    return tuple(sorted((name, type(value).__name__) for name, value in inputs.items()))


def input_variables(inputs: Inputs) -> dict[str, Any]:
    """The inputs as variables: a name with a point in it is found before a field is looked for."""
    return {f"inputs.{name}": value for name, value in inputs.items()}


def environment(functions: list[Any], inputs: InputTypes = ()) -> Any:
    """CEL's environment in which the names of rules are declared, with `functions` beside CEL's own."""
    variables = {
        "event": cel.Type(f"{PACKAGE}.Event"),
        "events": cel.Type.List(cel.Type(f"{PACKAGE}.Event")),
        "steps": cel.Type.Map(cel.Type.STRING, cel.Type(f"{PACKAGE}.Step")),
        "vars": cel.Type.DYN,
        "now": cel.Type.TIMESTAMP,
        **{f"inputs.{name}": _INPUT_TYPES.get(kind, cel.Type.DYN) for name, kind in inputs},
        **{f"@{name}": cel.Type.DYN for name in UNTYPED},
    }
    return cel.NewEnv(descriptor_pool=_POOL, variables=variables, functions=functions)


def _set_scalar(name: str) -> _Fill:
    return lambda message, value: setattr(message, name, value)


def _set_wrapped(name: str) -> _Fill:
    def fill(message: Any, value: Any) -> None:
        getattr(message, name).value = value

    return fill


def _set_time(name: str) -> _Fill:
    def fill(message: Any, value: datetime) -> None:
        getattr(message, name).FromDatetime(value)

    return fill


def _set_map(name: str) -> _Fill:
    def fill(message: Any, value: Mapping[str, str]) -> None:
        getattr(message, name).update(value)

    return fill


def _set_part(name: str, model: type) -> _Fill:
    fillers = _fillers(model)

    def fill(message: Any, value: Any) -> None:
        part = getattr(message, name)
        part.SetInParent()
        _fill(part, fillers, value)

    return fill


def _add_parts(name: str, model: type) -> _Fill:
    fillers = _fillers(model)

    def fill(message: Any, values: Any) -> None:
        parts = getattr(message, name)
        for value in values:
            _fill(parts.add(), fillers, value)

    return fill


def _filler(name: str, kind: Any) -> _Fill:
    part = item_type(kind)
    if part is not None:
        return _add_parts(name, part) if typing.get_origin(inner_type(kind)) is tuple else _set_part(name, part)
    if kind is str:
        return _set_scalar(name)
    inner = inner_type(kind)
    if inner is datetime:
        return _set_time(name)
    return _set_wrapped(name) if inner in _WELL_KNOWN else _set_map(name)


def _fillers(model: type) -> tuple[tuple[str, _Fill], ...]:
    return tuple((name, _filler(name, kind)) for name, kind in field_types(model).items() if kind is not Any)


def _fill(message: Any, fillers: tuple[tuple[str, _Fill], ...], value: Any) -> None:
    for name, fill in fillers:
        inner = getattr(value, name)
        if inner is not None and inner != "":
            fill(message, inner)


_EVENT_FILLERS = _fillers(Event)


def event_message(event: Event) -> Any:
    """The event as CEL reads it, without its untyped fields."""
    message = _EVENT()
    _fill(message, _EVENT_FILLERS, event)
    return message


def whole_message(event: Event) -> Any:
    """The event as CEL reads it in a list of several, with its untyped fields, whose numbers are doubles there."""
    message = event_message(event)
    for name in UNTYPED:
        value = getattr(event, name)
        if value is not None:
            json_format.ParseDict(value, getattr(message, name))
    return message


def step_messages(steps: Mapping[str, StepResult]) -> dict[str, Any]:
    """The results of steps as CEL reads them, by step id."""
    return {name: _STEP(outcome=result.outcome, reason=result.reason) for name, result in steps.items()}
