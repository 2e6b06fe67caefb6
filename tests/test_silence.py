"""Silences: what they cover, and rules that are quiet while they last and say why."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from click.testing import CliRunner

from fakedaemon import FakeService, answering, write_config
from happenings import ALERT, FAILED, IMPACT
from phinops.clock import LoopClock
from phinops.event import Alert, AlertObject
from phinops.record.sqlite import Store
from phinops.silence import Silence
from phinops.silencing import LONGEST, Silences
from phinops.surface.cli import phinops
from phinops.virtual import run
from vigil import vigil
from worlds import START

HOUR = timedelta(hours=1)
FIVE_MINUTES = timedelta(minutes=5)
SILENCE = Silence("si_1", START, START + HOUR, "wang", "the source is being moved")
RULES = """\
rules:
  - id: tell
    on: instance.failed
    mode: shadow
    do:
      - notify: { to: nobody, message: x }
"""


@pytest.mark.parametrize(
    ("parts", "covered"),
    [
        ({"rule": "*"}, True),
        ({"rule": "tell-*"}, True),
        ({"rule": "rerun-*"}, False),
        ({"node": "dws_*"}, True),
        ({"node": "n_*"}, True),
        ({"node": "ods_*"}, False),
        ({"project": "7"}, True),
        ({"project": "mar?"}, True),
        ({"instance": "t_*"}, True),
        ({"rule": "tell-*", "node": "ods_*"}, False),
        ({"rule": "*", "tenant": "another"}, False),
        ({"alert": "*"}, False),
    ],
)
def test_a_silence_covers_what_all_of_its_parts_fit(parts: dict[str, str], covered: bool) -> None:
    assert replace(SILENCE, **parts).covers("tell-people", FAILED) is covered  # type: ignore[arg-type]


def test_an_alert_is_of_the_node_that_it_is_about_and_an_impact_of_none() -> None:
    alert = replace(ALERT, alert=Alert("a_1", reason="VDM_BATCH_ERROR", object=AlertObject("dws_orders")))
    assert replace(SILENCE, node="dws_*").covers("r", alert)
    assert replace(SILENCE, alert="VDM_*").covers("r", alert)
    assert not replace(SILENCE, node="*").covers("r", IMPACT)


def test_what_is_silenced_does_not_fire_and_says_by_whom_and_why(tmp_path: Path) -> None:
    async def live() -> None:
        async with vigil(tmp_path, RULES, every=FIVE_MINUTES) as here:
            added = await here.here.silences.add(
                {"rule": "te*"}, here.clock.now() + 2 * HOUR, author="wang", reason="moving the source"
            )
            here.simulator.tenant.fail_instance("ods_orders", fails=1, takes=60.0)
            await here.minutes(15)
            (firing,) = await here.here.firings(100)
            assert firing["state"] == "skipped"
            assert firing["reason"].startswith("silenced until ")
            assert firing["reason"].endswith(f"by wang: moving the source ({added['id']})")
            (told,) = await here.here.explain(firing["id"]) or []
            assert [guard["guard"] for guard in told["guards"]] == ["silence"]
            assert await here.here.silences.end(added["id"], by="li")
            assert not await here.here.silences.end(added["id"], by="li")
            here.simulator.tenant.fail_instance("ods_orders", fails=1, takes=60.0)
            await here.minutes(15)
            assert (await here.here.firings(1))[0]["state"] == "done"
            (row,) = await here.here.silences.listed(10, ended=True)
            assert row["ended_by"] == "li"
            assert await here.here.silences.listed(10) == []

    run(live())


def test_a_silence_outlives_a_restart_and_ends_by_itself(tmp_path: Path) -> None:
    async def live() -> None:
        async with vigil(tmp_path, RULES, every=FIVE_MINUTES) as here:
            await here.here.silences.add({"rule": "*"}, here.clock.now() + HOUR, author="wang", reason="x")
            await here.kill()
            await here.start()
            here.simulator.tenant.fail_instance("ods_orders", fails=1, takes=60.0)
            await here.minutes(15)
            assert (await here.here.firings(1))[0]["state"] == "skipped"
            await here.minutes(60)
            here.simulator.tenant.fail_instance("ods_orders", fails=1, takes=60.0)
            await here.minutes(15)
            assert (await here.here.firings(1))[0]["state"] == "done"

    run(live())


@pytest.mark.parametrize(
    ("parts", "left", "author", "reason", "said"),
    [
        ({}, HOUR, "wang", "x", "say what is to be silenced"),
        ({"tenant": "prod"}, HOUR, "wang", "x", "say what is to be silenced"),
        ({"colour": "red"}, HOUR, "wang", "x", "not by colour"),
        ({"rule": "*"}, HOUR, " ", "x", "an author and a reason"),
        ({"rule": "*"}, HOUR, "wang", "", "an author and a reason"),
        ({"rule": "*"}, -HOUR, "wang", "x", "must lie ahead"),
        ({"rule": "*"}, LONGEST + HOUR, "wang", "x", "within 366 days"),
        ({"rule": "*" * 501}, HOUR, "wang", "x", "500 characters"),
    ],
)
def test_a_silence_without_what_it_needs_is_refused(
    parts: dict[str, str], left: timedelta, author: str, reason: str, said: str
) -> None:
    async def main() -> None:
        clock = LoopClock(START)
        async with Store.open(":memory:", clock) as store:
            with pytest.raises(ValueError, match=said):
                await Silences(store, clock, clock.now().tzinfo).add(  # type: ignore[arg-type]
                    parts, clock.now() + left, author=author, reason=reason
                )

    run(main())


# The command line


def typed(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(phinops, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_the_command_asks_the_daemon(tmp_path: Path) -> None:
    service = FakeService()
    (tmp_path / "token").write_text("t0ken\n")
    with answering(service) as port:
        config = str(write_config(tmp_path, port))
        assert typed(
            "silence", "add", "--rule", "*", "--for", "2h", "--reason", "x", "--author", "wang", "--config", config
        )[0] == 0  # fmt: skip
        code, said = typed("silence", "add", "--for", "2h", "--reason", "x", "--config", config)
        assert (code, "say what is to be silenced" in said) == (1, True)
        assert typed("silence", "list", "--config", config)[0] == 0
        assert typed("silence", "expire", "si_1", "--config", config)[0] == 0
        code, said = typed("silence", "expire", "si_2", "--config", config)
        assert (code, "no silence «si_2»" in said) == (1, True)
    assert ("silence", {"rule": "*"}, "wang", "x") in service.asked
    assert typed("silence", "add", "--rule", "*", "--reason", "x")[0] == 2


def test_the_command_works_in_the_store_where_no_daemon_runs(tmp_path: Path) -> None:
    config = str(write_config(tmp_path, 1))

    async def make() -> None:
        async with Store.open(tmp_path / "phinops.db"):
            pass

    anyio.run(make)
    assert typed("silence", "add", "--node", "dws_*", "--for", "2h", "--reason", "x", "--config", config)[0] == 0
    (row,) = json.loads(typed("silence", "list", "--json", "--config", config)[1])
    assert (row["node"], row["reason"]) == ("dws_*", "x")
    assert typed("silence", "expire", row["id"], "--config", config)[0] == 0
    assert typed("silence", "expire", row["id"], "--config", config)[0] == 1
    assert json.loads(typed("silence", "list", "--json", "--config", config)[1]) == []
