"""A node of a simulated tenant that a rule pauses for two hours when its instance fails, in virtual time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

from phinops.arrive.arrival import Arrival
from phinops.event import Event, JsonObject, event_id
from phinops.record.audit import entries_of
from phinops.simulate.model import Operation
from phinops.simulate.operate import set_node_paused
from phinops.surface.rehearsal.setting import TENANT
from phinops.virtual import run
from vigil import Vigil, vigil

NODE = "dws_orders_1d"
FREEZE = """
rules:
  - id: freeze
    on: instance.failed
    if: event.node.name == "dws_orders_1d"
    mode: armed
    do: [ { pause_node: { lease: 2h } } ]
"""
MINUTE = timedelta(minutes=1)


TWO = """
rules:
  - id: freeze
    on: instance.failed
    if: event.node.name == "dws_orders_1d"
    mode: armed
    do: [ { pause_node: { lease: 2h } } ]
  - id: again
    on: custom.again
    mode: armed
    do: [ { pause_node: { node_id: "NODE", project_id: "131001"LEASE } } ]
  - id: resume
    on: custom.resume
    mode: armed
    do: [ { resume_node: { node_id: "NODE", project_id: "131001" } } ]
"""


class Frozen:
    """A vigil over a node that a rule pauses when its instance fails."""

    def __init__(self, here: Vigil) -> None:
        self.here = here
        self.tenant = here.simulator.tenant
        self.node = next(node for node in self.tenant.nodes.values() if node.name == NODE)

    async def fails(self) -> None:
        self.tenant.fail_instance(NODE, takes=0.5)
        await self.here.minutes(2)

    async def freeze(self) -> None:
        await self.fails()
        assert self.node.paused

    def by_hand(self, *, paused: bool) -> None:
        set_node_paused(self.tenant, self.node, self.node.owner, paused=paused)

    def edit(self) -> None:
        self.node.operations.append(Operation(self.tenant.now, "UPDATE_NODE", self.node.owner, ""))

    async def restart(self, down: float = 0.0) -> None:
        """Killed, and started again so many minutes later."""
        await self.here.kill()
        await self.here.minutes(down)
        await self.here.start(ready=False)

    async def leases(self) -> list[JsonObject]:
        return await self.here.here.leases(9)

    async def lease(self) -> JsonObject:
        (lease,) = await self.leases()
        return lease

    async def lease_of_done(self) -> JsonObject:
        """The one lease whose pause was done; those of attempts that never happened are void."""
        (lease,) = [each for each in await self.leases() if each["state"] != "void"]
        return lease

    async def rows(self, step: str) -> list[JsonObject]:
        return [row for row in await self.here.here.actions(50) if row["step"] == step]

    async def actions(self) -> list[tuple[str, str]]:
        rows = await self.here.here.actions(50)
        return [(row["step"], row["outcome"]) for row in reversed(rows)]

    @property
    def log(self) -> list[str]:
        return [each.type for each in self.node.operations]

    async def audit(self) -> list[str]:
        """What the trail has of the pause's firing about its lease."""
        (pause,) = await self.rows("pause_node")
        entries = await self.here.store.read(lambda tx: entries_of(tx, pause["firing_id"]))
        return [each.what for each in entries if each.what.startswith("lease.")]

    @property
    def notices(self) -> list[str]:
        return [f"{each['title']}: {each['message']}" for each in self.here.posts]

    async def undo(self, action_id: str) -> JsonObject:
        return await self.here.here.undo(action_id, "ann", "because", 5 * MINUTE)


def freezing(folder: Path, story: Callable[[Frozen], Awaitable[None]], rules: str = FREEZE) -> None:
    async def lived() -> None:
        async with vigil(folder, rules, every=MINUTE, start=False) as here:
            it = Frozen(here)
            here.write_rules(rules.replace("NODE", it.node.id))
            await here.start()
            await story(it)

    run(lived())


def two(more: str) -> str:
    """With a second rule that pauses the node, and what it says of that beside."""
    return TWO.replace("LEASE", more)


async def emitted(it: Frozen, name: str, **data: str) -> None:
    """Let an event come that rules listen to, and have them act."""
    now = it.here.clock.now()
    event = Event(event_id("custom", name, str(now)), f"custom.{name}", now, TENANT, "rules", data=data)
    await it.here.here.take(Arrival("rules", TENANT, (event,)))
    await it.here.minutes(2)
