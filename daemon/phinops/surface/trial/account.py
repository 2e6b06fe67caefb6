"""What happened between two looks at a trial: things done and told, firings and why there was none, what waits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo

from phinops.decide.language import Language
from phinops.decide.rule import RuleSet
from phinops.event import Event, JsonObject
from phinops.firing import Firing, Intent, has_told
from phinops.record.chronicle import Chronicle
from phinops.record.timing import Received
from phinops.surface.trial.pending import Pending, pending
from phinops.surface.trial.values import shown
from phinops.surface.trial.wire import Call
from phinops.why import Record, why

QUIET = ("wait", "approve")
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
    """A rule that looked at an event and did not fire, be it that it only counts, or was stopped while it waited."""

    rule: str
    reason: str
    event: Event


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
    """Gives accounts, each from the one before on, told in `zone`."""

    language: Language
    zone: tzinfo
    _before: Chronicle = field(default_factory=Chronicle)
    _calls: int = 0

    def new(self, now: Chronicle) -> Sequence[Received]:
        """The events since the last account."""
        return now.events[len(self._before.events) :]

    def account(
        self, now: Chronicle, records: Sequence[Record], rules: RuleSet, calls: Sequence[Call], at: datetime
    ) -> Account:
        """What happened since the last account, at the moment `at`; `records` are what is on record of `new` events."""
        found = Account(
            done=tuple(self._done(now)),
            told=tuple(self._told(now)),
            fired=tuple(self._fired(now)),
            ended=tuple(self._ended(now)),
            skipped=tuple(self._skipped(now, records)),
            pending=tuple(pending(now, rules, at)),
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
            if has_told(step):
                for name in filter(None, step.target_id.split(", ")):
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

    def _skipped(self, now: Chronicle, records: Sequence[Record]) -> Iterator[Skipped]:
        events = {each.event.id: each.event for each in now.events}
        known, was_open = {each.id for each in self._before.firings}, self._open_before()
        new = {record.event.id for record in records}
        for firing in now.firings:
            # One may be born on an event of before: one that came late completed what it is about.
            news = firing.id in was_open or (firing.id not in known and firing.event_id not in new)
            if firing.state == "skipped" and news:
                yield Skipped(firing.rule, firing.reason, events[firing.event_id])
        for record in records:
            for firing in record.firings:
                if firing.state == "skipped" and firing.id not in was_open:
                    yield Skipped(firing.rule, firing.reason, record.event)
            for told in why(self.language, record, zone=self.zone):
                if told["outcome"] in ("no_match", "counted") and not told["firing"]:
                    yield Skipped(told["rule"], _because(told), record.event)


def _because(told: JsonObject) -> str:
    """Why the rule did not fire: of a condition that is false, with the values of its first clause that is."""
    if told["outcome"] == "counted":
        return str(told["reason"])
    clause = _named(told["condition"], told["first_false"])
    values = ", ".join(f"{name} is {shown(value)}" for name, value in clause["values"].items())
    return f"{told['reason']}: {' '.join(clause['text'].split())}" + (f" ({values})" if values else "")


def _named(clause: JsonObject, text: str) -> JsonObject:
    """The clause with that text that does not hold, among this one and its parts."""
    parts = (part for part in clause["parts"] if not part["holds"])
    found = (_named(part, text) for part in parts if text in part["text"])
    return clause if clause["text"] == text else next(found)


def _done(step: Intent, firing: Firing, kind: str) -> Done:
    given = {"project_id": step.project_id} if step.project_id else {}
    if step.target_kind in ("instance", "node") and kind != "call":
        given[f"{step.target_kind}_id"] = step.target_id
    given |= step.request.get("given", {})
    # What was refused by somebody else has their answer.
    guarded = step.state == "skipped" or (
        step.outcome == "refused" and not step.request_id and "status" not in step.result
    )
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
