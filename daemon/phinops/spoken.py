"""The language of rules for those who act: what `decide` evaluates, in the words of `execute`."""

from __future__ import annotations

from typing import Any

from phinops.clock import Clock
from phinops.decide.inputs import inputs_from_json
from phinops.decide.language import Language
from phinops.decide.scope import CannotEvaluate, Scope
from phinops.execute.steps.kind import BadStep
from phinops.execute.walk import Scene


class SpokenWords:
    """Conditions and templates of plans."""

    def __init__(self, language: Language, clock: Clock) -> None:
        self._language = language
        self._clock = clock

    def holds(self, condition: str, scene: Scene, name: str = "if") -> tuple[bool, str]:
        """Whether the condition is true, and if not, why; `name` is what the text calls it."""
        verdict = self._language.holds(condition, self._scope(scene), name)
        return verdict.holds, verdict.reason

    def render(self, value: Any, scene: Scene) -> Any:
        """The value with every template in it rendered.

        Raises:
            BadStep: a template has no value for this event.
        """
        try:
            return self._language.render(value, self._scope(scene))
        except CannotEvaluate as error:
            raise BadStep(str(error)) from error

    def _scope(self, scene: Scene) -> Scope:
        inputs = inputs_from_json(scene.inputs)
        return Scope(scene.event, self._clock.now(), scene.results, scene.variables, inputs, scene.events)
