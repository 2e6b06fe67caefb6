"""What was expected, compared with what happened; every difference is told with its place."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from phinops.decide.testfile import ABOUT_ACTIONS
from phinops.decide.testmodel import FiringModel, NotificationModel, PendingModel, SkippedModel, ToldModel
from phinops.durations import format_duration
from phinops.surface.trial.account import Account, Done, Fired, Pending, Skipped, Told
from phinops.surface.trial.script import Expects, Place
from phinops.surface.trial.values import moment


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that is not as it was expected; `notes` say more, a line each."""

    place: Place
    message: str
    notes: tuple[str, ...] = ()


def judge(expects: Expects, account: Account, now: datetime) -> list[Failure]:
    """Every expectation that is not met, in the order of the keys."""
    model = expects.model
    found: list[Failure] = []
    if model.actions is not None:
        found += _listed(expects, "actions", model.actions, account.done, _ACTIONS)
    if model.notifications is not None:
        notices = [each for notice in model.notifications for each in _one_each(notice)]
        found += _listed(expects, "notifications", notices, account.told, _NOTICES)
    if model.firings is not None:
        found += _listed(expects, "firings", model.firings, account.fired, _FIRINGS)
    if model.ended is not None:
        found += _listed(expects, "ended", model.ended, account.ended, _FIRINGS)
    if model.skipped is not None:
        found += _listed(expects, "skipped", model.skipped, account.skipped, _SKIPPED)
    if model.pending is not None:
        found += _listed(expects, "pending", model.pending, account.pending, _pendings(now))
    if model.calls is not None:
        found += _counted(expects, model.calls, account)
    return found


@dataclass(frozen=True, slots=True)
class _Way:
    """How two lists are compared: `differs` says in what way one is not as expected, "" where it is; `tell` names what
    happened, `wanted` what was expected; what is `quiet` may be left out. Of an `open` list also what is quiet is too
    much where nothing is expected.
    """

    differs: Callable[[Any, Any], str]
    tell: Callable[[Any], str]
    wanted: Callable[[Any], str]
    quiet: Callable[[Any], bool] = lambda _: False
    ordered: bool = True
    open: bool = False


def _listed(expects: Expects, key: str, wanted: Sequence[Any], happened: Sequence[Any], way: _Way) -> Iterator[Failure]:
    left = list(happened)
    for index, each in enumerate(wanted):
        place = expects.at(key, index)
        found = _find(each, left, way)
        if found is None:
            yield Failure(place, _missing(key, each, left, way), _lists(wanted, happened, way))
            return
        del left[slice(0 if way.ordered else found, found + 1)]
    beyond = [each for each in left if not way.quiet(each) or (way.open and not wanted)]
    if beyond:
        message = f"{key}: {way.tell(beyond[0])} was not expected"
        yield Failure(expects.at(key), message, _lists(wanted, happened, way))


def _find(wanted: Any, left: Sequence[Any], way: _Way) -> int | None:
    """Where the wanted one is among those left, of which only quiet ones may come before it."""
    for index, each in enumerate(left):
        if not way.differs(wanted, each):
            return index
        if way.ordered and not way.quiet(each):
            return None
    return None


def _missing(key: str, wanted: Any, left: Sequence[Any], way: _Way) -> str:
    loud = [each for each in left if not way.quiet(each)] or list(left)
    if not loud:
        return f"{key}: {way.wanted(wanted)} did not happen"
    return f"{key}: expected {way.wanted(wanted)}, but {way.differs(wanted, loud[0])}"


def _lists(wanted: Sequence[Any], happened: Sequence[Any], way: _Way) -> tuple[str, ...]:
    return (
        *(f"expected  {way.wanted(each)}" for each in wanted or ()),
        *(("expected  nothing",) if not wanted else ()),
        *(f"happened  {way.tell(each)}" for each in happened),
        *(("happened  nothing",) if not happened else ()),
    )


# Actions


def _kind_of(wanted: Mapping[str, Any]) -> str:
    return next((key for key in wanted if key not in ABOUT_ACTIONS and key != "with"), "")


def _action_differs(wanted: Mapping[str, Any], done: Done) -> str:
    kind = _kind_of(wanted)
    if kind != done.kind:
        return f"{_tell_action(done)} came"
    about = {"outcome": done.outcome, "rule": done.rule, "step": done.step}
    for name in ABOUT_ACTIONS:
        if name in wanted and wanted[name] != about[name]:
            return f"its {name} is {about[name] or 'open'}"
    return _params_differ(kind, wanted, done)


def _params_differ(kind: str, wanted: Mapping[str, Any], done: Done) -> str:
    given = wanted[kind]
    if kind == "call":
        if given not in (None, done.api):
            return f"{_tell_action(done)} came"
        return _differ("with", wanted.get("with") or {}, done.params)
    if not isinstance(given, Mapping):
        return "" if given is None else _differ(kind, given, done.params.get(kind, done.params))
    for name, value in given.items():
        happened = done.given.get(name, done.params.get(name))
        if found := _differ(name, value, happened):
            return found
    return ""


def _differ(name: str, wanted: Any, happened: Any) -> str:
    """How something differs from what is wanted, "" if it does not: of mappings only the keys that are named count."""
    if isinstance(wanted, Mapping):
        if not isinstance(happened, Mapping):
            return f"{name} is {_shown(happened)}"
        found = (_differ(f"{name}.{key}", value, happened.get(key)) for key, value in wanted.items())
        return next((each for each in found if each), "")
    if isinstance(wanted, list | tuple) and isinstance(happened, list | tuple) and len(wanted) == len(happened):
        pairs = enumerate(zip(wanted, happened, strict=True))
        return next((each for n, (one, two) in pairs if (each := _differ(f"{name}[{n}]", one, two))), "")
    if wanted == happened and isinstance(wanted, bool) == isinstance(happened, bool):
        return ""
    if _plain(wanted) and _plain(happened) and str(wanted) == str(happened):
        return ""  # an id of digits is a number to YAML
    return f"{name} is {_shown(happened)}"


def _plain(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _tell_action(done: Done) -> str:
    said = {**done.given} or done.params
    name = f"call: {done.api}" if done.kind == "call" else done.kind
    outcome = f", {done.outcome}" if done.outcome else ""
    reason = f": {done.reason}" if done.outcome == "refused" and done.reason else ""
    return f"{name} {_shown(said)} by {done.rule}{outcome}{reason}"


def _wanted_action(wanted: Mapping[str, Any]) -> str:
    kind = _kind_of(wanted)
    beside = {name: value for name, value in wanted.items() if name != kind}
    inner = _shown(wanted.get(kind)) if wanted.get(kind) is not None else ""
    return " ".join(
        part
        for part in (
            f"call: {inner}" if kind == "call" else f"{kind} {inner}".strip(),
            _shown(beside) if beside else "",
        )
        if part
    )


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_shown(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_shown, value)) + "]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


_ACTIONS = _Way(_action_differs, _tell_action, _wanted_action, lambda done: done.quiet)


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
    said = {name: _shown(text.model_dump(by_alias=True, exclude_none=True)) for name, text in texts if text}
    beside = {"severity": wanted.severity} if wanted.severity else {}
    to = f"to {', '.join(wanted.to)}" if wanted.to else "a notice"
    return f"{to} {_shown({**beside, **said})}" if beside or said else to


_NOTICES = _Way(_notice_differs, _tell_notice, _wanted_notice)


# Firings


def _firing_differs(wanted: FiringModel, fired: Fired) -> str:
    firing = fired.firing
    if wanted.rule != firing.rule:
        return f"it is of {firing.rule}"
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
    return f"{told} {_shown(steps)}" if steps else told


def _wanted_model(wanted: Any) -> str:
    said = wanted.model_dump(by_alias=True, exclude_none=True)
    shown = {name: format_duration(value) if name == "in" else value for name, value in said.items() if name != "rule"}
    return f"{wanted.rule} {_shown(shown)}" if shown else str(wanted.rule)


_FIRINGS = _Way(_firing_differs, _tell_firing, _wanted_model)


# What did not fire


def _skipped_differs(wanted: SkippedModel, skipped: Skipped) -> str:
    if wanted.rule != skipped.rule:
        return f"it is of {skipped.rule}"
    if wanted.event is not None and wanted.event != skipped.event.type:
        return f"it is on {skipped.event.type}"
    return "" if (wanted.reason or "") in skipped.reason else f"its reason is «{skipped.reason}»"


def tell_skipped(skipped: Skipped) -> str:
    """Why a rule did not fire, for people."""
    return f"{skipped.rule} on {skipped.event.type}: {skipped.reason}"


_SKIPPED = _Way(_skipped_differs, tell_skipped, _wanted_model, lambda _: True, open=True)


# What waits


def _pendings(now: datetime) -> _Way:
    def differs(wanted: PendingModel, pending: Pending) -> str:
        if wanted.rule != pending.rule:
            return f"it is of {pending.rule}"
        if wanted.kind is not None and wanted.kind != pending.kind:
            return f"its kind is {pending.kind}"
        if wanted.key is not None and wanted.key != pending.key:
            return f"its key is {pending.key}"
        due = now + wanted.in_ if wanted.in_ else moment(wanted.until, now.tzinfo) if wanted.until else None  # type: ignore[arg-type]
        return "" if due is None or due == pending.until else f"it waits {_until(pending, now)}"

    def tell(pending: Pending) -> str:
        return f"{pending.rule} {{kind: {pending.kind}, key: {pending.key}}} {_until(pending, now)}"

    return _Way(differs, tell, _wanted_model, ordered=False)


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
