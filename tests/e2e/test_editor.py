"""What people see in an editor: the schemas of `phinops init`, in the YAML language server that editors use."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from languageserver import LanguageServer, language_server, missing
from phinops.surface.cli import phinops

REQUIRED = os.environ.get("PHINOPS_REQUIRE_NODE") == "1"
REASON = missing()

pytestmark = pytest.mark.skipif(bool(REASON) and not REQUIRED, reason=REASON)

RULES = """\
# yaml-language-server: $schema=../.phinops/rules.schema.json
rules:
  - id: one
    on: instance.failed
    cooldwn: 5m
    mode: <mode>
    <key>
    do:
      - rerun_instance:
          <parameter>
        verify: { within: 5m }
      - call: <api>
      - <step>
  - id: two
    on: <on>
    do:
      - notify:
          <notify>
"""

TESTS = """\
# yaml-language-server: $schema=../.phinops/tests.schema.json
tests:
  - name: one
    rules: first.rules.yaml
    steps:
      - event: { type: instance.failed, nod: {} }
      - <step>
      - event:
          type: <type>
"""


def place(text: str, mark: str) -> tuple[int, int]:
    """Line and column, from 0, of the first character of the mark."""
    before = text[: text.index(mark)]
    return before.count("\n"), len(before) - before.rfind("\n") - 1


def without_marks(text: str) -> str:
    """What stands in the editor: at the marks there is nothing yet."""
    return re.sub(r"<\w+>", "", text)


@asynccontextmanager
async def editor(folder: Path) -> AsyncIterator[LanguageServer]:
    """An editor in a folder that `phinops init` has made."""
    assert not REASON, REASON
    assert CliRunner().invoke(phinops, ["init", str(folder)]).exit_code == 0
    async with asyncio.timeout(60), language_server(folder) as server:
        yield server


async def opened(server: LanguageServer, file: Path, text: str) -> list[str]:
    """What is marked as wrong in the file, with the number of the line from 1."""
    await server.open(file, text)
    return [f"{each['range']['start']['line'] + 1}: {each['message']}" for each in await server.diagnostics(file)]


async def test_an_editor_completes_explains_and_corrects_rules(tmp_path: Path) -> None:
    file = tmp_path / "rules" / "mine.rules.yaml"
    text = without_marks(RULES)
    async with editor(tmp_path) as server:
        wrong = await opened(server, file, text)
        assert "5: Property cooldwn is not allowed." in wrong

        keys = await server.completions(file, *place(RULES, "<key>"))
        assert {"if", "for", "key", "limits", "max_age", "within", "concurrency", "cooldown"} <= keys.keys()
        assert "on" not in keys
        assert "same key" in str(keys["cooldown"]["documentation"])

        modes = await server.completions(file, *place(RULES, "<mode>"))
        assert {label.strip('"') for label in modes} == {"off", "shadow", "armed"}

        steps = await server.completions(file, *place(RULES, "<step>"))
        assert {"rerun_instance", "pause_node", "call", "notify", "verify", "on_error", "id"} <= steps.keys()
        assert "Tells people" in str(steps["notify"]["documentation"])

        parameters = await server.completions(file, *place(RULES, "<parameter>"))
        assert parameters.keys() == {"instance_id", "project_id"}
        notice = await server.completions(file, *place(RULES, "<notify>"))
        assert {"to", "message", "title", "severity"} <= notice.keys()

        types = await server.completions(file, *place(RULES, "<on>"))
        assert {"instance.failed", "alert.opened", "quota.low"} <= types.keys()
        assert types["instance.failed"]["documentation"] == "An instance has failed."

        apis = await server.completions(file, *place(RULES, "<api>"))
        assert "level 1" in apis["GetPhysicalInstance"]["documentation"]


async def test_an_editor_shows_what_a_key_means(tmp_path: Path) -> None:
    file = tmp_path / "rules" / "mine.rules.yaml"
    text = without_marks(RULES)
    async with editor(tmp_path) as server:
        await opened(server, file, text)
        for word, said in (
            ("on:", "What wakes the rule"),
            ("mode:", "`shadow`: decide and record, send nothing."),
            ("rerun_instance", "Runs an instance again"),
            ("verify", "Look at the target"),
            ("within", "`timed_out`"),
            ("notify", "Tells people"),
        ):
            line, column = place(text, word)
            assert said in await server.hover(file, line, column + 1), word


async def test_an_editor_knows_tests(tmp_path: Path) -> None:
    file = tmp_path / "rules" / "mine.test.yaml"
    text = without_marks(TESTS)
    async with editor(tmp_path) as server:
        assert "6: Property nod is not allowed." in await opened(server, file, text)
        steps = await server.completions(file, *place(TESTS, "<step>"))
        assert {"event", "advance", "state", "expect"} <= steps.keys()
        types = await server.completions(file, *place(TESTS, "<type>"))
        assert "instance.failed" in types


ROOT = Path(__file__).parents[2]
SHOWN = sorted(
    [*(ROOT / "rules").glob("*.yaml"), *(ROOT / "daemon" / "phinops" / "surface" / "templates").glob("*.yaml")]
)


async def test_an_editor_finds_nothing_wrong_with_rules_and_tests_that_are_right(tmp_path: Path) -> None:
    async with editor(tmp_path) as server:
        for file in SHOWN:
            kind = "tests" if file.name.endswith(".test.yaml") else "rules"
            head = f"# yaml-language-server: $schema=../.phinops/{kind}.schema.json\n"
            body = file.read_text("utf-8").removeprefix(head)
            assert await opened(server, tmp_path / "rules" / f"shown-{file.name}", head + body) == [], file.name
