"""What plans say, evaluated for those who act."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from phinops.decide.inputs import inputs_json
from phinops.decide.language import Language
from phinops.event import Instance
from phinops.execute.steps.kind import BadStep
from phinops.execute.walk import Scene
from phinops.firing import StepResult
from phinops.spoken import SpokenWords
from settings import SHANGHAI
from simulated import MORNING, HandClock
from worlds import failed_event

EVENT = failed_event(Instance(id="t_1", status="FAILED", attempts=2))
SCENE = Scene(EVENT, {"rerun": StepResult("failed", "another end", "act_1")}, {"team": "orders"})


@pytest.fixture(scope="module")
def words() -> SpokenWords:
    return SpokenWords(Language(SHANGHAI), HandClock())


def test_conditions_speak_of_the_event_the_steps_the_vars_and_the_time(words: SpokenWords) -> None:
    condition = (
        'steps.rerun.outcome == "failed" && vars.team == "orders" && event.instance.attempts == 2 && now > event.time'
    )
    assert words.holds(condition, replace(SCENE, event=replace(EVENT, time=MORNING.replace(year=2025)))) == (True, "")


def test_a_condition_says_why_it_does_not_hold(words: SpokenWords) -> None:
    assert words.holds("", SCENE) == (True, "")
    assert words.holds("event.instance.attempts > 2", SCENE) == (False, "if is false")
    unknown = replace(SCENE, event=replace(EVENT, instance=Instance(id="t_1")))
    holds, reason = words.holds("event.instance.attempts > 2", unknown)
    assert not holds
    assert "cannot be evaluated" in reason


def test_texts_are_rendered_through_lists_and_keep_the_type_of_a_single_expression(words: SpokenWords) -> None:
    text = {"message": "{{ event.node.name }} of {{ vars.team }}", "counts": ["{{ event.instance.attempts }}"]}
    assert words.render(text, SCENE) == {"message": "dws of orders", "counts": [2]}


def test_a_text_that_cannot_be_rendered_refuses_the_step(words: SpokenWords) -> None:
    with pytest.raises(BadStep):
        words.render("{{ event.body.missing.deeper }}", SCENE)


def test_words_know_the_inputs_of_a_blueprint() -> None:
    scene = replace(SCENE, inputs=inputs_json({"pause": timedelta(minutes=5), "most": 3}))
    words = SpokenWords(Language(SHANGHAI), HandClock(MORNING))
    assert words.holds('inputs.pause == duration("5m") && inputs.most > 2', scene) == (True, "")
    assert words.render("after {{ inputs.pause }}", scene) == "after 5m"
