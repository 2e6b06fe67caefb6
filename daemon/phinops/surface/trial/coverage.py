"""What of the rules was tried: each rule, each clause of its conditions seen true and seen false, each step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from phinops.decide.clauses import clauses
from phinops.decide.language import Language
from phinops.decide.match import looks_at
from phinops.decide.rule import Rule, RuleSet
from phinops.decide.scope import Scope
from phinops.event import Event, JsonObject
from phinops.firing import Firing
from phinops.record.chronicle import Chronicle
from phinops.surface.trial.places import Places
from phinops.surface.trial.script import Place
from phinops.why import Record


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that no test has tried."""

    place: Place
    rule: str
    what: str


@dataclass(frozen=True, slots=True)
class Covered:
    """How much of one file's rules was tried, as pairs of tried and all."""

    file: Path
    rules: tuple[int, int]
    clauses: tuple[int, int]
    steps: tuple[int, int]
    gaps: tuple[Gap, ...]

    @property
    def percent(self) -> float:
        """The part of all of it that was tried, from 0 to 100."""
        return percent([self.rules, self.clauses, self.steps])


def percent(parts: Iterable[tuple[int, int]]) -> float:
    """How much of all parts together was tried; of nothing all is."""
    pairs = list(parts)
    whole = sum(all_ for _, all_ in pairs)
    return 100.0 if not whole else 100.0 * sum(tried for tried, _ in pairs) / whole


class Coverage:
    """Gathers what tests tried. A rule counts as tried when it fired once; clauses of a condition are what it says
    with `&&`, a condition without one is a single clause.
    """

    def __init__(self, language: Language) -> None:
        self._language = language
        self._rules: dict[tuple[str, str], Rule] = {}
        self._fired: set[tuple[str, str]] = set()
        self._steps: dict[tuple[str, str], set[int]] = defaultdict(set)
        self._clauses: dict[tuple[str, str, int | None, int], set[bool]] = defaultdict(set)

    def know(self, rules: RuleSet) -> None:
        """Expect these to be tried."""
        for rule in rules:
            self._rules.setdefault((rule.file, rule.id), rule)

    def add(self, rules: RuleSet, record: Chronicle, records: Sequence[Record]) -> None:
        """Count what one test has done with these rules; `records` are what was made of each event."""
        self.know(rules)
        events = {received.event.id: received for received in record.events}
        for each in records:
            self._look(rules, each)
        company = _companies(records)
        tried: dict[str, set[int]] = defaultdict(set)
        for step in record.steps:
            if step.outcome != "skipped":
                tried[step.firing_id].add(step.n)
        for firing in record.firings:
            rule_of = rules.get(firing.rule)
            if rule_of is None or firing.state == "skipped" or "reverses" in firing.plan:
                continue
            key = (rule_of.file, rule_of.id)
            self._fired.add(key)
            self._steps[key] |= tried[firing.id]
            on = events[firing.event_id]
            scope = Scope(
                firing.now or on.event, on.at, vars=rule_of.vars, inputs=rule_of.inputs, events=company[firing.id]
            )
            self._judge_steps(rule_of, firing, scope, tried[firing.id])

    def _look(self, rules: RuleSet, record: Record) -> None:
        event, at = record.event, record.decided_at
        for rule in rules.of_type(event.type):
            # What is to stay away is known by its key alone.
            if looks_at(rule, event) and not (rule.pattern and event.type == rule.pattern.awaited):
                events = record.company(rule.id) or (event,)
                scope = Scope(event, at, vars=rule.vars, inputs=rule.inputs, events=events)
                self._judge(rule, None, rule.condition, scope)

    def _judge_steps(self, rule: Rule, firing: Firing, scope: Scope, tried: set[int]) -> None:
        for n, step in enumerate(rule.steps):
            if step.condition and (n in tried or step.id in firing.results):
                before = {each.id: firing.results[each.id] for each in rule.steps[:n] if each.id in firing.results}
                self._judge(rule, n, step.condition, replace(scope, steps=before))

    def _judge(self, rule: Rule, n: int | None, condition: str, scope: Scope) -> None:
        for clause in clauses(condition) if condition else ():
            truth = self._language.holds(clause.text, scope).holds
            self._clauses[rule.file, rule.id, n, clause.offset].add(truth)

    def report(self) -> list[Covered]:
        """How much was tried, file by file, with everything that was not."""
        places = Places(self._rules.values())
        by_file: dict[str, list[Rule]] = defaultdict(list)
        for rule in self._rules.values():
            by_file[rule.file].append(rule)
        return [self._file(Path(file), rules, places) for file, rules in sorted(by_file.items())]

    def _file(self, file: Path, rules: list[Rule], places: Places) -> Covered:
        gaps: list[Gap] = []
        tried = defaultdict[str, list[bool]](list)
        for rule in rules:
            for kind, gap, was_tried in self._items(rule, places):
                tried[kind].append(was_tried)
                gaps += [] if was_tried else [gap]
        pairs = {kind: (sum(tried[kind]), len(tried[kind])) for kind in ("rule", "clause", "step")}
        return Covered(file, pairs["rule"], pairs["clause"], pairs["step"], tuple(gaps))

    def _items(self, rule: Rule, places: Places) -> Iterator[tuple[str, Gap, bool]]:
        key = (rule.file, rule.id)
        yield "rule", Gap(places.rule(rule), rule.id, "never fired"), key in self._fired
        yield from self._clauses_of(rule, None, rule.condition, places)
        for n, step in enumerate(rule.steps):
            gap = Gap(places.step(rule, n), rule.id, f"step {step.id} ({step.kind}) was never carried out")
            yield "step", gap, n in self._steps[key]
            yield from self._clauses_of(rule, n, step.condition, places)

    def _clauses_of(self, rule: Rule, n: int | None, condition: str, places: Places) -> Iterator[tuple[str, Gap, bool]]:
        for clause in clauses(condition) if condition else ():
            seen = self._clauses[rule.file, rule.id, n, clause.offset]
            for truth in (True, False):
                what = f"never {str(truth).lower()}: {' '.join(clause.text.split())}"
                yield "clause", Gap(places.clause(rule, clause.offset, n), rule.id, what), truth in seen


def _companies(records: Sequence[Record]) -> Mapping[str, tuple[Event, ...]]:
    """The events of each firing of a rule over several, oldest first."""
    found: dict[str, tuple[Event, ...]] = defaultdict(tuple)
    for record in sorted(records, key=lambda each: each.event.time):
        for place in record.places:
            if place.firing_id:
                found[place.firing_id] += (record.event,)
    return found


def to_json(covered: Covered) -> JsonObject:
    """The coverage of a file as `phinops test --coverage --json` prints it."""
    pairs: Mapping[str, tuple[int, int]] = {"rules": covered.rules, "clauses": covered.clauses, "steps": covered.steps}
    return {
        "file": str(covered.file),
        **{name: {"tried": tried, "of": whole} for name, (tried, whole) in pairs.items()},
        "percent": round(covered.percent, 1),
        "gaps": [
            {
                "file": str(gap.place.file),
                "line": gap.place.line,
                "column": gap.place.column,
                "rule": gap.rule,
                "what": gap.what,
            }
            for gap in covered.gaps
        ],
    }
