"""Why the rules did what they did about an event, or did nothing: told from the store, at any later time.

Nothing of it was written down as prose: the rules as they were, the event and the facts are read again, and the
functions that decided decide once more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo

from phinops.decide.decision import Facts
from phinops.decide.explain import Told, explain
from phinops.decide.language import Language
from phinops.decide.match import looks_at
from phinops.decide.rule import Rule
from phinops.event import Event, JsonObject, from_json
from phinops.firing import Firing
from phinops.record import journal, lists, rulesets, windows
from phinops.record.documents import from_text
from phinops.record.moments import from_micros
from phinops.record.tx import Snapshot

NO_SET = "which rules were in force then was not kept"


@dataclass(frozen=True, slots=True)
class Record:
    """Everything that the store has about one event: `kept` are the rules that were in force, None when unknown.

    `places` are what it was to rules over several events, `others` the events that their conditions were asked with.
    """

    event: Event
    decided_at: datetime
    kept: rulesets.KeptSet | None
    firings: Sequence[Firing]
    actions: Mapping[str, Sequence[JsonObject]]
    places: Sequence[windows.Place] = ()
    others: Mapping[str, Event] = field(default_factory=dict)

    def place(self, rule_id: str) -> windows.Place | None:
        """What the event was to that rule, or None."""
        return next((each for each in self.places if each.rule == rule_id), None)

    def company(self, rule_id: str) -> tuple[Event, ...]:
        """The events that the condition of that rule over several was asked with, none where it asks of the event."""
        place = self.place(rule_id)
        judged = place.facts if place else next((each.facts for each in self.firings if each.rule == rule_id), {})
        return self.before(Facts.from_json(judged)) if judged else ()

    def before(self, facts: Facts) -> tuple[Event, ...]:
        """The events that a condition was asked with."""
        ids = facts.window.before if facts.window else ()
        return tuple(self.others[each] for each in ids if each in self.others)


def gather(tx: Snapshot, name: str, zone: tzinfo) -> Record | None:
    """What is on record of an event, named by its own id or by that of one of its firings; None when nothing is."""
    if name.startswith("fi_"):
        firing = journal.firing_of(tx, name)
        name = firing.event_id if firing else name
    row = tx.one("get_event", id=name)
    if row is None:
        return None
    firings = journal.firings_on(tx, name)
    places = windows.places_of(tx, name)
    judged = [each.facts for each in places] + [each.facts for each in firings]
    asked = {each for facts in judged for each in facts.get("window", {}).get("before", ())}
    return Record(
        event=from_json(from_text(row["body"])),
        decided_at=from_micros(row["received_at"]),
        kept=rulesets.set_of(tx, row["rule_set"]) if row["rule_set"] else None,
        firings=firings,
        actions={each.id: lists.actions_of(tx, each.id, zone) for each in firings},
        places=places,
        others={each: event for each in asked if (event := journal.event_of(tx, each))},
    )


def why(language: Language, record: Record, rule_id: str = "", *, zone: tzinfo) -> list[JsonObject]:
    """One account for each rule that looked at the event, in the order of the files, and for each of its firings.

    `outcome` is `fired`, `skipped` by a guard, `counted` by a rule over several, or `no_match`. With `rule_id` only
    that rule is told of, and also one that did not look: `other_event`, or `not_in_force` where there was no such rule.
    Each is `{rule, version, event_id, time, outcome, state, reason, mode, key, condition, first_false, guards, history,
    firing, actions}`.
    """
    rules = [Rule.from_json(document) for document in record.kept.rules] if record.kept else []
    by_rule: dict[str, list[Firing]] = {}
    for firing in record.firings:
        by_rule.setdefault(firing.rule, []).append(firing)
    accounts: list[JsonObject] = []
    for rule in rules:
        own = by_rule.pop(rule.id, [])
        if rule_id in ("", rule.id):
            accounts += _of_rule(language, record, rule, own, named=bool(rule_id), zone=zone)
    for firings in by_rule.values():  # of rules that were not in force when the event came, or of an unknown set
        accounts += [_of_firing(language, record, each, zone) for each in firings if rule_id in ("", each.rule)]
    if rule_id and not accounts:
        accounts = [_account(record, rule_id, zone, "not_in_force", reason=_absent(record, rule_id))]
    return accounts


def _of_rule(
    language: Language, record: Record, rule: Rule, firings: Sequence[Firing], *, named: bool, zone: tzinfo
) -> list[JsonObject]:
    if firings:
        return [_of_firing(language, record, each, zone) for each in firings]
    if not looks_at(rule, record.event):
        reason = f"it looks at {', '.join(rule.types)}"
        return [_account(record, rule.id, zone, "other_event", rule=rule, reason=reason)] if named else []
    place = record.place(rule.id)
    if place is not None:
        return [_counted(language, record, rule, place, zone)]
    told = explain(language, rule, record.event, Facts(record.decided_at))
    return [_account(record, rule.id, zone, "no_match", rule=rule, reason=told.decision.reason, told=told)]


def _counted(language: Language, record: Record, rule: Rule, place: windows.Place, zone: tzinfo) -> JsonObject:
    """A place among others, or none where the condition did not hold of them; `firing` is the one that it has become
    part of since, or "".
    """
    facts = Facts.from_json(place.facts)
    told = explain(language, rule, record.event, facts, record.before(facts))
    outcome = "no_match" if told.decision.state == "no" else "counted"
    account = _account(record, rule.id, zone, outcome, rule=rule, reason=told.decision.reason, told=told)
    return {**account, "key": place.key, "firing": place.firing_id or ""}


def _of_firing(language: Language, record: Record, firing: Firing, zone: tzinfo) -> JsonObject:
    rule = Rule.from_json(firing.plan)
    facts = Facts.from_json(firing.facts) if firing.facts else Facts(record.decided_at)
    told = explain(language, rule, record.event, facts, record.before(facts))
    outcome = "skipped" if firing.state == "skipped" else "fired"
    return {
        **_account(record, rule.id, zone, outcome, rule=rule, reason=firing.reason, told=told),
        "state": firing.state,
        "key": firing.key,
        "history": facts.to_json()["history"] if firing.facts else None,
        "firing": firing.id,
        "mode": firing.mode,
        "actions": list(record.actions.get(firing.id, ())),
    }


def _account(
    record: Record,
    name: str,
    zone: tzinfo,
    outcome: str,
    *,
    rule: Rule | None = None,
    reason: str = "",
    told: Told | None = None,
) -> JsonObject:
    first = told.first_false if told else None
    objections = told.objections if told else {}
    return {
        "rule": name,
        "version": rule.hash if rule else "",
        "event_id": record.event.id,
        "time": record.decided_at.astimezone(zone).isoformat(),
        "outcome": outcome,
        "state": told.decision.state if told else "",
        "reason": reason,
        "mode": rule.mode if rule else "",
        "key": told.decision.key if told else "",
        "condition": told.condition.to_json(first) if told and told.condition else None,
        "first_false": first.text if first else "",
        "guards": [{"guard": guard, "reason": said} for guard, said in objections.items()],
        "history": None,
        "firing": "",
        "actions": [],
    }


def _absent(record: Record, rule_id: str) -> str:
    return f"no rule «{rule_id}» was in force" if record.kept else NO_SET
