"""Taking an action back: only while its target is as the action left it, which is read anew each time before sending.

A firing that takes an action back has that action's id in its plan, under `reverses`; `lease` says that the action ends
by itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from phinops.execute.journal import Journal
from phinops.execute.steps.kind import Look, Step
from phinops.execute.walk import Wanted, write_of
from phinops.firing import Aftermath, Firing, Intent


def wanted_by(firing: Firing, journal: Journal, steps: Mapping[str, Step]) -> Wanted | None:
    """What asks whether the firing's write is wanted still; None where it takes nothing back."""
    action_id = firing.plan.get("reverses")
    if not action_id:
        return None
    leased = bool(firing.plan.get("lease"))

    async def wanted(look: Look) -> str:
        past = await journal.aftermath(action_id, firing.id)
        if past is None:
            return f"{action_id} is not on record any more"
        return superseded(past, leased=leased) or await altered(past, steps, look)

    return wanted


def superseded(past: Aftermath, *, leased: bool) -> str:
    """What of our own came after the action, so that it is not the last word on its target, or "".

    At the end of a lease a pause with a lease of its own does not count: the first one was made longer for it.
    """
    later = next((each for each in past.later if not (leased and is_leased(each))), None)
    if later is None:
        return ""
    return f"{later.action_id} ({later.kind}{'' if later.kind != 'call' else ' ' + later.api}) came after it"


async def altered(past: Aftermath, steps: Mapping[str, Step], look: Look) -> str:
    """What of the target is not as the action left it, or ""; raises the client's errors."""
    action = past.action
    step = steps.get(action.kind)
    if step is None:
        return f"this version does not know the step «{action.kind}»"
    return await step.reverse.altered(look, write_of(action), action.probe, past.sends)


def is_leased(action: Intent) -> bool:
    """Whether the action is one that phinops takes back by itself."""
    return action.request.get("lease_s") is not None
