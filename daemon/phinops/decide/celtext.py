"""CEL's error texts, said in the words of rules: where, what, and what would be right."""

from __future__ import annotations

import re
from collections.abc import Iterable

from phinops.decide.checked import Read
from phinops.decide.findings import did_you_mean, listed
from phinops.decide.inputs import unknown_input
from phinops.decide.scope import Flaw, Names
from phinops.decide.shape import MODELS, STEP_FIELDS, item_type
from phinops.event import ADDS, field_types, parts_of

_ENTRY = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*?)(?=\n \||\nERROR:| \[[A-Z_]+\]$|\Z)", re.DOTALL)
_FIELD = re.compile(r"undefined field '(.*?)' not found in struct '(?:\w+\.)?(\w+)'")
_NAME = re.compile(r"undeclared reference to '(.*?)'")
_OVERLOAD = re.compile(r"found no matching overload for '(.*?)' applied to '(.*)'", re.DOTALL)
_OPERAND = re.compile(r"expression of type '(.*?)' cannot be the operand of a select operation")

_FUNCTIONS = (
    "bizdate", "days_before", "has", "size", "matches", "contains", "startsWith", "endsWith", "exists", "exists_one",
    "all", "map", "filter", "int", "uint", "double", "string", "bool", "bytes", "duration", "timestamp", "type", "dyn",
    "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getHours", "getMilliseconds",
    "getMinutes", "getMonth", "getSeconds",
)  # fmt: skip
_CONSTANTS = ("true", "false", "null")
_ELSEWHERE = {"and": "&&", "or": "||", "not": "!", "is": "=="}


def flaws_of(error: str, source: str, names: Names) -> list[Flaw]:
    """What CEL's compiler said of the expression, without what only follows from something said before."""
    flaws: list[Flaw] = []
    for line, column, text in _ENTRY.findall(error):
        if "*error*" in text or "<<nil>>" in text:
            continue
        flaw = _flaw(_offset(source, int(line), int(column)), text, source, names)
        flaws.append(flaw)
        if flaw.code == "expression-syntax":
            break
    if not flaws:
        deep = "recursion" in error
        said = "is nested too deeply: 32 levels are allowed" if deep else f"is not an expression: {error}"
        flaws.append(Flaw("expression-syntax", 0, said))
    return flaws


def _offset(source: str, line: int, column: int) -> int:
    lines = source.split("\n")
    if not 1 <= line <= len(lines):
        return 0
    return sum(len(each) + 1 for each in lines[: line - 1]) + max(0, column - 1)


def _flaw(offset: int, text: str, source: str, names: Names) -> Flaw:
    if field := _FIELD.search(text):
        return Flaw(
            "expression-name", _field_offset(source, offset, field[1]), unknown_field(field[2], field[1], names)
        )
    if name := _NAME.search(text):
        return _unknown_name(name[1], offset, source, names)
    if overload := _OVERLOAD.search(text):
        return Flaw("expression-type", offset, _overload(overload[1], overload[2]))
    if operand := _OPERAND.search(text):
        return Flaw("expression-type", after_dot(source, offset), f"{_kind(operand[1])} has no fields")
    if text.startswith("Syntax error") or "recursion" in text:
        return Flaw("expression-syntax", min(offset, len(source)), _syntax(text, offset, source))
    return Flaw("expression-type", offset, text)


def after_dot(source: str, offset: int) -> int:
    """Where the name after the dot at `offset` begins."""
    found = re.compile(r"\s*\.\s*").match(source, offset)
    return found.end() if found else offset


def _field_offset(source: str, offset: int, field: str) -> int:
    # CEL points at the dot, but within has() at the parenthesis.
    found = re.compile(rf"\.\s*({re.escape(field)})\b").search(source, offset)
    return found.start(1) if found else offset


def unknown_field(owner: str, field: str, names: Names) -> str:
    """What to say of a field that the message of the event model, or `Step`, does not have."""
    label = "event" if owner == "Event" else f"a step's result ({listed(STEP_FIELDS)})" if owner == "Step" else ""
    known: Iterable[str] = STEP_FIELDS if owner == "Step" else names.event_fields()
    if owner not in ("Event", "Step"):
        label, known = _label(owner), field_types(MODELS[owner])
    near = did_you_mean(field, known)
    if not near and owner == "Event":
        near = _deeper(field, names)
    return f"«{field}» is not a field of {label}{near or f': it has {listed(known)}'}"


def _deeper(field: str, names: Names) -> str:
    """Where the field is, when it was only looked for one level too high."""
    types = field_types(MODELS["Event"])
    for part in ("project", *sorted(names.parts())):
        model = item_type(types[part])
        if model is not None and field in field_types(model):
            return f": did you mean «event.{part}.{field}»?"
    return ""


def _label(owner: str) -> str:
    for name, kind in field_types(MODELS["Event"]).items():
        model = item_type(kind)
        if model is not None and model.__name__ == owner:
            return f"event.{name}"
    return re.sub(r"(?<!^)([A-Z])", r" \1", owner).lower()


def unknown_part(read: Read, source: str, names: Names) -> Flaw:
    """An event of the types in `on` has no such part."""
    having = sorted(kind for kind, parts in ADDS.items() if read.field in parts)
    given = f"only {', '.join(having)} have it" if having else f"only {_family(read.field)} events have it"
    kinds = ", ".join(names.types)
    return Flaw("expression-name", after_dot(source, read.offset), f"{kinds} has no «{read.field}»: {given}")


def _family(part: str) -> str:
    return next(family for family in ("hook", "custom") if part in (parts_of(f"{family}.x") or ()))


def unknown_key(read: Read, source: str, owner: str, known: Iterable[str]) -> Flaw:
    """`steps` has no result of that id at this point, or `vars` no such name."""
    what = "step before this one has the id" if owner == "steps" else "variable is called"
    near = did_you_mean(read.field, known)
    message = f"no {what} «{read.field}»{near or (f': there is {listed(known)}' if known else '')}"
    return Flaw("expression-name", after_dot(source, read.offset), message)


def without_events() -> str:
    """What to say of `events` in a rule whose events each stand for themselves."""
    return "unknown name «events»: only conditions and texts of a rule whose «on» is over several events know it"


def without_inputs() -> str:
    """What to say of `inputs` outside of a blueprint."""
    return "a rule has no «inputs»: a blueprint has"


def taken_name(name: str) -> str:
    """What to say of a name of the language that is given to the items of a list."""
    return f"«{name}» is a name of the language: call the items of the list something else, such as «e»"


def _unknown_name(name: str, offset: int, source: str, names: Names) -> Flaw:
    called = source[offset : offset + 1] == "("
    if called:
        begin = offset - len(name) if source[:offset].endswith(name) else offset
        near = did_you_mean(name, _FUNCTIONS)
        return Flaw("expression-name", begin, f"there is no function «{name}» of these arguments{near}")
    root, _, rest = name.partition(".")
    if root == "inputs":
        return Flaw("expression-name", *_unknown_input(rest, offset, source, names))
    begin = max(0, source.rfind(root, 0, offset + len(root)))  # of a.b.c CEL points at the last dot
    for owner, known in (("event", names.event_fields()), ("vars", names.vars), ("steps", names.steps)):
        if root in known:
            return Flaw("expression-name", begin, f"unknown name «{root}»: did you mean «{owner}.{name}»?")
    near = did_you_mean(root, (*names.roots(), *_CONSTANTS))
    near = near or ": an expression speaks of event, steps, vars and now; text needs quotes"
    return Flaw("expression-name", begin, f"unknown name «{name}»{near}")


def _unknown_input(name: str, offset: int, source: str, names: Names) -> tuple[int, str]:
    """Where the name of the input begins, and what is wrong with it."""
    begin = max(0, source.rfind("inputs", 0, offset + len("inputs")))
    if not names.inputs:
        return begin, without_inputs()
    if not name:
        return begin, f"«inputs» is read by name: there is {listed(f'inputs.{each}' for each in names.inputs)}"
    found = re.compile(rf"\.\s*({re.escape(name.split('.')[0])})\b").search(source, begin)
    return found.start(1) if found else begin, unknown_input(name.split(".")[0], names.inputs)


def _kind(text: str) -> str:
    text = re.sub(r"wrapper\((\w+)\)", r"\1", text)
    return re.sub(r"\b(?:google\.protobuf|phinops)\.(\w+)", lambda found: found[1].lower(), text)


def _overload(function: str, kinds: str) -> str:
    plain = _kind(kinds)
    named = function.strip("_@").replace("_", " ").strip()
    cure = ""
    if {"int", "double"} <= set(re.findall(r"\w+", plain)):
        cure = ": write the number with a point (1.0), or convert with double(...)"
    elif "string" in plain and "timestamp" in plain:
        cure = ': write the time as timestamp("2026-01-31T00:00:00+08:00")'
    elif "string" in plain and "duration" in plain:
        cure = ': write the duration as duration("1h")'
    elif "string" in plain and "int" in plain:
        cure = ": text stands in quotes, numbers do not"
    return f"`{named}` cannot be applied to {plain}{cure}"


def _syntax(text: str, offset: int, source: str) -> str:
    word = re.compile(r"\s*(\w+)").match(source, offset)
    before = re.search(r"(\w+)\s*$", source[:offset])
    for found in (word, before):
        if found and found[1] in _ELSEWHERE:
            return f"«{found[1]}» is not an operator here: write «{_ELSEWHERE[found[1]]}»"
    rest = source[offset:]
    if rest.startswith("=") and not rest.startswith("=="):
        return "«=» is not an operator: write «==»"
    if rest[:1] in ("'", '"'):
        return "the text that begins here has no closing quote"
    if "max recursion" in text:
        return "is nested too deeply: 32 levels are allowed"
    if not rest.strip():
        return "the expression ends too early"
    return f"unexpected «{rest.split()[0]}»"
