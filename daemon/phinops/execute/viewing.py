"""What people are shown before they say yes: the calls that are to follow, and what they stand on, read just now."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import replace

from phinops.approval import Shown, ShownCall, Standing
from phinops.errors import ApiError, QuotaSpent
from phinops.event import Event, Instance
from phinops.execute.carry import Hands
from phinops.execute.leave import lease_text, stamp
from phinops.execute.steps.kind import BadStep, Look, Step, Target, Write, checked
from phinops.execute.steps.node import paused_by_log
from phinops.execute.walk import Planned, Scene, Walk, Words, is_false, params_of, planned_step
from phinops.masking import masked


class Viewer:
    """Puts together what is shown, and reads it again. `hands` are by tenant, `steps` by kind."""

    def __init__(self, words: Words, hands: Mapping[str, Hands], steps: Mapping[str, Step]) -> None:
        self._words = words
        self._hands = hands
        self._steps = steps

    async def show(self, walk: Walk) -> tuple[Event, Shown]:
        """What the answer will be about, with the event as its object is now.

        Raises:
            BadStep: what a step would do cannot be told yet.
            ApiError, QuotaSpent: something could not be read; ask again later.
        """
        hands, before = self._hands[walk.firing.tenant], walk.scene.event
        now = await hands.eyes.glass.now(before)
        event = now or before
        calls = [each async for each in self._calls(walk, replace(walk.scene, event=event), hands.look)]
        standings = {(each.kind, each.id): each for each in _own(before, now)}
        for target in _targets(calls):
            known = standings.get((target.kind, target.id)) or await _standing(hands.look, target)
            standings[target.kind, target.id] = await _with_below(hands, known, target)
        return event, Shown(calls, tuple(standings.values()))

    async def again(self, walk: Walk, shown: Shown) -> Mapping[tuple[str, str], Standing]:
        """The objects that were shown as they are now, by kind and id.

        Raises:
            ApiError, QuotaSpent: one could not be read; ask again later.
        """
        hands, event = self._hands[walk.firing.tenant], walk.scene.event
        found = {(each.kind, each.id): each for each in _own(event, await hands.eyes.glass.now(event))}
        for before in shown.standings:
            if before.kind in ("instance", "node") and (before.kind, before.id) not in found:
                target = Target(before.kind, before.id, before.project_id)  # type: ignore[arg-type]  # one of the two
                found[before.kind, before.id] = await _standing(hands.look, target)
        return found

    async def _calls(self, walk: Walk, scene: Scene, look: Look) -> AsyncIterator[ShownCall]:
        """What the steps do that follow, up to the next one that asks in any case."""
        for n in range(walk.planned.n + 1, len(walk.firing.plan["steps"])):
            planned = planned_step(n, walk.firing.plan["steps"][n])
            if planned.kind == "approve" and not planned.condition:
                return
            step = self._steps.get(planned.kind)
            if step and step.writes(checked(step, planned.params)):
                write = await self._write(step, planned, scene, look)
                if write:
                    yield _call(planned, write)

    async def _write(self, step: Step, planned: Planned, scene: Scene, look: Look) -> Write | None:
        """The step's call as it would be now; None where its `if` is false, so that it would do nothing."""
        try:
            return await step.write(params_of(self._words, step, planned, scene), scene.event, look)
        except BadStep as error:
            if is_false(self._words, planned, scene):
                return None
            raise BadStep(f"what step {planned.id} would do cannot be shown: {error}") from error


def _call(planned: Planned, write: Write) -> ShownCall:
    # Of a request people see what it is posted to and what it says; its headers are about the way.
    params = {"body": write.params.get("body")} if planned.kind == "http" else write.params
    return ShownCall(
        n=planned.n,
        step=planned.id,
        kind=planned.kind,
        api=write.api,
        params=masked(params),
        target_kind=write.target.kind,
        target_id=write.target.id,
        project_id=write.target.project_id,
        digest=stamp(write),
        condition=planned.condition,
        lease=lease_text(write),
    )


def _targets(calls: Iterable[ShownCall]) -> Iterable[Target]:
    """Each instance and node that the calls change, once."""
    named = {(call.target_kind, call.target_id): call.project_id for call in calls}
    for (kind, id), project_id in named.items():
        if kind in ("instance", "node"):
            yield Target(kind, id, project_id)  # type: ignore[arg-type]  # one of the two


def _own(event: Event, now: Event | None) -> list[Standing]:
    """The event's own object as it is `now`, None where there is none any more."""
    if event.instance is not None:
        gone = Standing("instance", event.instance.id, event.project.id, found=False)
        return [_running(gone, now.instance) if now and now.instance else gone]
    if event.alert is not None:
        alert = now and now.alert
        return [Standing("alert", event.alert.id, found=alert is not None, status=alert.status if alert else "")]
    if event.api is not None and event.impact is not None:
        errors = (now and now.impact and now.impact.errors) or 0
        return [Standing("api", event.api.id, event.project.id, status="failing" if errors else "well")]
    return []


def _running(gone: Standing, now: Instance) -> Standing:
    return replace(gone, found=True, status=now.status, started_at=now.started_at, paused=now.paused)


async def _standing(look: Look, target: Target) -> Standing:
    """An instance or a node as it is now."""
    gone = Standing(target.kind, target.id, target.project_id, found=False)
    if target.kind == "instance":
        view = await look.instance(target.project_id, target.id)
        return _running(gone, view.instance) if view else gone
    node = await look.node(target.project_id, target.id)
    if node is None:
        return gone
    paused = node.node.paused
    if paused is None:
        paused = paused_by_log(await look.operations(target.id))
    return replace(gone, found=True, paused=paused)


async def _with_below(hands: Hands, standing: Standing, target: Target) -> Standing:
    """With what hangs below it: people must not go unasked because lineage cannot be read."""
    try:
        return replace(standing, below=await hands.lineage.below(target))
    except (ApiError, QuotaSpent, BadStep) as error:
        return replace(standing, unknown=str(error))
