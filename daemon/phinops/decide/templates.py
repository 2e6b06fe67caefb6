"""Texts: minijinja templates over the names of rules, bounded in work and size, without a way to the outside.

A template sees JSON types only, as copies: times are texts in RFC 3339, and a time that is missing is not there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, tzinfo
from functools import cache
from typing import Any

from minijinja import Environment, TemplateError

from phinops.decide import functions
from phinops.decide.celtext import unknown_field, without_events, without_inputs
from phinops.decide.findings import did_you_mean, listed
from phinops.decide.inputs import inputs_text, unknown_input
from phinops.decide.jinja import Code, Token, blocks, is_template, sole_expression
from phinops.decide.scope import PARTS, CannotEvaluate, Flaw, Names, Scope
from phinops.decide.shape import MODELS, STEP_FIELDS, item_type
from phinops.event import Event, field_types, parts_of, plain

FUEL = 50_000
MAX_OUTPUT = 64 * 1024
MAX_TEMPLATE = 64 * 1024
"""Steps of work, characters of a result, and characters of a template."""

_FUNCTIONS = ("bizdate", "days_before", "range", "dict", "namespace")
_REFUSED_TAGS = ("include", "import", "from", "extends", "block", "do", "autoescape")
_SINGLE = re.compile(r"\s+")


class Templates:
    """Checks and renders the texts of rules."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._env = Environment(fuel=FUEL, undefined_behavior="strict", debug=False, pycompat=False)
        for name in ("debug", "cycler", "joiner"):
            self._env.remove_global(name)
        self._env.add_global("bizdate", self._bizdate)
        self._env.add_global("days_before", _days_before)

    def check(self, template: str, names: Names) -> list[Flaw]:
        """Every mistake in the template for events of `names.types`; empty for a text without any code."""
        if not is_template(template):
            return []
        if len(template) > MAX_TEMPLATE:
            return [Flaw("template-syntax", 0, f"is longer than {MAX_TEMPLATE} characters")]
        try:
            free = self._env.undeclared_variables_in_str(template, nested=True)
        except TemplateError as error:
            return [_syntax(error, template)]
        except ValueError as error:  # half a surrogate pair
            return [Flaw("template-syntax", 0, str(error))]
        codes = list(blocks(template))
        flaws = [flaw for code in codes for flaw in _code_flaws(code)]
        told = {flaw.offset for flaw in flaws}
        unknown = [flaw for name in sorted(free) if (flaw := _name_flaw(name, codes, names))]
        return flaws + [flaw for flaw in unknown if flaw.offset not in told]

    def render(self, value: Any, scope: Scope) -> Any:
        """The value with every template in it rendered, through lists and maps; their keys stay as they are.

        A text that is one `{{ expression }}` becomes what the expression is; any other stays text.

        Raises:
            CannotEvaluate: a value is missing, the work or the result is too much, or it is none of JSON's types.
        """
        return self._rendered(value, _LazyContext(scope, self._zone))

    def _rendered(self, value: Any, context: _LazyContext) -> Any:
        if isinstance(value, str):
            return self._text(value, context) if is_template(value) else value
        if isinstance(value, Mapping):
            return {key: self._rendered(item, context) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._rendered(item, context) for item in value]
        return value

    def _text(self, template: str, context: _LazyContext) -> Any:
        expression = sole_expression(template)
        # An expression whose value is undefined would come back as None: asking tells the two apart.
        source = template if expression is None else f"[({expression}) is defined, ({expression})]"
        try:
            if expression is None:
                return _bounded(self._env.render_str(template, **context.values()))
            defined, value = self._env.eval_expr(source, **context.values())
        except TemplateError as error:
            raise CannotEvaluate(_reason(error, source)) from None
        except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
            raise CannotEvaluate(f"{_short(template)}: {error}") from None
        if not defined:
            raise CannotEvaluate(f"`{expression}` has no value")
        return _json_value(value, template)

    def _bizdate(self, *arguments: Any) -> str:
        match arguments:
            case (str(moment),):
                return functions.bizdate(datetime.fromisoformat(moment), self._zone)
            case _:
                raise ValueError("bizdate(t) needs one time")


def _days_before(*arguments: Any) -> str:
    match arguments:
        case (str(day), int(count)):
            return functions.days_before(day, count)
        case _:
            raise ValueError("days_before(date, n) needs a date and a whole number")


class _LazyContext:
    """What a template sees, made at the first one. Copies: a template that changed its own harms nobody."""

    def __init__(self, scope: Scope, zone: tzinfo) -> None:
        self._scope = scope
        self._zone = zone
        self._values: dict[str, Any] | None = None

    def values(self) -> dict[str, Any]:
        if self._values is None:
            scope = self._scope
            self._values = {
                "event": _event(scope.event, self._zone),
                "steps": {
                    name: {field: getattr(result, field) for field in STEP_FIELDS}
                    for name, result in scope.steps.items()
                },
                "vars": plain(scope.vars),
                "events": [_event(each, self._zone) for each in scope.events],
                "inputs": inputs_text(scope.inputs),
                "now": scope.now.astimezone(self._zone).isoformat(),
            }
        return self._values


def _event(event: Event, zone: tzinfo) -> dict[str, Any]:
    absent = PARTS - frozenset(parts_of(event.type) or ())
    return {
        name: _without_absent_times(getattr(event, name), zone) for name in field_types(Event) if name not in absent
    }


def _without_absent_times(value: Any, zone: tzinfo) -> Any:
    kind = type(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if kind.__name__ in MODELS and MODELS[kind.__name__] is kind:
        fields = field_types(kind)
        return {
            name: _without_absent_times(getattr(value, name), zone)
            for name, declared in fields.items()
            if not (getattr(value, name) is None and datetime in getattr(declared, "__args__", ()))
        }
    if isinstance(value, Mapping):
        return {str(key): _without_absent_times(item, zone) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_absent_times(item, zone) for item in value]
    return value


def _bounded(text: str) -> str:
    if len(text) > MAX_OUTPUT:
        raise CannotEvaluate(f"the text has {len(text)} characters, {MAX_OUTPUT} are allowed")
    return str(text)


def _json_value(value: Any, template: str) -> Any:
    """`value` as JSON types. Raises CannotEvaluate for anything else and for what is too large."""
    if isinstance(value, str):
        return _bounded(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    try:
        document = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        raise CannotEvaluate(f"{_short(template)} gives neither text, number, bool, list nor map") from None
    return json.loads(_bounded(document))


def _reason(error: TemplateError, source: str) -> str:
    place = _slice(error, source)
    match error.kind:
        case "UndefinedError":
            return f"`{place or _short(source)}` has no value"
        case "OutOfFuel":
            return f"{_short(source)} takes too much work"
        case _:
            return str(error).split("\n", 1)[0].removesuffix(" (in <string>:1)").removesuffix(" (in <expression>:1)")


def _slice(error: TemplateError, source: str) -> str:
    # Ranges count bytes of UTF-8, and may begin in the middle of a name that was read.
    if not error.range:
        return ""
    begin, end = error.range
    data = source.encode()
    before = re.search(rb"[\w.]*$", data[:begin])
    return data[begin - len(before[0] if before else b"") : end].decode(errors="replace").strip()


def _short(text: str) -> str:
    line = _SINGLE.sub(" ", text).strip()
    return line if len(line) <= 60 else line[:57] + "..."


def _syntax(error: TemplateError, template: str) -> Flaw:
    begin = error.range[0] if error.range else 0
    offset = len(template.encode()[:begin].decode(errors="replace"))
    reason = error.detail or error.message
    if "unexpected end of input" in reason:
        unclosed = [code.start for code in blocks(template) if code.end == len(template)]
        offset = unclosed[-1] if unclosed else offset
    return Flaw("template-syntax", offset, f"not a template: {reason}")


def _code_flaws(code: Code) -> Iterator[Flaw]:
    tokens = code.tokens
    if code.block == "{%" and tokens and tokens[0].text in _REFUSED_TAGS:
        yield Flaw("template-syntax", tokens[0].offset, f"«{tokens[0].text}» is not part of templates here")
    for index, token in enumerate(tokens):
        before = tokens[index - 1] if index else None
        after = tokens[index + 1] if index + 1 < len(tokens) else None
        yield from _token_flaws(code, index, token, before, after)


def _token_flaws(code: Code, index: int, token: Token, before: Token | None, after: Token | None) -> Iterator[Flaw]:
    if token.text == "(" and before and _is_method(code, index, before):
        name = f"«{before.text}(...)»" if before.kind == "name" else "this call"
        yield Flaw("template-syntax", before.offset, f"{name} calls a method: use a filter such as {{{{ x | upper }}}}")
    if before and before.text == "|" and token.kind == "name" and not _known("filter", token.text):
        yield Flaw(
            "template-name", token.offset, f"there is no filter «{token.text}»{did_you_mean(token.text, _FILTERS)}"
        )
    if token.kind == "name" and _is_test(code.tokens, index) and not _known("test", token.text):
        yield Flaw("template-name", token.offset, f"there is no test «{token.text}»{did_you_mean(token.text, _TESTS)}")
    if token.text in ("*", "**") and any(side and side.text in ("]", "[") for side in (before, after)):
        yield Flaw("template-syntax", token.offset, "a list cannot be multiplied here")


def _is_method(code: Code, index: int, before: Token) -> bool:
    """Whether the parenthesis at `index` calls something other than a function by its own name."""
    if before.text in (")", "]"):
        return True
    return before.kind == "name" and index >= 2 and code.tokens[index - 2].text == "."


def _is_test(tokens: tuple[Token, ...], index: int) -> bool:
    words = [token.text for token in tokens[max(0, index - 2) : index]]
    if words[-1:] == ["is"]:
        return tokens[index].text != "not"
    return words == ["is", "not"]


_FILTERS = (
    "abs", "batch", "bool", "capitalize", "default", "dictsort", "escape", "filesizeformat", "first", "float", "format",
    "groupby", "indent", "int", "items", "join", "last", "length", "lines", "list", "lower", "map", "max", "min",
    "pluralize", "pprint", "reject", "rejectattr", "replace", "reverse", "round", "select", "selectattr", "slice",
    "sort", "split", "string", "sum", "title", "tojson", "trim", "truncate", "unique", "upper", "urlencode",
    "wordcount", "wordwrap",
)  # fmt: skip
_TESTS = (
    "boolean", "defined", "divisibleby", "endingwith", "even", "false", "float", "in", "integer", "iterable", "lower",
    "mapping", "none", "number", "odd", "sequence", "startingwith", "string", "true", "undefined", "upper",
)  # fmt: skip


@cache
def _known(what: str, name: str) -> bool:
    """Whether minijinja has the filter or test: it says so when one is used."""
    probe = f"''|{name}" if what == "filter" else f"'' is {name}"
    try:
        Environment(fuel=100).eval_expr(probe)
    except TemplateError as error:
        return error.kind not in ("UnknownFilter", "UnknownTest")
    return True


def _name_flaw(name: str, codes: Iterable[Code], names: Names) -> Flaw | None:
    """What is wrong with a name that the template reads from outside, such as `event.node.name`."""
    path = name.split(".")
    known, message = _walk(path, names)
    if not message:
        return None
    return Flaw("template-name", _offset(path[: known + 1], codes), message)


def _walk(path: list[str], names: Names) -> tuple[int, str]:
    """How many parts of the path are right, and what is wrong with the next."""
    root, *rest = path
    if root in _FUNCTIONS:
        return 0, ""
    if root not in names.roots() | {"inputs"}:
        return 0, _unknown_root(root, names)
    if not rest and root != "inputs":
        return 0, ""
    match root:
        case "inputs":
            return _walk_inputs(rest, names)
        case "steps":
            return _walk_steps(rest, names)
        case "vars":
            return 1, _walk_vars(rest[0], names)
        case "events" | "now":
            return 1, _NO_FIELDS[root].format(rest[0])
        case _:
            return _walk_event(rest, names)


def _walk_vars(name: str, names: Names) -> str:
    if name in names.vars:
        return ""
    near = did_you_mean(name, names.vars) or f": there is {listed(names.vars)}"
    return f"no variable is called «{name}»{near if names.vars else ''}"


_NO_FIELDS = {
    "events": "«{0}»: events is a list: say events[0].{0}, or go through it with for",
    "now": "«{0}»: now is a time and has no fields",
}


def _unknown_root(root: str, names: Names) -> str:
    if root == "events":
        return without_events()
    for owner, known in (("event", names.event_fields()), ("vars", names.vars), ("steps", names.steps)):
        if root in known:
            return f"unknown name «{root}»: did you mean «{owner}.{root}»?"
    near = did_you_mean(root, (*names.roots(), *_FUNCTIONS)) or ": a template speaks of event, steps, vars and now"
    return f"unknown name «{root}»{near}"


def _walk_inputs(rest: list[str], names: Names) -> tuple[int, str]:
    if not names.inputs:
        return 0, without_inputs()
    return 1, unknown_input(rest[0], names.inputs) if rest and rest[0] not in names.inputs else ""


def _walk_steps(rest: list[str], names: Names) -> tuple[int, str]:
    if rest[0] not in names.steps:
        near = did_you_mean(rest[0], names.steps) or (f": there is {listed(names.steps)}" if names.steps else "")
        return 1, f"no step before this one has the id «{rest[0]}»{near}"
    if len(rest) > 1 and rest[1] not in STEP_FIELDS:
        return 2, unknown_field("Step", rest[1], names)
    return 1, ""


def _walk_event(rest: list[str], names: Names) -> tuple[int, str]:
    model: Any = Event
    for depth, part in enumerate(rest, 1):
        known = names.event_fields() if model is Event else tuple(field_types(model))
        if part not in known:
            return depth, unknown_field(model.__name__, part, names)
        kind = field_types(model)[part]
        model = item_type(kind) if "tuple" not in str(kind) else None
        if model is None:
            # Below an untyped field, a map or a list, only the event can tell; a text or number has nothing below.
            leaf = kind in (str, datetime) or any(each in (int, float, bool) for each in getattr(kind, "__args__", ()))
            return depth + 1, f"`{part}` has no fields" if leaf and depth < len(rest) else ""
    return len(rest), ""


def _offset(path: list[str], codes: Iterable[Code]) -> int:
    """Where the last part of the path stands in the first code that has the whole path."""
    for code in codes:
        for index in range(len(code.tokens)):
            span = code.tokens[index : index + 2 * len(path) - 1]
            if [token.text for token in span] == ".".join(path).replace(".", " . ").split():
                return span[-1].offset
    return 0
