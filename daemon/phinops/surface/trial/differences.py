"""What two rule sets decided on the same events: what was added, removed and changed, and what each would have cost."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Literal

from phinops.event import JsonObject
from phinops.surface.trial.replay import Lived

Change = Literal["added", "removed", "changed"]

Key = tuple[str, str]
"""An event's subject, and a rule."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A decision that is another one: `what` are the parts in which it is. `old` or `new` is None where there is none.

    A decision was added when the rule fires now and did not, removed when it was the other way round.
    """

    change: Change
    at: str
    event: JsonObject
    subject: str
    rule: str
    what: tuple[str, ...]
    old: JsonObject | None
    new: JsonObject | None

    @property
    def event_id(self) -> str:
        """The id of the event, or of the recorded one that led to it."""
        return self.subject.partition(",")[0]


def differences(old: Lived, new: Lived, *, texts: bool) -> list[Difference]:
    """Every decision that differs, in the order of the events. `texts`: what notices say counts too."""
    one, two = _by_key(old), _by_key(new)
    known = {each["subject"]: each for each in (*old.events, *new.events)}
    found = []
    for subject, rule in sorted({**one, **two}, key=lambda key: (known[key[0]]["at"], *key)):
        pairs = zip_longest(one.get((subject, rule), ()), two.get((subject, rule), ()))
        for before, after in pairs:
            if (change := _compared(before, after, texts)) is not None:
                each = known[subject]
                found.append(Difference(change[0], each["at"], each["event"], subject, rule, change[1], before, after))
    return found


def _by_key(lived: Lived) -> dict[Key, list[JsonObject]]:
    found: dict[Key, list[JsonObject]] = defaultdict(list)
    for each in lived.events:
        for decision in each["decisions"]:
            found[each["subject"], decision["rule"]].append(decision)
    return found


def fired(decision: JsonObject | None) -> bool:
    """Whether the rule did something about the event, or waits for it."""
    return decision is not None and decision["state"] != "skipped"


def _compared(old: JsonObject | None, new: JsonObject | None, texts: bool) -> tuple[Change, tuple[str, ...]] | None:
    if fired(old) != fired(new):
        return ("added" if fired(new) else "removed"), ()
    if old is None or new is None:
        return None  # skipped by the one, and not even looked at by the other
    what = tuple(_parts(old, new, texts))
    return ("changed", what) if what else None


def _parts(old: JsonObject, new: JsonObject, texts: bool) -> Iterator[str]:
    if not fired(old):
        if _guard(old) != _guard(new):
            yield "reason"
        return
    if old["mode"] != new["mode"]:
        yield "mode"
    if old["actions"] != new["actions"]:
        yield "actions"
    named = ("to", "severity", "title", "message") if texts else ("to", "severity")
    if _notices(old, named) != _notices(new, named):
        yield "notices"


def _guard(decision: JsonObject) -> str:
    """What stopped it, without how long it still has to wait."""
    return str(decision["reason"]).partition(":")[0]


def _notices(decision: JsonObject, named: Sequence[str]) -> list[tuple[Any, ...]]:
    return [tuple(notice[name] for name in named) for notice in decision["notices"]]


def new_writes(old: Lived, new: Lived) -> list[JsonObject]:
    """Writes that the new rules send and the old ones do not, whichever rule sends them: `{at, rule, ...action}`."""
    left = Counter(_write_keys(old))
    found = []
    for each in new.events:
        for decision in each["decisions"]:
            for action in decision["actions"] if decision["mode"] == "armed" else ():
                key = _write_key(each["subject"], action)
                if left[key] > 0:
                    left[key] -= 1
                else:
                    found.append(
                        {"at": each["at"], "event_id": each["event"]["id"], "rule": decision["rule"], **action}
                    )
    return found


def _write_keys(lived: Lived) -> Iterator[tuple[str, ...]]:
    for each in lived.events:
        for decision in each["decisions"]:
            if decision["mode"] == "armed":
                yield from (_write_key(each["subject"], action) for action in decision["actions"])


def _write_key(subject: str, action: Mapping[str, Any]) -> tuple[str, ...]:
    return subject.partition(",")[0], str(action["api"]), str(action["target"]), str(sorted(action["params"].items()))


def cost(lived: Lived, *, told: bool = True) -> JsonObject:
    """`{fired, skipped, writes, shadow_writes, notices, calls}`; `calls` by level, None where they were not counted."""
    decisions = [decision for each in lived.events for decision in each["decisions"]]
    armed = [decision for decision in decisions if decision["mode"] == "armed"]
    return {
        "fired": sum(fired(each) for each in decisions),
        "skipped": sum(not fired(each) for each in decisions),
        "writes": sum(len(each["actions"]) for each in armed),
        "shadow_writes": sum(len(each["actions"]) for each in decisions) - sum(len(each["actions"]) for each in armed),
        "notices": sum(len(each["notices"]) for each in armed),
        "calls": {str(level): lived.calls.get(level, 0) for level in (1, 2, 3)} if told else None,
    }


def to_json(difference: Difference) -> JsonObject:
    """A difference as `phinops backtest --json` prints it."""
    return {
        "change": difference.change,
        "time": difference.at,
        "rule": difference.rule,
        "event_id": difference.event_id,
        "event_type": difference.event["type"],
        "subject": difference.subject,
        "what": list(difference.what),
        "old": difference.old,
        "new": difference.new,
    }
