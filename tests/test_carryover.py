"""What a reload, or a start with other rules, makes of what waits."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from phinops.carryover import carry_over
from phinops.decide.language import Language
from phinops.decide.rule import Rule, RuleSet
from phinops.firing import Firing
from phinops.record import journal, windows
from phinops.recording import InForce
from phinops.virtual import run
from settings import SHANGHAI, only_rule
from test_pipeline import Belt, belt
from test_several import failed, minutes_of, well

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


def rule(
    folder: Path, *keys: str, on: str = "instance.failed", step: str = "{ notify: { to: oncall, message: m } }"
) -> Rule:
    more = "\n".join(f"    {key}" for key in keys)
    return only_rule(folder, f"rules:\n  - id: r\n    on: {on}\n{more}\n    do: [ {step} ]\n")


async def reload(here: Belt, *rules: Rule, shadow: bool = False) -> Any:
    """Put the rules in force as a daemon does; what became of what waits, and whose turn it is."""
    here.rules = InForce(RuleSet(rules), shadow)
    return await carry_over(here.store, Language(SHANGHAI), here.rules, here.clock)


def test_what_waits_goes_on_untouched_where_its_rule_means_the_same(tmp_path: Path) -> None:
    async def main() -> None:
        old = rule(tmp_path, "for: 6m")
        async with belt(old) as here:
            await here.take(failed(0))
            (before,) = await here.firings()
            carried, outcome = await reload(here, replace(rule(tmp_path, "for: 6m", "within: 5m"), description="new"))
            assert carried.to_json() == {"waiting": {"kept": 1}}
            assert (outcome.firings, outcome.disturbed) == ([], [])
            assert await here.firings() == [before]

    run(main())


def test_a_wait_whose_rule_is_gone_ends_and_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        async with belt(rule(tmp_path, "for: 6m")) as here:
            await here.take(failed(0))
            carried, outcome = await reload(here)
            (firing,) = await here.firings()
            assert (firing.state, firing.reason) == ("skipped", "its rule is not in force any more")
            assert (carried.to_json(), outcome.disturbed) == ({"waiting": {"dropped": 1}}, [firing.id])

    run(main())


@pytest.mark.parametrize(("hold", "left"), [("for: 10m", 6), ("for: 3m", 0), ("cooldown: 1s", 0)])
def test_the_time_already_waited_counts_under_the_new_version(tmp_path: Path, hold: str, left: int) -> None:
    async def main() -> None:
        async with belt(rule(tmp_path, "for: 6m")) as here:
            await here.take(failed(0))
            await anyio.sleep(240)
            new = rule(tmp_path, hold)
            carried, outcome = await reload(here, new)
            (firing,) = await here.firings()
            assert (firing.state, firing.rule_hash, firing.plan) == ("waiting", new.hash, new.to_json())
            assert firing.wake_at
            assert abs(firing.wake_at - here.clock.now() - left * MINUTE) < SECOND
            assert carried.to_json() == {"waiting": {"anew": 1}}
            assert [(each.id, event.id) for each, event in outcome.firings] == [(firing.id, failed(0).id)]

    run(main())


@pytest.mark.parametrize(
    ("keys", "on", "reason"),
    [
        (["if: event.instance.attempts > 1"], "instance.failed", "of its rule's new version, if is false"),
        (['mode: "off"'], "instance.failed", "mode is off"),
        (["max_age: 1m"], "instance.failed", "max_age: the event is 2m old, 1m is allowed"),
        ([], "instance.blocked", "its rule no longer looks at instance.failed"),
        ([], "{ event: instance.failed, count: 2, within: 1h }", "its rule waits for other events now"),
    ],
)
def test_what_the_new_version_would_not_have_let_wait_ends(
    tmp_path: Path, keys: list[str], on: str, reason: str
) -> None:
    async def main() -> None:
        async with belt(rule(tmp_path, "for: 6m")) as here:
            await here.take(failed(0))
            await anyio.sleep(120)
            await reload(here, rule(tmp_path, *keys, on=on))
            (firing,) = await here.firings()
            assert (firing.state, firing.reason) == ("skipped", reason)

    run(main())


def test_a_firing_in_shadow_from_now_on_waits_in_shadow(tmp_path: Path) -> None:
    async def main() -> None:
        armed = rule(tmp_path, "for: 6m", "mode: armed", step="{ rerun_instance: {} }")
        async with belt(armed) as here:
            await here.take(failed(0))
            await reload(here, armed, shadow=True)
            (firing,) = await here.firings()
            assert (firing.state, firing.mode) == ("waiting", "shadow")

    run(main())


def _running(here: Belt, firing: Firing) -> Any:
    return here.store.write(lambda tx: journal.start(tx, firing.id))


def test_one_that_waits_for_its_turn_is_decided_anew_and_what_runs_is_left_alone(tmp_path: Path) -> None:
    async def main() -> None:
        async with belt(rule(tmp_path, "key: event.node.id")) as here:
            await here.take(failed(0), failed(1, of=2))
            first, second = await here.firings()
            assert (first.state, second.state) == ("ready", "queued")
            await _running(here, first)
            await reload(here, rule(tmp_path, "key: event.node.id", "max_age: 1d"))
            first, second = await here.firings()
            assert (first.state, second.state) == ("running", "queued")
            carried, outcome = await reload(here, rule(tmp_path))
            first, second = await here.firings()
            assert (first.state, second.state, second.key) == ("running", "waiting", "t_2")
            assert [each.id for each, _ in outcome.firings] == [second.id]
            assert carried.to_json() == {"waiting": {"anew": 1}}

    run(main())


def test_a_key_that_is_freed_is_the_next_one_s(tmp_path: Path) -> None:
    async def main() -> None:
        async with belt(rule(tmp_path, "for: 6m", "key: event.node.id")) as here:
            await here.take(failed(0), failed(1, of=2))
            _, outcome = await reload(
                here, rule(tmp_path, "for: 6m", "key: event.node.id", "if: event.instance.id == 't_2'")
            )
            first, second = await here.firings()
            assert (first.state, second.state) == ("skipped", "waiting")
            assert [each.id for each, _ in outcome.firings] == [second.id]

    run(main())


THREE = "{ event: instance.failed, count: 3, within: 10m }"


def test_open_windows_go_on_where_condition_key_and_pattern_are_the_same(tmp_path: Path) -> None:
    async def main() -> None:
        async with belt(rule(tmp_path, on=THREE)) as here:
            await here.take(failed(0), failed(1))
            carried, _ = await reload(here, rule(tmp_path, "cooldown: 1s", "description: x", on=THREE))
            assert carried.to_json() == {"windows": {"kept": 1}}
            await here.take(failed(2))
            (firing,) = await here.firings()
            assert await minutes_of(here, firing) == [0, 1, 2]

    run(main())


@pytest.mark.parametrize("keys", [["key: event.node.id"], ["if: event.node.id != 'x'"]])
def test_windows_of_another_meaning_begin_anew(tmp_path: Path, keys: list[str]) -> None:
    async def main() -> None:
        async with belt(rule(tmp_path, on=THREE)) as here:
            await here.take(failed(0), failed(1))
            carried, _ = await reload(here, rule(tmp_path, *keys, on=THREE))
            assert carried.to_json() == {"windows": {"dropped": 1}}
            await here.take(failed(2))
            assert await here.firings() == []
            assert (await here.store.read(windows.open_windows)).keys() == {
                ("r", rule(tmp_path, *keys, on=THREE).window)
            }

    run(main())


@pytest.mark.parametrize(
    ("condition", "key", "matters"),
    [
        ("event.node.name.startsWith(inputs.prefix)", "event.node.id", True),
        ("event.node.name != ''", "inputs.prefix + event.node.id", True),
        ("event.node.name != ''", "event.node.id", False),
    ],
)
def test_a_window_is_about_the_inputs_that_its_condition_or_key_speaks_of(
    tmp_path: Path, condition: str, key: str, matters: bool
) -> None:
    def with_prefix(prefix: str) -> Rule:
        return only_rule(
            tmp_path,
            f"""
blueprints:
  - id: b
    inputs: {{ prefix: {{ type: string }} }}
    on: {THREE}
    if: {condition}
    key: {key}
    do: [ {{ notify: {{ to: oncall, message: "{{{{ inputs.prefix }}}}" }} }} ]
rules: [ {{ id: r, use: b, with: {{ prefix: {prefix} }} }} ]
""",
        )

    one, other = with_prefix("dws_"), with_prefix("ads_")
    assert one.hash != other.hash
    assert (one.window != other.window) is matters


def test_what_a_count_waits_for_since_is_judged_by_the_new_count(tmp_path: Path) -> None:
    async def main() -> None:
        async with belt(rule(tmp_path, "for: 6m", on=THREE)) as here:
            await here.take(failed(0), failed(1), failed(2))
            carried, _ = await reload(here, rule(tmp_path, "for: 9m", on=THREE.replace("3", "2")))
            assert carried.to_json() == {"waiting": {"anew": 1}}
            await reload(here, rule(tmp_path, "for: 9m", on=THREE.replace("3", "4")))
            (firing,) = await here.firings()
            assert firing.state == "skipped"
            assert firing.reason.startswith("of its rule's new version, 3 of 4 seen")

    run(main())


ABSENT = "{ event: instance.failed, absent: instance.succeeded, within: 10m }"
KEY = "key: event.instance.id"


def test_an_absence_is_waited_for_as_long_as_the_new_version_says_from_the_first_on(tmp_path: Path) -> None:
    async def main() -> None:
        async with belt(rule(tmp_path, KEY, on=ABSENT)) as here:
            await here.take(failed(0))
            await anyio.sleep(120)
            await here.take(failed(2))
            carried, _ = await reload(here, rule(tmp_path, KEY, on=ABSENT.replace("10m", "1h")))
            assert carried.to_json() == {"waiting": {"anew": 1}}
            (firing,) = await here.firings()
            assert firing.reason == "begins unless instance.succeeded comes within 1h"
            assert firing.wake_at
            assert abs(firing.wake_at - here.clock.now() - 58 * MINUTE) < SECOND
            await here.take(well(3))
            (firing,) = await here.firings()
            assert firing.reason.startswith("instance.succeeded came")

    run(main())


def test_an_absence_that_may_not_count_any_more_is_waited_for_no_longer(tmp_path: Path) -> None:
    async def main() -> None:
        async with belt(rule(tmp_path, KEY, on=ABSENT)) as here:
            await here.take(failed(0))
            await reload(here, rule(tmp_path, KEY, 'mode: "off"', on=ABSENT))
            (firing,) = await here.firings()
            assert (firing.state, firing.reason) == ("skipped", "mode is off")

    run(main())
