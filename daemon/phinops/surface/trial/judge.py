"""What was expected, compared with what happened; every difference is told with its place."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, tzinfo

from phinops.decide.testmodel import FiringModel, NotificationModel, PendingModel, SkippedModel, ToldModel
from phinops.durations import format_duration
from phinops.surface.trial.account import Account, Fired, Skipped, Told
from phinops.surface.trial.actions import ACTIONS
from phinops.surface.trial.compare import OF_ANOTHER, Failure, Way, listed
from phinops.surface.trial.pending import Pending
from phinops.surface.trial.script import Expects
from phinops.surface.trial.values import moment, shown


def judge(expects: Expects, account: Account, now: datetime, zone: tzinfo) -> list[Failure]:
    """Every expectation that is not met, in the order of the keys. Times without a zone are in `zone`."""
    model = expects.model
    found: list[Failure] = []
    if model.actions is not None:
        found += listed(expects, "actions", model.actions, account.done, ACTIONS)
    if model.notifications is not None:
        notices = [each for notice in model.notifications for each in _one_each(notice)]
        found += listed(expects, "notifications", notices, account.told, _NOTICES)
    if model.firings is not None:
        found += listed(expects, "firings", model.firings, account.fired, _FIRINGS)
    if model.ended is not None:
        found += listed(expects, "ended", model.ended, account.ended, _FIRINGS)
    if model.skipped is not None:
        found += listed(expects, "skipped", model.skipped, account.skipped, _SKIPPED)
    if model.pending is not None:
        found += listed(expects, "pending", model.pending, account.pending, _pendings(now, zone))
    if model.calls is not None:
        found += _counted(expects, model.calls, account)
    return found


# Notices


def _one_each(notice: NotificationModel) -> Iterator[NotificationModel]:
    if not notice.to:
        yield notice
    for name in notice.to or ():
        yield notice.model_copy(update={"to": [name]})


def _notice_differs(wanted: NotificationModel, told: Told) -> str:
    if wanted.to and wanted.to != [told.to]:
        return f"it is to {told.to}"
    if wanted.severity and wanted.severity != told.severity:
        return f"its severity is {told.severity}"
    for name, text, happened in (("title", wanted.title, told.title), ("message", wanted.message, told.message)):
        if text is not None and not _says(text, happened):
            return f"its {name} is «{happened.strip()}»"
    return ""


def _says(wanted: ToldModel, text: str) -> bool:
    if wanted.matches is not None:
        return re.search(wanted.matches, text) is not None
    if wanted.contains is not None:
        return wanted.contains in text
    return (wanted.is_ or "").strip() == text.strip()


def _tell_notice(told: Told) -> str:
    return f"to {told.to} ({told.severity}) «{told.title.strip()}» «{told.message.strip()}»"


def _wanted_notice(wanted: NotificationModel) -> str:
    texts = ((name, getattr(wanted, name)) for name in ("title", "message"))
    said = {name: _wanted_text(text) for name, text in texts if text}
    beside = {"severity": wanted.severity} if wanted.severity else {}
    to = f"to {', '.join(wanted.to)}" if wanted.to else "a notice"
    return f"{to} {shown({**beside, **said})}" if beside or said else to


def _wanted_text(wanted: ToldModel) -> str:
    """As the test has it: a whole text stands there by itself."""
    if wanted.is_ is not None:
        return wanted.is_.strip()
    return shown(wanted.model_dump(by_alias=True, exclude_none=True))


_NOTICES = Way(_notice_differs, _tell_notice, _wanted_notice)


# Firings


def _firing_differs(wanted: FiringModel, fired: Fired) -> str:
    firing = fired.firing
    if wanted.rule != firing.rule:
        return f"{OF_ANOTHER}{firing.rule}"
    for name, value, happened in (
        ("event", wanted.event, fired.event),
        ("key", wanted.key, firing.key),
        ("mode", wanted.mode, firing.mode),
        ("state", wanted.state, firing.state),
    ):
        if value is not None and value != happened:
            return f"its {name} is {happened}"
    if wanted.reason is not None and wanted.reason not in firing.reason:
        return f"its reason is «{firing.reason}»"
    for step, outcome in (wanted.steps or {}).items():
        came = firing.results[step].outcome if step in firing.results else "open"
        if came != outcome:
            return f"step {step} is {came}"
    return ""


def _tell_firing(fired: Fired) -> str:
    firing = fired.firing
    steps = {step: result.outcome for step, result in firing.results.items()}
    reason = f": {firing.reason}" if firing.reason else ""
    told = f"{firing.rule} on {fired.event}, {firing.mode}, {firing.state}{reason}"
    return f"{told} {shown(steps)}" if steps else told


def _wanted_model(wanted: FiringModel | SkippedModel | PendingModel) -> str:
    said = wanted.model_dump(by_alias=True, exclude_none=True)
    rest = {name: format_duration(value) if name == "in" else value for name, value in said.items() if name != "rule"}
    return f"{wanted.rule} {shown(rest)}" if rest else str(wanted.rule)


_FIRINGS = Way(_firing_differs, _tell_firing, _wanted_model)


# What did not fire


def _skipped_differs(wanted: SkippedModel, skipped: Skipped) -> str:
    if wanted.rule != skipped.rule:
        return f"{OF_ANOTHER}{skipped.rule}"
    if wanted.event is not None and wanted.event != skipped.event.type:
        return f"it is on {skipped.event.type}"
    return "" if (wanted.reason or "") in skipped.reason else f"its reason is «{skipped.reason}»"


def tell_skipped(skipped: Skipped) -> str:
    """Why a rule did not fire, for people."""
    return f"{skipped.rule} on {skipped.event.type}: {skipped.reason}"


_SKIPPED = Way(_skipped_differs, tell_skipped, _wanted_model, lambda _: True, open=True)


# What waits


def _pendings(now: datetime, zone: tzinfo) -> Way:
    def differs(wanted: PendingModel, pending: Pending) -> str:
        if wanted.rule != pending.rule:
            return f"{OF_ANOTHER}{pending.rule}"
        if wanted.kind is not None and wanted.kind != pending.kind:
            return f"its kind is {pending.kind}"
        if wanted.key is not None and wanted.key != pending.key:
            return f"its key is {pending.key}"
        dues = _dues(wanted, now, zone)
        return "" if all(due == pending.until for due in dues) else f"it waits {_until(pending, now)}"

    def tell(pending: Pending) -> str:
        return f"{pending.rule} {{kind: {pending.kind}, key: {pending.key}}} {_until(pending, now)}"

    return Way(differs, tell, _wanted_model, ordered=False)


def _dues(wanted: PendingModel, now: datetime, zone: tzinfo) -> Iterator[datetime]:
    if wanted.in_ is not None:
        yield now + wanted.in_
    if wanted.until is not None:
        yield moment(wanted.until, zone)


def _until(pending: Pending, now: datetime) -> str:
    if pending.until is None:
        return "for its turn" if pending.kind == "queued" else "for an unknown time"
    return f"for {format_duration(pending.until - now)}, until {pending.until.astimezone(now.tzinfo).isoformat()}"


# Calls


def _counted(expects: Expects, wanted: Mapping[str, int], account: Account) -> Iterator[Failure]:
    made = Counter(str(call.level) for call in account.calls)
    for level, number in wanted.items():
        count = made[level] if level else made.total()
        if count != number:
            of = f" of level {level}" if level else ""
            names = ", ".join(
                f"{name} ({times})" for name, times in sorted(Counter(c.api for c in account.calls).items())
            )
            place = expects.at("calls", level) if level else expects.at("calls")
            yield Failure(place, f"calls: {count}{of} were made, {number} expected", (f"happened  {names or 'none'}",))
