"""From one item of `rules:` to a `Rule`, or to every mistake in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from phinops.decide.calendarfile import read_active
from phinops.decide.document import Node
from phinops.decide.mistakes import InNode, keys_at, misspelt, validated
from phinops.decide.model import LimitsModel, RuleModel, WindowModel
from phinops.decide.plan import Steps
from phinops.decide.reading import Reading
from phinops.decide.rule import Limits, Rule, RuleStep, Window, hash_of
from phinops.decide.trigger import Trigger, read_trigger
from phinops.durations import format_duration
from phinops.event import ADDS, SCHEDULE

_ANY = (*ADDS, "hook.any", "custom.any")
"""Where `on` is wrong, the rest is checked as if it were any event, so that no mistake follows from that one."""

POLLED = ("instance.", "alert.", "impact.")
"""Events that Dataphin must be asked for."""

_LASTING = ("instance.", "alert.", "impact.")
"""Events of objects whose state can be read again when `for` is over."""


_WAIT = "it belongs to a step, `wait: { until: CONDITION, timeout: DURATION }`"
_STEP = "it belongs to each step, or for all of them below `defaults`"
_ON = "it stands below `on`, beside `event`"
_ELSEWHERE: Mapping[str, str] = {
    **dict.fromkeys(("until", "timeout"), _WAIT),
    **dict.fromkeys(("on_error", "retry", "verify"), _STEP),
    **dict.fromkeys(("count", "absent", "after"), _ON),
}
"""Keys of other places that are taken for keys of a rule."""


def build_rule(node: Node, reading: Reading) -> Rule | None:
    """The rule, or None; mistakes are in `reading.findings`, and a rule with any must not be used."""
    if not isinstance(node.value, dict):
        reading.findings.error("bad-value", node.place, "a rule is a mapping that begins with `id`")
        return None
    model = validated(RuleModel, node.plain(), InNode(node), reading.findings, _ELSEWHERE)
    on = node.value.get("on")
    trigger = read_trigger(on, reading.findings, reading.setting.hooks) if on else None
    types = trigger.opening if trigger else _ANY
    several = trigger is not None and trigger.pattern is not None
    language, names = reading.language, reading.names(types, several=several)
    reading.expression("if", node.value.get("if"), language.check_condition, names)
    _check_key(node.value.get("key"), trigger.types if trigger else types, several, reading)
    steps = Steps(reading, types, trigger is not None, several=several)
    do = node.value.get("do")
    plan = steps.read(do.value) if do and isinstance(do.value, list) else ()
    active = read_active(node.value.get("active"), reading.calendars, reading.findings)
    reading.blamed.extend(active.blamed)
    if trigger:
        _check_hold(node, trigger, reading)
        _check_absent(node, trigger, reading)
        _check_within(node, trigger, reading)
    if steps.writes and "mode" not in node.value and not misspelt("mode", node.value, keys_at(RuleModel, ())):
        message = "the rule writes to Dataphin or elsewhere, so it must say `mode: shadow` or `mode: armed`"
        reading.findings.error("mode-missing", node.place, message)
    if model is None or trigger is None:
        return None
    _check_age(node, model, trigger, reading)
    rule = _rule(node, reading, model, trigger, plan)
    return hashed(replace(rule, writes=steps.writes, active=active.calendars))


def hashed(rule: Rule) -> Rule:
    """The rule with the hash of what it means."""
    return replace(rule, hash=hash_of(rule.to_json()))


def _rule(node: Node, reading: Reading, model: RuleModel, trigger: Trigger, plan: tuple[RuleStep, ...]) -> Rule:
    return Rule(
        id=model.id,
        types=trigger.types,
        steps=plan,
        mode=model.mode or "armed",
        description=model.description,
        cron=trigger.cron,
        lasting=trigger.lasting,
        condition=model.if_ or "",
        hold=model.for_,
        key=model.key or "",
        cooldown=model.cooldown,
        concurrency=model.concurrency,
        limits=_limits(model.limits),
        max_age=model.max_age,
        within=model.within,
        inputs=reading.inputs,
        vars=reading.vars,
        pattern=trigger.pattern,
        file=reading.findings.file,
        line=node.line,
        column=node.column,
    )


def _check_key(node: Node | None, types: tuple[str, ...], several: bool, reading: Reading) -> None:
    """A key of several events must be had of each of them; one that asks with has() knows what it does."""
    before = reading.findings.errors
    reading.expression("key", node, reading.language.check_key, reading.names(types))
    if not several or node is None or not isinstance(node.value, str) or "has(" in node.value:
        return
    for kind in types if len(types) > 1 else ():
        if reading.findings.errors == before:
            reading.expression("key", node, reading.language.check_key, reading.names((kind,)))


def _check_absent(node: Node, trigger: Trigger, reading: Reading) -> None:
    if trigger.pattern is None or not trigger.pattern.awaited:
        return
    awaited = trigger.pattern.awaited
    if "for" in node.keys:
        message = f"«for» has nothing left to wait for: «within» of on is the time in which {awaited} must not come"
        reading.findings.error("bad-value", node.keys["for"].place, message)
    if "if" in node.keys and "key" not in node.keys:
        message = (
            f"«if» is not asked of {awaited}: without «key» any one of the tenant ends the wait. "
            "Say what belongs together, such as `key: event.instance.id`"
        )
        reading.findings.warning("absent-key", node.keys["if"].place, message)


def _check_hold(node: Node, trigger: Trigger, reading: Reading) -> None:
    if trigger.pattern and trigger.pattern.awaited:
        return  # an error of its own
    without = [kind for kind in trigger.types if not kind.startswith(_LASTING)]
    if "for" in node.keys and without:
        message = f"«for» only delays here: {', '.join(without)} has no state that could be read again"
        reading.findings.warning("only-delays", node.keys["for"].place, message)


def _check_age(node: Node, model: RuleModel, trigger: Trigger, reading: Reading) -> None:
    """What has waited for longer than `max_age` allows is too old when its turn comes."""
    pattern = trigger.pattern
    waits, key = (pattern.within, "within") if pattern and pattern.awaited else (model.for_, "for")
    if model.max_age and waits and model.max_age < waits:
        message = (
            f"after {format_duration(waits)} of «{key}» every event is older than «max_age: "
            f"{format_duration(model.max_age)}» allows: nothing fires this rule"
        )
        reading.findings.warning("never-fires", node.place_of_key(("max_age",)), message)


def _check_within(node: Node, trigger: Trigger, reading: Reading) -> None:
    if "within" in node.keys and not any(kind.startswith(POLLED) for kind in trigger.types):
        whys = ", ".join(f"{kind} {_heard(kind)}" for kind in trigger.types)
        message = f"«within» says how soon Dataphin is asked, and here it never is: {whys}"
        reading.findings.error("not-polled", node.keys["within"].place, message)


def _heard(kind: str) -> str:
    """How an event that is not polled becomes known."""
    if kind == SCHEDULE:
        return "comes at its time"
    return "is heard as soon as it is posted" if kind.startswith("hook.") else "is the daemon's own, heard at once"


def _limits(model: LimitsModel | None) -> Limits:
    if model is None:
        return Limits()
    downstream = model.downstream.max if model.downstream else None
    return Limits(_window(model.firings), _window(model.targets), downstream)


def _window(model: WindowModel | None) -> Window | None:
    return Window(model.max, model.per) if model else None
