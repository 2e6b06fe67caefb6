"""Runs tests: each on a stage of its own, from its first step to the first expectation that is not met."""

from __future__ import annotations

import random
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from phinops.clock import SystemClock
from phinops.decide.blueprint import make_rule
from phinops.decide.rule import RuleSet
from phinops.record.chronicle import Chronicle
from phinops.surface.trial.account import Account, Accountant
from phinops.surface.trial.compare import Failure
from phinops.surface.trial.judge import judge, tell_skipped
from phinops.surface.trial.made import Maker
from phinops.surface.trial.script import (
    Answers,
    Becomes,
    Expects,
    Happens,
    Passes,
    Place,
    Reloads,
    Restarts,
    Says,
    Script,
    Step,
)
from phinops.surface.trial.stage import Stage, on_stage
from phinops.surface.trial.terms import Terms
from phinops.surface.trial.values import moment
from phinops.virtual import run
from phinops.why import Record

START = "2026-01-05T00:00"
"""What the clock of a test shows first, in the zone of the config."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a test. `rules`, `record` and `records` are what it tried, all that happened and what was made of
    each event, for who counts coverage.
    """

    script: Script
    failures: tuple[Failure, ...] = ()
    seconds: float = 0.0
    rules: RuleSet = field(default_factory=RuleSet)
    record: Chronicle = field(default_factory=Chronicle)
    records: Sequence[Record] = ()

    @property
    def passed(self) -> bool:
        """Whether everything was as expected."""
        return not self.failures


def try_script(terms: Terms, script: Script) -> Result:
    """Run the test. What trips phinops itself is a failure of the test, told with the traceback."""
    clock = SystemClock()
    began = clock.monotonic()
    lots = random.getstate()
    # What is drawn by lot, such as the pause before a call is repeated, is the same each time.
    random.seed(script.name)
    try:
        result = run(_live(terms, script))
    except Exception as error:  # noqa: BLE001 - one test must not end the others
        result = Result(script, (_broken(script.place, error),))
    finally:
        random.setstate(lots)
    return replace(result, seconds=clock.monotonic() - began)


def _broken(place: Place, error: Exception) -> Failure:
    inner: BaseException = error
    while isinstance(inner, BaseExceptionGroup):
        inner = inner.exceptions[0]
    last = traceback.extract_tb(inner.__traceback__)[-1]
    message = f"phinops failed: {type(inner).__name__}: {inner} ({last.name}, {last.filename}:{last.lineno})"
    return Failure(place, message, tuple("".join(traceback.format_exception(error)).splitlines()))


async def _live(terms: Terms, script: Script) -> Result:
    rules = script.rules
    if script.blueprint is not None:
        rule = make_rule(script.blueprint, script.values, terms.setting, terms.language)
        rules = (terms.put(rule),)
    mistakes = terms.load(rules, script.mode).errors
    if mistakes:
        notes = tuple(str(mistake) for mistake in mistakes)
        return Result(script, (Failure(script.place, "its rules have mistakes", notes),))
    start = moment(script.start or START, terms.config.timezone)
    async with on_stage(terms, rules, script.mode, start) as stage:
        play = _Play(script, stage)
        failures = await play.all()
        record = await stage.record()
        return Result(script, tuple(failures), 0.0, play.rules(), record, await stage.records(record.events))


class _Play:
    """One test under way."""

    def __init__(self, script: Script, stage: Stage) -> None:
        self._script = script
        self._stage = stage
        self._accountant = Accountant(stage.language, stage.zone)
        self._rules = [stage.rules]
        self._since = stage.now

    def rules(self) -> RuleSet:
        """Every rule that was in force, in the last version."""
        return RuleSet({rule.id: rule for rules in self._rules for rule in rules}.values())

    async def all(self) -> Sequence[Failure]:
        """Take the steps until one fails."""
        for number, step in enumerate(self._script.steps):
            failures = await self._take(number, step)
            if failures:
                return failures
        return ()

    async def _take(self, number: int, step: Step) -> Sequence[Failure]:
        stage = self._stage
        match step:
            case Happens():
                await self._happen(number, step)
            case Passes():
                return await self._pass(step)
            case Becomes():
                wrong = stage.tenant.become(step.parts, stage.now)
                return [Failure(step.place, wrong)] if wrong else ()
            case Answers():
                (stage.wire if step.model.api else stage.elsewhere).answer(step.model)
            case Restarts():
                await stage.kill()
                await stage.start()
            case _:
                return await self._judge(step)
        return ()

    async def _judge(self, step: Says | Reloads | Expects) -> Sequence[Failure]:
        match step:
            case Says():
                return await self._say(step)
            case Reloads():
                return await self._reload(step)
            case Expects():
                return await self._expect(step)

    async def _happen(self, number: int, step: Happens) -> None:
        stage = self._stage
        crons = {rule.id: rule.cron for rule in stage.rules if rule.cron}
        maker = Maker(stage.name, stage.tenant, crons)
        event = maker.make(step.fields, stage.now, self._script.name, str(number))
        stage.tenant.happened(event)
        await stage.bring(event)

    async def _pass(self, step: Passes) -> Sequence[Failure]:
        now = self._stage.now
        until = moment(step.until, self._stage.zone) if step.until else now + step.by
        if until < now:
            return [Failure(step.place, f"the clock shows {_shown(now)} already: it does not go back")]
        await self._stage.go_to(until)
        return ()

    async def _say(self, step: Says) -> Sequence[Failure]:
        wanted = step.model
        found = [
            each
            for each in await self._stage.asked()
            if wanted.rule in (None, each.rule) and wanted.step in (None, each.step_id)
        ]
        if len(found) != 1:
            open = ", ".join(f"{each.step_id} of {each.rule}" for each in found) or "none"
            return [Failure(step.place, f"it answers one question, and {len(found)} fit: {open}")]
        await self._stage.answer(found[0].id, step.said, wanted.by, wanted.reason)
        return ()

    async def _reload(self, step: Reloads) -> Sequence[Failure]:
        found = await self._stage.reload(step.rules)
        self._rules.append(self._stage.rules)
        if found.accepted:
            return ()
        notes = tuple(str(problem) for problem in found.problems if problem.severity == "error")
        return [Failure(step.place, "the rules that are read have mistakes", notes)]

    async def _expect(self, step: Expects) -> Sequence[Failure]:
        stage = self._stage
        record = await stage.record()
        records = await stage.records(self._accountant.new(record))
        account = self._accountant.account(record, records, stage.rules, stage.wire.calls, stage.now)
        failures = judge(step, account, stage.now, stage.zone)
        since, self._since = self._since, stage.now
        if not failures:
            return ()
        last = failures[-1]
        notes = (*last.notes, *_background(account, since, stage.now))
        return [*failures[:-1], Failure(last.place, last.message, notes)]


def _background(account: Account, since: datetime, now: datetime) -> list[str]:
    """What helps to see why something did not happen."""
    span = f"at {_shown(now)}" if since == now else f"from {_shown(since)} to {_shown(now)}"
    notes = [f"this is what happened {span}"]
    notes += [f"did not fire: {tell_skipped(each)}" for each in account.skipped]
    notes += [
        f"refused: step {each.step} of {each.rule}: {each.reason}" for each in account.done if each.outcome == "refused"
    ]
    notes += [
        f"{each.firing.state}: {each.firing.rule}: {each.firing.reason}"
        for each in account.ended
        if each.firing.state in ("failed", "needs_decision")
    ]
    if any(each.firing.mode == "shadow" for each in account.fired):
        notes.append(
            "the rule is in shadow: writes and waits pass at once. `mode: armed` in the test tries it as armed"
        )
    return notes


def _shown(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S")
