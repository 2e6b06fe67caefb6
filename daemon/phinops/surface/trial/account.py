"""What happened between two looks at a trial: things done and told, firings and why there was none, what waits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from phinops.decide.decision import Facts
from phinops.decide.explain import explain
from phinops.decide.language import FALSE, Language
from phinops.decide.match import match
from phinops.decide.rule import Rule, RuleSet
from phinops.decide.testmodel import Kind
from phinops.event import Event, JsonObject
from phinops.firing import Firing, Intent
from phinops.record.chronicle import Chronicle
from phinops.record.timing import Received
from phinops.surface.trial.values import shown
from phinops.surface.trial.wire import Call

QUIET = ("wait",)
"""Steps that do nothing."""


@dataclass(frozen=True, slots=True)
class Done:
    """A step that was carried out. `params` are what was sent, `given` the parameters of its target.

    `quiet`: nothing was changed by it, so it need not be expected: a read, a wait, what a guard of ours refused.
    """

    kind: str
    api: str
    rule: str
    step: str
    given: Mapping[str, str]
    params: JsonObject
    outcome: str
    reason: str
    quiet: bool


@dataclass(frozen=True, slots=True)
class Told:
    """A notice to one notifier."""

    rule: str
    to: str
    title: str
    message: str
    severity: str


@dataclass(frozen=True, slots=True)
class Fired:
    """A firing as it is, on the event of which type."""

    firing: Firing
    event: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A rule that looked at an event and did not fire, or was stopped while it waited."""

    rule: str
    reason: str
    event: Event


@dataclass(frozen=True, slots=True)
class Pending:
    """Something that waits, until when where that is known."""

    rule: str
    kind: Kind
    key: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """What happened since the last look, each in its order; `pending` is what waits now."""

    done: tuple[Done, ...] = ()
    told: tuple[Told, ...] = ()
    fired: tuple[Fired, ...] = ()
    ended: tuple[Fired, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    pending: tuple[Pending, ...] = ()
    calls: tuple[Call, ...] = ()


@dataclass(slots=True)
class Accountant:
    """Gives accounts, each from the one before on."""

    language: Language
    _before: Chronicle = field(default_factory=Chronicle)
    _calls: int = 0

    def account(self, now: Chronicle, rules: RuleSet, calls: Sequence[Call]) -> Account:
        """What happened since the last account."""
        found = Account(
            done=tuple(self._done(now)),
            told=tuple(self._told(now)),
            fired=tuple(self._fired(now)),
            ended=tuple(self._ended(now)),
            skipped=tuple(self._skipped(now, rules)),
            pending=tuple(_pending(now)),
            calls=tuple(calls[self._calls :]),
        )
        self._before, self._calls = now, len(calls)
        return found

    def _new_steps(self, now: Chronicle) -> Iterator[tuple[Intent, Firing]]:
        firings = {firing.id: firing for firing in now.firings}
        for step in now.steps[len(self._before.steps) :]:
            if step.state != "absent":  # known not to have happened: the next attempt is a row of its own
                yield step, firings[step.firing_id]

    def _done(self, now: Chronicle) -> Iterator[Done]:
        for step, firing in self._new_steps(now):
            kind = firing.plan["steps"][step.n]["kind"]
            if kind != "notify":
                yield _done(step, firing, kind)

    def _told(self, now: Chronicle) -> Iterator[Told]:
        for step, firing in self._new_steps(now):
            said = step.request["params"]
            if step.kind == "notify" and step.outcome != "refused":
                for name in step.target_id.split(", "):
                    yield Told(firing.rule, name, said["title"], said["message"], said["severity"])

    def _open_before(self) -> frozenset[str]:
        return frozenset(firing.id for firing in self._before.firings if firing.ended_at is None)

    def _fired(self, now: Chronicle) -> Iterator[Fired]:
        types = _types(now)
        for firing in now.firings[len(self._before.firings) :]:
            if firing.state != "skipped":
                yield Fired(firing, types[firing.event_id])

    def _ended(self, now: Chronicle) -> Iterator[Fired]:
        types, born = _types(now), len(self._before.firings)
        was_open = self._open_before()
        for index, firing in enumerate(now.firings):
            if firing.ended_at is not None and firing.state != "skipped" and (index >= born or firing.id in was_open):
                yield Fired(firing, types[firing.event_id])

    def _skipped(self, now: Chronicle, rules: RuleSet) -> Iterator[Skipped]:
        events = {each.event.id: each.event for each in now.events}
        was_open = self._open_before()
        for firing in now.firings[: len(self._before.firings)]:
            if firing.state == "skipped" and firing.id in was_open:
                yield Skipped(firing.rule, firing.reason, events[firing.event_id])
        by_event: dict[str, list[Firing]] = {}
        for firing in now.firings[len(self._before.firings) :]:
            by_event.setdefault(firing.event_id, []).append(firing)
        for received in now.events[len(self._before.events) :]:
            firings = by_event.get(received.event.id, ())
            yield from (
                Skipped(firing.rule, firing.reason, received.event) for firing in firings if firing.state == "skipped"
            )
            looked = rules.of_type(received.event.type)
            silent = RuleSet(rule for rule in looked if all(firing.rule != rule.id for firing in firings))
            for found in match(self.language, silent, received.event, received.at):
                if found.verdict == FALSE:
                    yield Skipped(found.rule.id, self._why(found.rule, received), received.event)

    def _why(self, rule: Rule, received: Received) -> str:
        """Why the rule's condition is false, with the values of its first clause that is."""
        clause = explain(self.language, rule, received.event, Facts(received.at)).first_false
        assert clause
        values = ", ".join(f"{name} is {shown(value)}" for name, value in clause.values.items())
        return f"{FALSE.reason}: {' '.join(clause.text.split())}" + (f" ({values})" if values else "")


def _done(step: Intent, firing: Firing, kind: str) -> Done:
    given = {"project_id": step.project_id} if step.project_id else {}
    if step.target_kind in ("instance", "node") and kind != "call":
        given[f"{step.target_kind}_id"] = step.target_id
    # What was refused by somebody else has their answer.
    guarded = step.outcome == "refused" and not step.request_id and "status" not in step.result
    reason = step.result.get("reason") or step.result.get("verify") or step.result.get("settled") or ""
    return Done(
        kind=kind,
        api=step.api,
        rule=firing.rule,
        step=step.step_id,
        given=given,
        params=step.request["params"],
        outcome=step.outcome,
        reason=str(reason),
        quiet=guarded or step.kind == "read" or kind in QUIET,
    )


def _types(now: Chronicle) -> dict[str, str]:
    return {each.event.id: each.event.type for each in now.events}


def _pending(now: Chronicle) -> Iterator[Pending]:
    newest: dict[str, Intent] = {step.firing_id: step for step in now.steps}
    for firing in now.firings:
        if firing.ended_at is not None:
            continue
        if firing.state == "waiting":
            yield Pending(firing.rule, "for", firing.key, firing.wake_at)
        elif firing.state == "queued":
            yield Pending(firing.rule, "queued", firing.key)
        else:
            yield from _under_way(firing, newest.get(firing.id))


def _under_way(firing: Firing, step: Intent | None) -> Iterator[Pending]:
    """What a firing that has begun waits for, by its newest step."""
    if step is None:
        return
    if step.state == "waiting":
        yield Pending(firing.rule, "wait", firing.key, step.verify_until)
    elif step.state == "intent" or (step.outcome == "accepted" and step.verify_until):
        yield Pending(firing.rule, "verify", firing.key, step.verify_until)
    elif firing.wake_at is not None:
        yield Pending(firing.rule, "retry", firing.key, firing.wake_at)
