"""`on: { event: instance.stuck, state: RUNNING, after: 2h }`: states of an instance that last for too long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from phinops.decide.document import Node
from phinops.decide.findings import Findings, did_you_mean
from phinops.durations import format_duration, parse_duration
from phinops.event import Event, JsonObject

OVERDUE, STUCK = "instance.overdue", "instance.stuck"

STATES = ("WAITING", "BLOCKED", "RUNNING", "FAILED")
"""The states that an instance can be stuck in: SUCCESS is meant to last."""

FORMS: Mapping[str, str] = {
    OVERDUE: "{ event: instance.overdue, after: 30m }",
    STUCK: "{ event: instance.stuck, state: RUNNING, after: 2h }",
}
"""How `on` is written for each of the two types."""

SHORTEST = timedelta(seconds=1)

_KEYS: Mapping[str, tuple[str, ...]] = {OVERDUE: ("event", "after"), STUCK: ("event", "state", "after")}


@dataclass(frozen=True, slots=True)
class TooLong:
    """What a rule calls too long: more than `after` in `state`, or with "" not started so long past its due time."""

    state: str
    after: timedelta

    @property
    def after_s(self) -> int:
        """`after` in whole seconds, as events bear it."""
        return int(self.after.total_seconds())

    def to_json(self) -> JsonObject:
        """What `too_long_of` reads."""
        return {"state": self.state, "after_s": self.after_s}

    def is_of(self, event: Event) -> bool:
        """Whether the event tells of this very state and time; one that does not say is taken for any."""
        told = event.lasting
        return told is None or (told.after_s == self.after_s and self.state in ("", told.state))


def too_long_of(document: Mapping[str, object] | None) -> TooLong | None:
    """What `TooLong.to_json` wrote; None of None."""
    if document is None:
        return None
    return TooLong(str(document["state"]), timedelta(seconds=float(str(document["after_s"]))))


def means_lasting(node: Node) -> bool:
    """Whether the mapping below `on` names one of the two types, or what belongs to them alone."""
    event = node.value.get("event")
    if "all" in node.value:
        return False
    return bool(event and _text(event) in FORMS) or "after" in node.value or "state" in node.value


def needs_more(name: str) -> str:
    """That the bare type is not enough, and how it is written."""
    return f"{name} must say how long is too long: `on: {FORMS[name]}`"


def alone(name: str) -> str:
    """That the type is never one of several, and what to do instead."""
    return f"{name} cannot be one of several events: let a rule on {FORMS[name]} `emit` a custom.NAME for it"


def read_lasting(node: Node, findings: Findings) -> tuple[str, TooLong] | None:
    """The event type and what it asks for, or None and its mistakes reported."""
    before = findings.errors
    kind = _kind(node, findings)
    several = next((key for key in ("count", "absent") if key in node.value), "")
    if kind and several:
        findings.error("unknown-key", node.keys[several].place, f"«{several}»: {alone(kind)}")
        return None
    if kind:
        _check_keys(node, kind, findings)
    after = _after(node.value.get("after"), findings)
    state = _state(node.value["state"], findings) if kind == STUCK and "state" in node.value else ""
    if kind is None or after is None or findings.errors > before:
        return None
    return kind, TooLong(state, after)


def _kind(node: Node, findings: Findings) -> str | None:
    event = node.value.get("event")
    if event is None:
        findings.error("missing-key", node.place, f"«event» is missing: `on: {FORMS[STUCK]}` or `on: {FORMS[OVERDUE]}`")
        return None
    name = _text(event)
    if name in FORMS:
        return name
    near = did_you_mean(name, FORMS)
    told = near or f": they belong to {OVERDUE} and {STUCK}"
    keys = " and ".join(f"«{key}»" for key in ("state", "after") if key in node.value)
    findings.error("bad-value", event.place, f"«event» cannot be that with {keys}{told}")
    return None


def _check_keys(node: Node, kind: str, findings: Findings) -> None:
    known = _KEYS[kind]
    for key in node.value:
        if key not in known:
            near = did_you_mean(key, known) or f": write {FORMS[kind]}"
            findings.error("unknown-key", node.keys[key].place, f"«{key}» is not a key of {kind}{near}")
    for key in known:
        if key not in node.value:
            findings.error("missing-key", node.place, f"«{key}» is missing: write {FORMS[kind]}")


def _after(node: Node | None, findings: Findings) -> timedelta | None:
    if node is None:
        return None
    try:
        span = parse_duration(node.value)
    except (ValueError, OverflowError) as error:
        findings.error("bad-value", node.place, f"«after»: {error}")
        return None
    if span < SHORTEST or span.microseconds:
        message = f"«after» is in whole seconds, at least one, not {format_duration(span)}"
        findings.error("bad-value", node.place, message)
        return None
    return span


def _state(node: Node, findings: Findings) -> str:
    name = _text(node)
    if name in STATES:
        return name
    near = did_you_mean(name.upper(), STATES) or f": it is one of {', '.join(STATES)}"
    shown = f"«{name}»" if name else "that"
    findings.error("bad-value", node.place, f"«state» cannot be {shown}{near}")
    return ""


def _text(node: Node) -> str:
    return node.value if isinstance(node.value, str) else ""
