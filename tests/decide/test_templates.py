"""Texts: what they become, what stops them, what check says."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from happenings import ALERT, FAILED, HOOK, NOW, STEPS, VARS
from phinops.decide.language import Language
from phinops.decide.scope import CannotEvaluate, Names, Scope
from phinops.decide.templates import MAX_TEMPLATE
from settings import SHANGHAI

LANGUAGE = Language(SHANGHAI)
SCOPE = Scope(FAILED, NOW, STEPS, VARS)
NAMES = Names(("instance.failed",), ("rerun",), frozenset(VARS))


PIECES = st.sampled_from(
    ["{{ ", " }}", "{% ", " %}", "{# ", " #}", "event", ".node", ".name", ".raw", ".x", "steps", ".rerun", ".outcome",
     "vars", " | ", "upper", "default('x')", " is ", "defined", "not ", "(", ")", "[0]", "'a'", '"', "range(3)",
     "if ", "for i in ", "endif", "endfor", "raw", "endraw", "set x = ", "{", "}", ", ", "-", "é", "\n", "\x00",
     "bizdate(", "now", "macro m() "]
)  # fmt: skip


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("plain", "plain"),
        ("{{ event.node.name }} still fails", "dws_orders still fails"),
        ("{{ event.instance.attempts }}", 1),
        (" {{ event.instance.attempts }}\n", 1),
        ("{{- event.instance.attempts -}}", 1),
        ("x{{ event.instance.attempts }}", "x1"),
        ("{{ event.instance.attempts }}{{ event.instance.attempts }}", "11"),
        ("{{ event.node.paused }}", None),
        ("{{ event.instance.attempts == 1 }}", True),
        ("{{ event.time }}", "2026-01-05T07:55:00+08:00"),
        ("{{ now }}", "2026-01-05T08:00:00+08:00"),
        ("{{ bizdate(now) }}", "2026-01-04"),
        ("{{ days_before(bizdate(event.time), 1) }} x", "2026-01-03 x"),
        ("{{ event.raw.NodeInfo.Tags }}", ["a", 2, None]),
        ("{{ event.raw.Big }}", 1234567890123456789),
        ("{{ {'a': {'b': 1}} }}", {"a": {"b": 1}}),
        ("{{ '}}' }}", "}}"),
        ("{{ event.instance.ended_at | default('still running') }}", "still running"),
        ("{% if event.instance.ended_at is defined %}x{% endif %}", ""),
        ("{% for o in event.node.owners %}{{ o.name }} {% endfor %}", "li wang "),
        ("{{ event.node.owners | map(attribute='name') | join(', ') }}", "li, wang"),
        ("{{ steps.rerun.outcome }}: {{ steps.rerun.reason }}", "failed: it failed again"),
        ("{{ vars.teams }}", ["dws", "ads"]),
        ("{# nothing #}", ""),
        ("{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
        ("失败: {{ event.node.name }}", "失败: dws_orders"),
        ("{{ (1, 2) }}", [1, 2]),
        ("{{ '<b>' }} & {{ '<b>' | safe }}", "<b> & <b>"),
        ("{{ '<b>' | safe }}", "<b>"),
    ],
)
def test_a_text_becomes_what_its_template_says(template: str, value: Any) -> None:
    found = LANGUAGE.render(template, SCOPE)
    assert found == value
    assert type(found) is type(value)
    assert LANGUAGE.check_template(template, NAMES) == []


def test_values_are_rendered_through_lists_and_maps_but_keys_are_not() -> None:
    value = {"{{ x }}": ["{{ event.id }}", 5, {"a": "{{ event.instance.attempts }}"}], "b": None}
    assert LANGUAGE.render(value, SCOPE) == {"{{ x }}": ["ev_1", 5, {"a": 1}], "b": None}


def test_other_events_have_other_parts() -> None:
    assert LANGUAGE.render("{{ event.body.n }}", Scope(HOOK, NOW)) == 3
    assert LANGUAGE.render("{{ event.alert.params.owner }} {{ event.alert.object.name }}", Scope(ALERT, NOW)) == "li "
    with pytest.raises(CannotEvaluate, match=r"event\.instance"):
        LANGUAGE.render("{{ event.instance.id }}", Scope(HOOK, NOW))


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ event.instance.ended_at }}", "`event.instance.ended_at` has no value"),
        ("at {{ event.instance.ended_at }}", "`event.instance.ended_at` has no value"),
        ("失败 {{ event.raw.Nothing }}", "`event.raw.Nothing` has no value"),
        ("{{ event.raw.Nothing }}", "`event.raw.Nothing` has no value"),
        ("{{ days_before('soon', 1) }}", "needs a date"),
        ("{{ days_before(1) }}", "needs a date and a whole number"),
        ("{{ bizdate(3) }}", "needs one time"),
        ("{{ bizdate('soon') }}", "soon"),
        ("{{ 1 / 0 }}", "1 / 0"),
        ("{{ 'a' + 1 }}", "unsupported types"),
        ("{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}", "takes too much work"),
        ("{{ 'a' * 70000 }}", "characters"),
        ("x{% for i in range(3000) %}{{ event.raw }}{% endfor %}", "characters|too much work"),
        ("{{ [range(9999) | list, range(9999) | list] }}", "characters|too much work"),
        ("{{ x", "end of input"),
        ("{{ event.raw.clear() }}", ""),
    ],
)
def test_what_has_no_value_or_is_too_much_is_refused(template: str, reason: str) -> None:
    started = time.perf_counter()
    if "clear" in template:
        LANGUAGE.render(template, SCOPE)
        assert FAILED.raw["Ratio"] == 0.5  # templates see copies
        return
    with pytest.raises(CannotEvaluate, match=reason):
        LANGUAGE.render(template, SCOPE)
    assert time.perf_counter() - started < 5


def test_what_is_none_of_json_s_types_is_refused() -> None:
    with pytest.raises(CannotEvaluate, match="neither text"):
        LANGUAGE.render("{{ [0.0 / 1, 1e308 * 10] }}", SCOPE)


@pytest.mark.parametrize(
    ("template", "code", "offset", "words"),
    [
        ("{{ event.nod.name }}", "template-name", 9, "did you mean «node»"),
        ("失败 {{ event.node.nme }}", "template-name", 17, "did you mean «name»"),
        ("{{ event.node.name.first }}", "template-name", 19, "`name` has no fields"),
        ("{{ event.impact.errors }}", "template-name", 9, "«impact» is not a field of event"),
        ("{{ event.attempts }}", "template-name", 9, "did you mean «event.instance.attempts»"),
        ("{{ node.name }}", "template-name", 3, "did you mean «event.node»"),
        ("{{ most }}", "template-name", 3, "did you mean «vars.most»"),
        ("{{ rerun.outcome }}", "template-name", 3, "did you mean «steps.rerun»"),
        ("{{ anything }}", "template-name", 3, "a template speaks of event"),
        ("{{ evnt.id }}", "template-name", 3, "did you mean «event»"),
        ("{{ now.hour }}", "template-name", 7, "now is a time"),
        ("{{ vars.mots }}", "template-name", 8, "did you mean «most»"),
        ("{{ steps.rerum.outcome }}", "template-name", 9, "did you mean «rerun»"),
        ("{{ steps.rerun.outcom }}", "template-name", 15, "did you mean «outcome»"),
        ("{{ event.id | uper }}", "template-name", 14, "did you mean «upper»"),
        ("{{ event.id is not defned }}", "template-name", 19, "did you mean «defined»"),
        ("{% if event.id is emty %}x{% endif %}", "template-name", 18, "no test «emty»"),
        ("{{ event.raw.pop('a') }}", "template-syntax", 13, "calls a method"),
        ("{{ (event.raw.pop)('a') }}", "template-syntax", 17, "calls a method"),
        ("{{ (event).nod }}", "template-name", 0, "did you mean «node»"),
        ("{{ debug() }}", "template-name", 3, "unknown name «debug»"),
        ("{% include 'x' %}", "template-syntax", 3, "«include» is not part"),
        ("{{ [1] * 100000000 }}", "template-syntax", 7, "cannot be multiplied"),
        ("{{ event.id", "template-syntax", 0, "end of input"),
        ("a {{ event.id }} {% if x", "template-syntax", 17, "end of input"),
        ("{% endif %}", "template-syntax", 3, "not a template"),
        ("{{ event.id }}" + "x" * MAX_TEMPLATE, "template-syntax", 0, "longer than"),
    ],
)
def test_mistakes_are_told_with_their_place(template: str, code: str, offset: int, words: str) -> None:
    flaws = LANGUAGE.check_template(template, NAMES)
    assert [(flaw.code, flaw.offset) for flaw in flaws] == [(code, offset)]
    assert words in flaws[0].message


def test_names_that_the_template_makes_itself_are_known() -> None:
    for template in [
        "{% set x = event.node %}{{ x.name }}",
        "{% for i in range(3) %}{{ loop.index }}{{ i }}{% endfor %}",
        "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(event.id) }}",
        "{{ dict(a=1) }}",
        "{{ event.raw.Anything.Below }}",
        "{{ event.node.owners[0].name }}",
    ]:
        assert LANGUAGE.check_template(template, NAMES) == []


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=14).map("".join)))
def test_no_text_makes_check_or_rendering_raise(template: str) -> None:
    flaws = LANGUAGE.check_template(template, NAMES)
    assert all(0 <= flaw.offset <= len(template) for flaw in flaws)
    with suppress(CannotEvaluate):
        json.dumps(LANGUAGE.render(template, SCOPE))
