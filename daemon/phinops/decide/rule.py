"""A rule as it is decided and carried out, and the rules that are in force together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta, tzinfo
from typing import Any, Literal, Protocol

from pydantic import BaseModel

from phinops.decide.calendar import Calendar
from phinops.decide.inputs import Inputs, inputs_from_json, inputs_json
from phinops.decide.lasting import TooLong, too_long_of
from phinops.decide.pattern import Pattern
from phinops.event import JsonObject
from phinops.firing import Mode

Concurrency = Literal["single", "queued", "restart", "parallel"]
OnError = Literal["stop", "continue"]
Path = tuple[str | int, ...]


class StepKind(Protocol):
    """What the language needs to know of a kind of step."""

    @property
    def name(self) -> str:
        """Its key in rule files."""
        ...

    @property
    def params(self) -> type[BaseModel]:
        """The model of its parameters; texts may hold templates."""
        ...

    @property
    def target(self) -> Literal["instance", "node"] | None:
        """What it acts on when its parameters name nothing: the event's own instance or node."""
        ...

    @property
    def scalar(self) -> str:
        """The parameter that a plain value after the step's key stands for, or ""."""
        ...

    @property
    def beside(self) -> frozenset[str]:
        """Parameters that are written beside the step's key and not below it."""
        ...

    @property
    def probe_key(self) -> str:
        """The parameter beside it that says how what it did is read back, without which it cannot be, or ""."""
        ...

    @property
    def conditions(self) -> frozenset[str]:
        """Parameters that are conditions and no texts."""
        ...

    @property
    def verifiable(self) -> bool:
        """Whether reading can tell what became of it, so that `verify` has a meaning."""
        ...

    def writes(self, params: Any) -> bool:
        """Whether it changes anything outside of phinops; `params` is an instance of the model."""
        ...

    def problems(self, params: Any, setting: Any) -> list[tuple[Path, str]]:
        """What the model cannot see: the path of each mistake below the parameters, and its text."""
        ...


def verifiable(kind: StepKind, params: Collection[str]) -> bool:
    """Whether reading can tell what became of a step with these parameters."""
    return kind.verifiable and (not kind.probe_key or kind.probe_key in params)


@dataclass(frozen=True, slots=True)
class Setting:
    """What rules are checked against. None stands for a config that there is not, and is not checked then."""

    kinds: Mapping[str, StepKind]
    zone: tzinfo
    edition: str | None = None
    notifiers: Collection[str] | None = None
    hooks: Collection[str] | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """At most `max` within any time span of `per`."""

    max: int
    per: timedelta


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a whole rule; `firings` is a guard, the others are kept when a write asks to leave."""

    firings: Window | None = None
    targets: Window | None = None
    downstream: int | None = None


@dataclass(frozen=True, slots=True)
class RuleStep:
    """One step of a plan. `params` are as written, with their templates; `verify` is how long it may take,
    `retry` how often it is repeated when it came to no good.
    """

    id: str
    kind: str
    params: JsonObject
    condition: str = ""
    on_error: OnError = "stop"
    verify: timedelta | None = None
    retry: int = 0

    def to_json(self) -> JsonObject:
        """The step as a firing keeps it."""
        return {
            "id": self.id,
            "kind": self.kind,
            "params": self.params,
            "if": self.condition,
            "on_error": self.on_error,
            "verify_s": _seconds(self.verify),
            **({"retry": self.retry} if self.retry else {}),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> RuleStep:
        """The step that `to_json` wrote."""
        return cls(
            id=document["id"],
            kind=document["kind"],
            params=document["params"],
            condition=document["if"],
            on_error=document["on_error"],
            verify=_span(document["verify_s"]),
            retry=document.get("retry", 0),
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `types` are the event types that it looks at, `cron` its own schedule or "", `lasting` what it calls
    too long where its events are about that, and `pattern` what its events must make together, None where each stands
    for itself.

    `condition` and `key` are CEL, "" where the rule has none; `hold` is its `for`. `within` is how soon after a change
    the rule would like to hear of it: a wish that polls are paced by, and no part of what the rule decides or does.
    It is active within any of `active`, always if that is empty. `inputs` are the values given to its blueprint.
    """

    id: str
    types: tuple[str, ...]
    steps: tuple[RuleStep, ...]
    mode: Mode = "armed"
    description: str = ""
    cron: str = ""
    lasting: TooLong | None = None
    condition: str = ""
    hold: timedelta | None = None
    key: str = ""
    cooldown: timedelta | None = None
    concurrency: Concurrency = "queued"
    limits: Limits = Limits()
    max_age: timedelta | None = None
    within: timedelta | None = None
    active: tuple[Calendar, ...] = ()
    inputs: Inputs = field(default_factory=dict)
    vars: JsonObject = field(default_factory=dict)
    writes: bool = False
    pattern: Pattern | None = None
    file: str = ""
    line: int = 0
    column: int = 1
    hash: str = field(default="", compare=False)

    def to_json(self) -> JsonObject:
        """The rule's meaning as JSON: the plan of its firings. Without `file`, `line`, `description` and `within`:
        a rule that wants to hear sooner decides and does the same.
        """
        # A key that came later is written only where it is set, so that what rules were before keeps its hash.
        later: JsonObject = {"active": [each.to_json() for each in self.active]} if self.active else {}
        later |= {"inputs": inputs_json(self.inputs)} if self.inputs else {}
        later |= {"lasting": self.lasting.to_json()} if self.lasting else {}
        later |= {"pattern": self.pattern.to_json()} if self.pattern else {}
        return {
            "id": self.id,
            "on": list(self.types),
            "cron": self.cron,
            "if": self.condition,
            "for_s": _seconds(self.hold),
            "mode": self.mode,
            "key": self.key,
            "cooldown_s": _seconds(self.cooldown),
            "concurrency": self.concurrency,
            "limits": _limits_json(self.limits),
            "max_age_s": _seconds(self.max_age),
            "vars": self.vars,
            "writes": self.writes,
            "steps": [step.to_json() for step in self.steps],
            **later,
        }

    @property
    def window(self) -> str:
        """The hash of what the rule's windows are about, "" without a pattern: while it stays, open windows go on."""
        if self.pattern is None:
            return ""
        about: JsonObject = {"if": self.condition, "key": self.key, "pattern": self.pattern.to_json()}
        for name, values in (("vars", self.vars), ("inputs", inputs_json(self.inputs))):
            if name in self.condition or name in self.key:
                about[name] = values
        return hash_of(about)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Rule:
        """The rule that `to_json` wrote; its `within` is None, since a firing has no use for it."""
        limits = document["limits"]
        downstream = limits.get("downstream")
        return cls(
            id=document["id"],
            types=tuple(document["on"]),
            steps=tuple(map(RuleStep.from_json, document["steps"])),
            mode=document["mode"],
            cron=document["cron"],
            lasting=too_long_of(document.get("lasting")),
            condition=document["if"],
            hold=_span(document["for_s"]),
            key=document["key"],
            cooldown=_span(document["cooldown_s"]),
            concurrency=document["concurrency"],
            limits=Limits(_window(limits, "firings"), _window(limits, "targets"), downstream and downstream["max"]),
            max_age=_span(document["max_age_s"]),
            active=tuple(map(Calendar.from_json, document.get("active", ()))),
            inputs=inputs_from_json(document.get("inputs", {})),
            vars=document["vars"],
            writes=document["writes"],
            pattern=Pattern.from_json(document.get("pattern")),
            hash=hash_of(document),
        )


def hash_of(document: Mapping[str, Any]) -> str:
    """The hash of a rule's meaning, from its JSON: equal for rules that decide and do the same."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _limits_json(limits: Limits) -> JsonObject:
    windows = {"firings": limits.firings, "targets": limits.targets}
    found: JsonObject = {
        name: {"max": window.max, "per_s": window.per.total_seconds()} for name, window in windows.items() if window
    }
    if limits.downstream is not None:
        found["downstream"] = {"max": limits.downstream}
    return found


def _window(limits: Mapping[str, Any], name: str) -> Window | None:
    found = limits.get(name)
    return Window(found["max"], timedelta(seconds=found["per_s"])) if found else None


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else span.total_seconds()


def _span(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True)
class Cares:
    """That some rule listens to a source, and the smallest `within` of those that do; None where none has one."""

    within: timedelta | None = None


class RuleSet:
    """The rules in force, found by what they look at. `hash` names this very set.

    `lasting` is what somebody has to watch the time for: event type, state and seconds, for each rule that is not off.
    """

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self._rules = {rule.id: rule for rule in rules}
        self._by_type: dict[str, list[Rule]] = {}
        for rule in self:
            for kind in rule.types:
                self._by_type.setdefault(kind, []).append(rule)
        self._cares = _cares(self)
        self.lasting = frozenset(
            (rule.types[0], rule.lasting.state, rule.lasting.after_s)
            for rule in self
            if rule.lasting and rule.mode != "off"
        )
        self.hash = hash_of({rule.id: rule.hash for rule in self})

    def __iter__(self) -> Iterator[Rule]:
        return iter(self._rules.values())

    def __len__(self) -> int:
        return len(self._rules)

    def get(self, rule_id: str) -> Rule | None:
        """The rule of that id, or None."""
        return self._rules.get(rule_id)

    def of_type(self, event_type: str) -> list[Rule]:
        """The rules that look at events of this type, in the order of the files."""
        return self._by_type.get(event_type, [])

    @property
    def event_types(self) -> frozenset[str]:
        """Every type that some rule listens to: what sources have to watch for.

        A rule that is off looks at what comes anyway, but nothing is polled for its sake.
        """
        return frozenset(kind for kind, rules in self._by_type.items() if any(rule.mode != "off" for rule in rules))

    def cares(self, family: str) -> Cares | None:
        """How much the rules care for the events of a source: `family` is "alert.", "instance." or "impact.".

        None when no rule listens to it; one that is off does not.
        """
        return self._cares.get(family)

    @property
    def crons(self) -> frozenset[str]:
        """Every schedule of a rule."""
        return frozenset(rule.cron for rule in self if rule.cron)


def _cares(rules: Iterable[Rule]) -> dict[str, Cares]:
    found: dict[str, list[timedelta]] = {}
    for rule in rules:
        if rule.mode != "off":
            for family in {f"{kind.partition('.')[0]}." for kind in rule.types}:
                found.setdefault(family, []).extend([rule.within] if rule.within else [])
    return {family: Cares(min(wishes, default=None)) for family, wishes in found.items()}
