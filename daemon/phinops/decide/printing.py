"""Rules as the text of a rule file, in one canonical form: what was understood, whatever it was written like.

What is read from the text is the same rule again, with the same hash: defaults are left out, and whatever was filled
in for a rule stands in it. Every field of `Rule` and `RuleStep` has its place here, or a reason why it is not printed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any

from phinops.decide.calendar import Calendar
from phinops.decide.document import resolve
from phinops.decide.inputs import written
from phinops.decide.model import IDENTIFIER
from phinops.decide.pattern import Pattern
from phinops.decide.rule import Limits, Rule, RuleStep, StepKind
from phinops.durations import exact_duration

NOT_PRINTED: Mapping[str, str] = {
    "writes": "follows from the steps",
    "file": "where the rule stood",
    "line": "where the rule stood",
    "column": "where the rule stood",
    "hash": "follows from all else",
    "cron": "is part of `on`",
    "types": "is `on`",
    "lasting": "is part of `on`",
    "pattern": "is part of `on`",
    "active": "is `active`, and stands beside the rules where it has a name",
    "inputs": "make a blueprint of the rule",
    "vars": "stands beside the rules",
}
"""Fields of a rule that have no key of their own, with the reason."""

_WORD = re.compile(r"[^\W\d][\w./-]*|(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+", re.ASCII)
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}
_LONGEST_KEY = 500
"""YAML wants a key that stands before its colon within 1024 characters, escapes among them."""


def print_rules(rules: Iterable[Rule], kinds: Mapping[str, StepKind]) -> str:
    """The rules, which must be able to stand `together`, as a file; `kinds` are those of their steps.

    What a rule got from a blueprint's inputs stays one: it is printed as a blueprint of its own, and its use.
    """
    listed = list(rules)
    document: dict[str, Any] = {"vars": listed[0].vars} if listed and listed[0].vars else {}
    named = {name: _calendar(each) for rule in listed for name, each in _names(rule).items()}
    document |= {"calendars": named} if named else {}
    written = {rule.id: _rule(rule, kinds) for rule in listed}
    blueprints = [_blueprint(rule, written[rule.id]) for rule in listed if rule.inputs]
    document |= {"blueprints": blueprints} if blueprints else {}
    document["rules"] = [_use(rule) if rule.inputs else written[rule.id] for rule in listed]
    return "".join(f"{line}\n" for line in _lines(document))


def together(rules: Iterable[Rule]) -> list[list[Rule]]:
    """The rules in order, parted where one file cannot hold them: what is beside the rules is the file's."""
    groups: list[list[Rule]] = []
    for rule in rules:
        last = groups[-1] if groups else []
        beside = {name: each for other in last for name, each in _names(other).items()}
        fits = (
            last
            and last[0].vars == rule.vars
            and all(beside.get(name, each) == each for name, each in _names(rule).items())
        )
        groups = [*groups[:-1], [*last, rule]] if fits else [*groups, [rule]]
    return groups


def _names(rule: Rule) -> Mapping[str, Calendar]:
    return {calendar.name: calendar for calendar in rule.active if calendar.name}


def _calendar(calendar: Calendar) -> dict[str, Any]:
    return {"hours": [str(each) for each in calendar.hours], "days": list(calendar.days), "zone": calendar.zone}


def _blueprint(rule: Rule, written: dict[str, Any]) -> dict[str, Any]:
    inputs = {name: {"type": _input_type(value)} for name, value in rule.inputs.items()}
    own = {key: value for key, value in written.items() if key not in ("id", "description")}
    return {"id": rule.id, "inputs": inputs, **own}


def _use(rule: Rule) -> dict[str, Any]:
    described = {"description": rule.description} if rule.description else {}
    given = {name: written(value) for name, value in rule.inputs.items()}
    return {"id": rule.id, **described, "use": rule.id, "with": given}


def _input_type(value: object) -> str:
    return _INPUT_TYPES[type(value)]


_INPUT_TYPES: Mapping[type, str] = {
    str: "string", int: "int", float: "float", bool: "bool", timedelta: "duration", list: "list",
}  # fmt: skip


def _rule(rule: Rule, kinds: Mapping[str, StepKind]) -> dict[str, Any]:
    found: dict[str, Any] = {"id": rule.id, "description": rule.description, "on": written_on(rule)}
    for name, (key, write) in RULE_FIELDS.items():
        found[key] = write(getattr(rule, name))
    if rule.concurrency == "queued":
        del found["concurrency"]
    active = [calendar.name or _calendar(calendar) for calendar in rule.active]
    found["active"] = active[0] if len(active) == 1 else active
    found = {key: value for key, value in found.items() if value not in (None, "", {}, [])}
    return found | {"do": [_step(step, kinds[step.kind]) for step in rule.steps]}


def written_on(rule: Rule) -> Any:
    """What stands behind `on`: a type, a list of them, or a mapping."""
    if rule.cron:
        return {"schedule": rule.cron}
    if rule.pattern:
        return _pattern(rule.pattern)
    if rule.lasting:
        state = {"state": rule.lasting.state} if rule.lasting.state else {}
        return {"event": rule.types[0], **state, "after": exact_duration(rule.lasting.after)}
    return rule.types[0] if len(rule.types) == 1 else list(rule.types)


def _pattern(pattern: Pattern) -> dict[str, Any]:
    first, within = pattern.types[0], {"within": exact_duration(pattern.within)}
    if pattern.kind == "all":
        return {"all": list(pattern.types), **within}
    more = {"count": pattern.count} if pattern.kind == "count" else {"absent": pattern.awaited}
    return {"event": first, **more, **within}


def _same(value: Any) -> Any:
    return value


def _span(value: timedelta | None) -> str | None:
    return None if value is None else exact_duration(value)


def _limits(limits: Limits) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("firings", "targets"):
        window = getattr(limits, name)
        if window:
            found[name] = {"max": window.max, "per": exact_duration(window.per)}
    if limits.downstream is not None:
        found["downstream"] = {"max": limits.downstream}
    return found


RULE_FIELDS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "condition": ("if", _same),
    "hold": ("for", _span),
    "mode": ("mode", _same),
    "key": ("key", _same),
    "cooldown": ("cooldown", _span),
    "concurrency": ("concurrency", _same),
    "limits": ("limits", _limits),
    "max_age": ("max_age", _span),
    "within": ("within", _span),
}
"""Fields of a rule by name: the key that each is written as, and how. Beside them `id`, `description`, `on`, `do`."""

STEP_FIELDS = ("id", "kind", "params", "condition", "on_error", "retry", "verify")
"""The fields of a step that are written."""


def _step(step: RuleStep, kind: StepKind) -> dict[str, Any]:
    found: dict[str, Any] = {"id": step.id} if IDENTIFIER.fullmatch(step.id) else {}
    if step.condition:
        found["if"] = step.condition
    own = {key: value for key, value in step.params.items() if key not in kind.beside}
    found[kind.name] = own[kind.scalar] if kind.scalar and list(own) == [kind.scalar] else own
    found |= {key: step.params[key] for key in sorted(kind.beside) if key in step.params}
    if step.verify is not None:
        found["verify"] = {"within": exact_duration(step.verify)}
    if step.retry:
        found["retry"] = step.retry
    if step.on_error != "stop":
        found["on_error"] = step.on_error
    return found


def _lines(value: Any) -> list[str]:
    """The lines of a collection, without indentation."""
    if isinstance(value, dict):
        return [line for key, item in value.items() for line in _entry(str(key), item)]
    lines = []
    for item in value:
        first, *rest = _lines(item) if isinstance(item, dict | list) and item else [*_inline(item)]
        lines += [f"- {first}", *_indented(rest)]
    return lines


def _entry(key: str, value: Any) -> list[str]:
    name = _quoted(key)
    if len(name) > _LONGEST_KEY:
        first, *rest = _lines(value) if isinstance(value, dict | list) and value else [*_inline(value)]
        return [f"? {name}", f": {first}", *_indented(rest)]
    if isinstance(value, dict | list) and value:
        return [f"{name}:", *_indented(_lines(value))]
    first, *rest = _inline(value)
    return [f"{name}: {first}", *rest]


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" if line else line for line in lines]


def _inline(value: Any) -> list[str]:
    """A scalar or an empty collection; a text of several lines as a block, whose lines follow the first."""
    match value:
        case None:
            return ["null"]
        case bool():
            return [str(value).lower()]
        case int():
            return [_integer(value)]
        case float():
            return [repr(value)]
        case str():
            return _block(value) if _is_block(value) else [_quoted(value)]
        case _:
            return ["{}" if isinstance(value, dict) else "[]"]


def _integer(value: int) -> str:
    decimal = str(value)
    # A longer row of digits is text to us (document.resolve), its sixteen digits to the base of 16 are not.
    return decimal if len(decimal.lstrip("-")) <= 19 else hex(value)


def _is_block(text: str) -> bool:
    """Whether a literal block gives back the text: lines of plain characters, the first without a blank in front."""
    lines = text.removesuffix("\n").split("\n")
    return (
        len(lines) > 1
        and all(map(_is_plain, lines))
        and lines[0][:1] not in ("", " ")
        and lines[-1].strip() != ""
        and not any(line != line.rstrip() for line in lines)
    )


def _is_plain(text: str) -> bool:
    return text.isprintable() and "\ufeff" not in text


def _block(text: str) -> list[str]:
    head = "|" if text.endswith("\n") else "|-"
    return [head, *_indented(text.removesuffix("\n").split("\n"))]


def _quoted(text: str) -> str:
    """The text bare where YAML reads it as this very text, else within double quotes."""
    if _WORD.fullmatch(text) and resolve(text) == text and len(text) <= _LONGEST_KEY:
        return text
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if _is_plain(char):
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
