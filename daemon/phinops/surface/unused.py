"""What the config has and no rule uses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from phinops.config import Config
from phinops.decide.load import Loaded
from phinops.demand.gather import SpotOf
from phinops.execute.steps.values import is_template
from phinops.problem import Problem


def unused_notifiers(config: Config, loaded: Loaded, where: SpotOf) -> Iterator[Problem]:
    """A warning for each notifier that no rule names. `where` tells where a key of the config stands.

    `loaded` must be all of the config's rules. Nothing is told while a rule is left out, or names its notifier by a
    template: that one may be the missing use; nor where one asks without a name, which is to ask by all of them.
    """
    steps = [step for rule in loaded.rules for step in rule.steps]
    if any(step.kind == "approve" and not step.params.get("to") for step in steps):
        return
    named = {name for step in steps for name in _names(step.params.get("to"))}
    if loaded.quarantined or any(map(is_template, named)):
        return
    for name in config.notifiers:
        if name not in named:
            message = (
                f"no rule tells «{name}» anything: only the daemon's own alarms go there; "
                f"name it in a notify step, or take it out"
            )
            yield Problem(*where(("notifiers", name)), "unused-notifier", message, "warning")


def _names(to: object) -> Sequence[str]:
    if isinstance(to, str):
        return [to]
    return [name for name in to if isinstance(name, str)] if isinstance(to, list | tuple) else []


def covers(paths: Sequence[Path], config: Config) -> bool:
    """Whether all of the config's rules lie at or below the paths."""
    given = {path.resolve() for path in paths}
    return all(given & {path.resolve(), *path.resolve().parents} for path in config.rules.paths)
