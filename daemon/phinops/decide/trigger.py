"""`on`: which events a rule looks at."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from cronsim import CronSim, CronSimError

from phinops.decide.correlation import kind_of, read_correlation
from phinops.decide.document import Node
from phinops.decide.findings import Findings, did_you_mean, listed
from phinops.decide.lasting import FORMS, TooLong, means_lasting, needs_more, read_lasting
from phinops.decide.pattern import Pattern
from phinops.event import ADDS, SCHEDULE, parts_of

_KNOWN = tuple(ADDS)
_KEYS = ("schedule", "hook", "event", "all")
_CUSTOM = re.compile(r"custom\.[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_CUSTOM_FORM = "custom.NAME has a NAME of letters, digits, `-`, `_` and `.`"
_SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Trigger:
    """The event types of a rule, the cron expression of its own schedule or "", what it calls too long, and what its
    events must make together.
    """

    types: tuple[str, ...]
    cron: str = ""
    lasting: TooLong | None = None
    pattern: Pattern | None = None

    @property
    def opening(self) -> tuple[str, ...]:
        """The types that the rule's `if` is asked of, and that its firings are about."""
        return self.pattern.opening if self.pattern else self.types


def read_trigger(node: Node, findings: Findings, hooks: Collection[str] | None) -> Trigger | None:
    """What `on` says, or None and its mistakes reported. `hooks` are those of the config, None without one."""
    if isinstance(node.value, str):
        return _types([node], findings, hooks)
    if isinstance(node.value, list):
        if not node.value:
            findings.error("bad-value", node.place, "«on» must name an event type")
        return _types(node.value, findings, hooks)
    if isinstance(node.value, dict):
        return _mapping(node, findings, hooks)
    findings.error(
        "bad-value",
        node.place,
        "«on» names an event type or lists several, or is a mapping such as { schedule: CRON } or { hook: NAME }",
    )
    return None


def _types(nodes: list[Node], findings: Findings, hooks: Collection[str] | None) -> Trigger | None:
    before = findings.errors
    for node in nodes:
        mistake = _type_mistake(node, hooks)
        if mistake:
            findings.error(mistake[0], node.place, mistake[1])
    if findings.errors > before or not nodes:
        return None
    return Trigger(tuple(dict.fromkeys(node.value for node in nodes)))


def _type_mistake(node: Node, hooks: Collection[str] | None) -> tuple[str, str] | None:
    name = node.value
    if not isinstance(name, str):
        return "bad-value", "«on» lists event types only: a schedule or a hook needs a rule of its own"
    if name in FORMS:
        return "missing-key", needs_more(name)
    if name.startswith("custom."):
        return None if _CUSTOM.fullmatch(name) else ("unknown-event", f"«{name}» is never emitted: {_CUSTOM_FORM}")
    if parts_of(name) is None:
        near = did_you_mean(name, _KNOWN) or f": there are {listed(_KNOWN)}, custom.NAME and hook.NAME"
        return "unknown-event", f"there is no event «{name}»{near}"
    return _hook_mistake(name.removeprefix("hook."), hooks) if name.startswith("hook.") else None


def _hook_mistake(name: str, hooks: Collection[str] | None) -> tuple[str, str] | None:
    if hooks is None or name in hooks:
        return None
    near = did_you_mean(name, hooks) or (f": it has {listed(hooks)}" if hooks else ": add a table [hooks.NAME]")
    return "unknown-hook", f"the config has no hook «{name}»{near}"


def _mapping(node: Node, findings: Findings, hooks: Collection[str] | None) -> Trigger | None:
    if means_lasting(node):
        found = read_lasting(node, findings)
        return found and Trigger((found[0],), lasting=found[1])
    kind = next((key for key in ("schedule", "hook") if key in node.value), "")
    correlation = None if kind else kind_of(node)
    if correlation:
        pattern = read_correlation(node, correlation, findings, lambda each: _type_mistake(each, hooks))
        return Trigger(pattern.types, pattern=pattern) if pattern else None
    others = [key for key in node.value if key != kind]
    if "event" in node.value and not kind:
        findings.error(
            "missing-key", node.place, "«on» with event needs count, absent or after; for each event name it alone"
        )
        return None
    several = [key for key in others if kind and key in ("count", "absent")]
    if several:
        findings.error("unknown-key", node.keys[several[0]].place, f"«{several[0]}»: {_one_of_several(node, kind)}")
        return None
    for key in others:
        near = did_you_mean(key, _KEYS) or f": it knows {listed(_KEYS)}"
        comma = ": a comma ends a value inside of { }, put it in quotes" if node.value[key].value is None else ""
        findings.error("unknown-key", node.keys[key].place, f"«{key}» is not a key of on{comma or near}")
    if others or not kind:
        if not node.value:
            findings.error("bad-value", node.place, "«on» is empty")
        return None
    return _schedule(node.value[kind], findings) if kind == "schedule" else _hook(node.value[kind], findings, hooks)


def _one_of_several(node: Node, kind: str) -> str:
    """How what wakes a rule is said, or is not, where it is one of several events."""
    if kind == "hook":
        return f"a hook among several events is named by its type: event: hook.{node.value[kind].plain()}"
    return "a schedule cannot be one of several events: let a rule on it `emit` a custom.NAME for it"


def _schedule(node: Node, findings: Findings) -> Trigger | None:
    reason = cron_mistake(node.value) if isinstance(node.value, str) else 'it must be text such as "0 6 * * *"'
    if reason:
        findings.error("bad-cron", node.place, f"«schedule» {reason}")
        return None
    return Trigger((SCHEDULE,), node.value)


def _hook(node: Node, findings: Findings, hooks: Collection[str] | None) -> Trigger | None:
    if not isinstance(node.value, str) or not node.value:
        findings.error("bad-value", node.place, "«hook» is the name of a hook in the config")
        return None
    mistake = _hook_mistake(node.value, hooks)
    if mistake:
        findings.error(mistake[0], node.place, mistake[1])
        return None
    return Trigger((f"hook.{node.value}",))


@cache
def cron_mistake(text: str) -> str:
    """Why the text is not a cron expression, or ""."""
    fields = len(text.split())
    if fields != 5:
        return f"«{text}» has {fields} fields: minute, hour, day of the month, month and day of the week are 5"
    try:
        CronSim(text, _SOME_DAY)
    except CronSimError as error:
        return f"«{text}» is not a cron expression: {str(error).lower() or 'bad value'}"
    return ""
