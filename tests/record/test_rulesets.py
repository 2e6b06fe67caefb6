"""Sets of rules that decided, kept under their hash."""

from __future__ import annotations

from phinops.clock import LoopClock
from phinops.record import rulesets
from phinops.record.sqlite import Store
from phinops.virtual import run
from worlds import START

ONE, TWO = ("h1", "a", {"id": "a"}), ("h2", "b", {"id": "b", "if": "true"})


def test_a_set_is_kept_once_with_its_rules_in_order() -> None:
    async def scenario() -> None:
        async with Store.open(":memory:", LoopClock(START)) as store:
            await store.write(lambda tx: rulesets.put_set(tx, "s", [TWO, ONE], shadow=True))
            await store.write(lambda tx: rulesets.put_set(tx, "s", [ONE], shadow=False))
            found = await store.read(lambda tx: rulesets.set_of(tx, "s"))
            assert found == rulesets.KeptSet("s", True, (TWO[2], ONE[2]))

    run(scenario())


def test_sets_share_the_versions_of_their_rules() -> None:
    async def scenario() -> None:
        async with Store.open(":memory:", LoopClock(START)) as store:
            await store.write(lambda tx: rulesets.put_set(tx, "s", [ONE], shadow=False))
            await store.write(lambda tx: rulesets.put_set(tx, "t", [ONE, TWO], shadow=False))
            assert await store.read(lambda tx: rulesets.version_of(tx, "h2")) == TWO[2]
            assert (await store.read(lambda tx: rulesets.set_of(tx, "t"))).rules == (ONE[2], TWO[2])  # type: ignore[union-attr]

    run(scenario())


def test_what_was_never_kept_is_none() -> None:
    async def scenario() -> None:
        async with Store.open(":memory:", LoopClock(START)) as store:
            assert await store.read(lambda tx: rulesets.set_of(tx, "x")) is None
            assert await store.read(lambda tx: rulesets.version_of(tx, "x")) is None

    run(scenario())
