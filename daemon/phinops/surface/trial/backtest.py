"""One backtest: recorded events fetched, lived through under one or two rule sets, and compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from phinops.config import Config
from phinops.decide.load import TESTS
from phinops.decide.rule import Rule
from phinops.errors import PhinopsError
from phinops.event import JsonObject
from phinops.problem import Problem
from phinops.surface.trial.differences import Change, Difference, cost, differences, new_writes, to_json
from phinops.surface.trial.replay import Lived, live, memory
from phinops.surface.trial.stage import DAWN
from phinops.surface.trial.terms import Terms, make_terms

Fetch = Callable[[datetime, int], JsonObject]
"""A page of recorded events, received since a moment and after a number, as `record.recorded.page` tells it."""


class Mistaken(PhinopsError):
    """The rules have mistakes."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("the rules have mistakes")
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be tried: the events of a tenant, those of the last `since` before the newest, under `rules`.

    They are compared with `against`, or where that is empty with what was decided.
    """

    tenant: str
    since: timedelta
    rules: tuple[Path, ...]
    against: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Backtest:
    """What came of it. `old` and `new` are what each of the two cost; `against` names the old ones, "" as recorded.

    `pruned` is the moment before which nothing is on record any more, "" where that is not asked for.
    """

    since: str
    events: int
    against: str
    differences: Sequence[Difference]
    new_writes: Sequence[JsonObject]
    old: JsonObject
    new: JsonObject
    pruned: str = ""

    def count(self, change: Change) -> int:
        """How many decisions changed in that way."""
        return sum(each.change == change for each in self.differences)

    def to_json(self) -> JsonObject:
        """As `phinops backtest --json` prints it."""
        return {
            "since": self.since,
            "pruned": self.pruned or None,
            "events": self.events,
            "against": self.against,
            **{change: self.count(change) for change in ("added", "removed", "changed")},
            "differences": [to_json(each) for each in reversed(self.differences)],
            "new_writes": list(self.new_writes),
            "cost": {"old": self.old, "new": self.new},
        }


def run_backtest(own: Config, asked: Asked, fetch: Fetch, folder: Path) -> Backtest:
    """Run it; the same records and rules give the same result. `folder` is for files that it needs meanwhile.

    Raises:
        Mistaken: rules have mistakes.
        PhinopsError: the records cannot be had.
    """
    terms = make_terms(own, folder, asked.tenant)
    terms.shadow = own.rules.at_most == "shadow"
    rules = [*_loaded(terms, asked.rules), *_loaded(terms, asked.against)]
    first = fetch(DAWN, 0)
    newest, pruned = first["newest"], first.get("pruned")  # a daemon of an earlier version does not tell
    if newest is None:
        return Backtest("", 0, _names(asked.against), (), (), cost(Lived(())), cost(Lived(())))
    since = datetime.fromisoformat(newest) - asked.since
    recorded = _recorded(fetch, since - memory(rules))
    told = [each for each in recorded if datetime.fromisoformat(each["at"]) >= since]
    new = live(terms, asked.rules, recorded, since)
    old = live(terms, asked.against, recorded, since) if asked.against else Lived(told)
    return Backtest(
        since=since.astimezone(own.timezone).isoformat(),
        events=len(told),
        against=_names(asked.against),
        differences=differences(old, new, texts=bool(asked.against)),
        new_writes=new_writes(old, new),
        old=cost(old, told=bool(asked.against)),
        new=cost(new),
        pruned=pruned if pruned and datetime.fromisoformat(pruned) > since else "",
    )


def _loaded(terms: Terms, paths: Sequence[Path]) -> Sequence[Rule]:
    if not paths:
        return ()
    loaded = terms.load(paths)
    mistakes = [each for each in loaded.errors if not each.file.endswith(TESTS)]
    if mistakes:
        raise Mistaken(mistakes)
    return tuple(loaded.rules)


def _recorded(fetch: Fetch, since: datetime) -> list[JsonObject]:
    found: list[JsonObject] = []
    after: int | None = 0
    while after is not None:
        page = fetch(since, after)
        found += page["events"]
        after = page["next"]
    return found


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(map(str, paths))
