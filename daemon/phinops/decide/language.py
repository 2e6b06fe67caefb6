"""The language of rules in one place: conditions, keys and texts, for those who decide and those who act."""

from __future__ import annotations

from datetime import tzinfo
from typing import Any

from phinops.decide.conditions import SCALAR, Conditions
from phinops.decide.inputs import Inputs
from phinops.decide.replies import Replies
from phinops.decide.scope import ROOTS, CannotEvaluate, Flaw, Names, Scope, Truth
from phinops.decide.templates import Templates

TRUE = Truth(True)
FALSE = Truth(False, "if is false")


class Language:
    """Evaluates what rules say. Compiled expressions are kept, so one for the whole daemon; not for several threads.

    `zone` is where days begin and end, for business dates.
    """

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._conditions = Conditions(zone)
        self._templates = Templates(zone)
        self._replies = Replies()

    def twin(self) -> Language:
        """One that says the same, for another thread."""
        return Language(self._zone)

    def holds(self, source: str, scope: Scope, name: str = "if") -> Truth:
        """Whether the condition is true; without one it is. What cannot be evaluated does not hold, and says why.

        `name` is the key that it stands under.
        """
        if not source:
            return TRUE
        try:
            value = self._conditions.value(source, scope)
        except CannotEvaluate as error:
            return Truth(False, f"{name} cannot be evaluated: {error}", known=False)
        if value is True:
            return TRUE
        if value is False:
            return FALSE if name == "if" else Truth(False, f"{name} is false")
        what = "null" if value is None else f"a {type(value).__name__}"
        return Truth(False, f"{name} cannot be evaluated: it is {what}, neither true nor false", known=False)

    def value(self, source: str, scope: Scope) -> str:
        """The text of a key.

        Raises:
            CannotEvaluate: it has no value for this event.
        """
        return self._conditions.text(source, scope)

    def render(self, value: Any, scope: Scope) -> Any:
        """The value with every template in it rendered, through lists and maps.

        A text that is a single `{{ expression }}` becomes what the expression is, in JSON's types.

        Raises:
            CannotEvaluate: a template has no value for this event, or needs too much work or space.
        """
        return self._templates.render(value, scope)

    def reads(self, source: str, inputs: Inputs) -> list[str]:
        """What a condition speaks of, such as `event.node.name`, each once; `inputs` are those of its blueprint."""
        return self._conditions.paths(source, ROOTS, inputs)

    def check_condition(self, source: str, names: Names) -> list[Flaw]:
        """The mistakes in a condition."""
        return self._conditions.check(source, names)

    def check_key(self, source: str, names: Names) -> list[Flaw]:
        """The mistakes in a key."""
        return self._conditions.check(source, names, SCALAR)

    def check_reply(self, source: str) -> list[Flaw]:
        """The mistakes in what a probe asks of a reply."""
        return self._replies.check(source)

    def check_template(self, source: str, names: Names) -> list[Flaw]:
        """The mistakes in a text."""
        return self._templates.check(source, names)
