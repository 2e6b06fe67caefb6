"""Conditions that can never be true, and values that a field never has: doubts, not mistakes.

Only what is certain is told. What an expression reads is compared with what it can be: the types in `on`, the states
of instances and alerts, the outcomes of steps, the numbers that CEL gives for days and hours; and claims on one
expression are compared with each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, get_args

from phinops.decide.claims import NAMELESS, Claim, Row, Value, rows_of
from phinops.decide.findings import did_you_mean, listed
from phinops.decide.scope import PARTS, Flaw, Names
from phinops.event import ADDS, INSTANCE_STATES, STATE_EVENTS, parts_of
from phinops.firing import Outcome

ALERT_STATES = ("ALERTING", "SILENCING", "DO_NOT_DISTURB", "FINISH")
"""The states of alerts that are known; Dataphin may have more of them one day."""

_ALERT_STATES_OF: Mapping[str, tuple[str, ...]] = {
    "alert.silenced": ("SILENCING", "DO_NOT_DISTURB"),
    "alert.closed": ("FINISH",),
}
_STATE_OF = {kind: state for state, kind in STATE_EVENTS.items()}
_OUTCOMES: tuple[str, ...] = get_args(Outcome)
_OUTCOME = re.compile(r"steps\.\w+\.outcome|steps\[\"\w+\"\]\.outcome|event\.action\.outcome")
_HAS_PART = re.compile(r"has\(event\.(\w+)\)")

_RANGES: Mapping[str, range] = {
    "getHours": range(24), "getMinutes": range(60), "getSeconds": range(60), "getMilliseconds": range(1000),
    "getDayOfWeek": range(7), "getMonth": range(12), "getDayOfMonth": range(31), "getDate": range(1, 32),
    "getDayOfYear": range(366),
}  # fmt: skip
"""What CEL's functions of time give; most of them count from 0."""

_COUNTED = re.compile(rf"\.({'|'.join(_RANGES)})\([^()]*\)$")


def doubts(tree: Any, source: str, names: Names) -> list[Flaw]:
    """What in the checked condition can never be, as warnings: values that do not exist, and clauses that exclude
    each other for events of every type in `on`.
    """
    rows = rows_of(tree)
    if not rows or not names.types:
        return []
    strange = list(_strange_values(rows, names))
    told = {flaw.offset: flaw for flaw, _ in strange}
    odd = {claim for _, claim in strange}
    known = [tuple(claim for claim in row if claim not in odd) for row in rows]
    never = _never(known, source, names)
    return [*told.values(), *([never] if never else [])]


def _strange_values(rows: Iterable[Row], names: Names) -> Iterator[tuple[Flaw, Claim]]:
    for claim in dict.fromkeys(claim for row in rows for claim in row):
        if claim.relation in ("in", "not in") and claim.constant is None:
            reasons = [_strange(claim.subject, value, names) for value in claim.values]
            for offset, reason in zip(claim.places, reasons, strict=True):
                if reason:
                    yield Flaw("impossible-value", offset, reason, "warning"), claim


def _strange(subject: str, value: Value, names: Names) -> str:
    """Why the expression never has the value, or ""."""
    kind, held = value
    if kind == "text":
        return _strange_text(subject, held, names)
    counted = _COUNTED.search(subject)
    if counted and kind == "number" and held not in _RANGES[counted[1]]:
        numbers = _RANGES[counted[1]]
        return f"{counted[1]}() is never {held}: it gives {numbers[0]} to {numbers[-1]}"
    return ""


def _strange_text(subject: str, text: str, names: Names) -> str:
    if subject == "event.type":
        return _strange_type(text, names)
    if subject in ("event.instance.status", "event.instance.previous_status"):
        states = _states(subject, names.types, names)
        if text not in INSTANCE_STATES:
            near = did_you_mean(text, INSTANCE_STATES) or f": there are {listed(INSTANCE_STATES)}"
            return "" if text in states else f"no instance is «{text}»{near}"
        return "" if text in states else _never_of(text, states, names)
    if subject == "event.alert.status":
        return _strange_alert(text, names)
    if _OUTCOME.fullmatch(subject) and text not in _OUTCOMES:
        near = did_you_mean(text, _OUTCOMES) or f": there are {listed(_OUTCOMES)}"
        return f"no outcome is «{text}»{near}"
    return ""


def _strange_type(text: str, names: Names) -> str:
    if text in names.types:
        return ""
    if parts_of(text) is None:
        near = did_you_mean(text, (*names.types, *ADDS)) or f": here it is {' or '.join(names.types)}"
        return f"there is no event «{text}»{near}"
    return f"«on» does not name {text}: here the type is {' or '.join(names.types)}"


def _strange_alert(text: str, names: Names) -> str:
    if text not in ALERT_STATES:
        near = did_you_mean(text, ALERT_STATES)
        return f"no alert is «{text}»{near}" if near else ""
    states = {state for kind in names.types for state in _ALERT_STATES_OF.get(kind, ALERT_STATES)}
    return "" if names.within_plan or text in states else _never_of(text, states, names)


def _never_of(text: str, states: Iterable[str], names: Names) -> str:
    return f"the status is {' or '.join(sorted(states))} in {' and '.join(names.types)}, never «{text}»"


def _states(subject: str, types: Iterable[str], names: Names) -> frozenset[str]:
    if subject.endswith("previous_status"):
        return frozenset({*INSTANCE_STATES, ""})
    if names.within_plan:  # a step that waits has the object read anew
        return frozenset(INSTANCE_STATES)
    return frozenset(state for kind in types for state in _states_of(kind))


def _states_of(kind: str) -> Sequence[str]:
    return (_STATE_OF[kind],) if kind in _STATE_OF else INSTANCE_STATES


def _never(rows: Sequence[Row], source: str, names: Names) -> Flaw | None:
    """The first reason why no row can be true, or None where one can."""
    clashes: list[tuple[tuple[Claim, ...], str]] = []
    for kind in names.types:
        for row in rows:
            clash = _clash(row, kind, names)
            if not clash:
                return None
            clashes.append((clash, kind))
    claims, kind = clashes[0]
    more = "" if len(rows) == 1 else "; nor can what else it allows"
    return Flaw(
        "never-true", _word_at(source, claims[-1].offset), f"can never be true: {_told(claims, kind)}{more}", "warning"
    )


def _word_at(source: str, offset: int) -> int:
    """Of a function CEL knows the place of the parenthesis: where its name begins."""
    before = re.search(r"\w+\s*$", source[:offset]) if source[offset : offset + 1] == "(" else None
    return before.start() if before else offset


def _told(claims: Sequence[Claim], kind: str) -> str:
    last = claims[-1]
    if len(claims) > 1 and NAMELESS in last.subject:
        return "a clause and its opposite exclude each other"
    if len(claims) > 1:
        return f"{' and '.join(f'`{claim}`' for claim in claims)} exclude each other"
    if last.constant is not None:
        return f"`{last}` is never true"
    lacking = sorted(last.parts & (PARTS - frozenset(parts_of(kind) or ())))
    if lacking:
        return f"{kind} has no `{lacking[0]}`"
    return f"`{last}` is true of no {kind}"


def _clash(row: Row, kind: str, names: Names) -> tuple[Claim, ...]:
    """The claims of the row that cannot all be true of an event of this type; () where they can."""
    subjects: dict[str, list[Claim]] = {}
    for claim in row:
        if claim.constant is not None:
            if not claim.constant:
                return (claim,)
            continue
        if claim.parts & (PARTS - frozenset(parts_of(kind) or ())):
            return (claim,)
        about = subjects.setdefault(claim.subject, [])
        about.append(claim)
        domain = _domain(claim.subject, kind, names)
        if _empty(about, domain):
            return _fewest(about, domain)
    return ()


def _fewest(claims: Sequence[Claim], domain: frozenset[Value] | None) -> tuple[Claim, ...]:
    """The last claim with what already excludes it, which is least where one other claim does."""
    last = claims[-1]
    if _empty([last], domain):
        return (last,)
    pair = next((each for each in claims[:-1] if _empty([each, last], domain)), None)
    return tuple(claims) if pair is None else (pair, last)


def _domain(subject: str, kind: str, names: Names) -> frozenset[Value] | None:
    """All values that the expression can have on an event of this type, or None where that is not known."""
    if subject == "event.type":
        return frozenset({("text", kind)})
    if subject in ("event.instance.status", "event.instance.previous_status"):
        return frozenset(("text", state) for state in _states(subject, (kind,), names))
    part = _HAS_PART.fullmatch(subject)
    if part and part[1] in PARTS and part[1] not in (parts_of(kind) or ()):
        return frozenset({("bool", False)})
    counted = _COUNTED.search(subject)
    return frozenset(("number", each) for each in _RANGES[counted[1]]) if counted else None


def _empty(claims: Sequence[Claim], domain: frozenset[Value] | None) -> bool:
    """Whether no value makes all the claims on one expression true."""
    candidates: set[Value] | None = set(domain) if domain is not None else None
    for claim in claims:
        if claim.relation == "in":
            candidates = set(claim.values) if candidates is None else candidates & set(claim.values)
    if candidates is not None:
        return not any(all(claim.admits(value) for claim in claims) for value in candidates)
    return _bounds_cross(claims) or _beginnings_differ(claims)


def _bounds_cross(claims: Sequence[Claim]) -> bool:
    lows = [(claim.values[0], claim.relation == ">") for claim in claims if claim.relation in (">", ">=")]
    highs = [(claim.values[0], claim.relation == "<") for claim in claims if claim.relation in ("<", "<=")]
    return any(
        low[0] == high[0] and (low[1] > high[1] or (low[1] == high[1] and (above or below)))
        for low, above in lows
        for high, below in highs
    )


def _beginnings_differ(claims: Sequence[Claim]) -> bool:
    begins = [claim.values[0][1] for claim in claims if claim.relation == "starts"]
    ends = [claim.values[0][1] for claim in claims if claim.relation == "ends"]
    return any(not one.startswith(other) and not other.startswith(one) for one in begins for other in begins) or any(
        not one.endswith(other) and not other.endswith(one) for one in ends for other in ends
    )
