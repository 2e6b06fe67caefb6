"""What rules are written to do and the config keeps them from doing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from phinops.config import Config
from phinops.decide.rule import Rule
from phinops.execute.identity import named_in
from phinops.execute.steps.kind import Target, Write
from phinops.execute.steps.table import STEPS
from phinops.execute.steps.values import is_template
from phinops.problem import Problem
from phinops.safeguards import rails_of


def protected_targets(config: Config, rules: Iterable[Rule]) -> Iterator[Problem]:
    """A warning for each step that writes to what is protected, as far as that stands in the rule as it is."""
    protected = rails_of(config).protected
    for rule in rules if protected else ():
        for step in rule.steps:
            kind = STEPS[step.kind]
            if not kind.writes(kind.params.model_validate(step.params)):
                continue
            named = named_in(Write(step.kind, "", Target("", ""), step.params))
            found = protected.match(_literal(named.nodes), _literal(named.projects))
            if found:
                message = f"step {step.id} is refused each time: {found} ([safety].protected)"
                yield Problem(rule.file, rule.line, 1, "protected-target", message, "warning")


def _literal(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name for name in names if not is_template(name))
