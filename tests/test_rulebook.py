"""The rules in force over readings of their files."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from phinops.config import Config, load_config
from phinops.decide.language import Language
from phinops.rulebook import Reload, Rulebook, setting_of
from simulated import MORNING

ONE = """
rules:
  - id: one
    on: instance.failed
    if: event.instance.attempts < 3
    mode: armed
    do: [ { rerun_instance: {} } ]
"""
TWO = ONE.replace("id: one", "id: two")

TENANT = """
[[tenants]]
name = "{name}"
endpoint = "http://127.0.0.1:1"
op_tenant_id = {number}
edition = "{edition}"
access_key_id = {{ env = "KEY_{number}" }}
access_key_secret = {{ env = "KEY" }}
"""


def _config(folder: Path, more: str = "", editions: tuple[str, ...] = ("basic",)) -> Config:
    (folder / "rules").mkdir(exist_ok=True)
    tenants = [TENANT.format(name=f"t{number}", number=number, edition=each) for number, each in enumerate(editions, 1)]
    path = folder / "phinops.toml"
    path.write_text(more + "".join(tenants))
    return load_config(path)


def _write(folder: Path, name: str, text: str) -> None:
    (folder / "rules" / f"{name}.rules.yaml").write_text(text)


def _book(config: Config, *, shadow: bool = False) -> Rulebook:
    return Rulebook(config, Language(ZoneInfo("UTC")), shadow=shadow)


def _ids(book: Rulebook) -> list[str]:
    return sorted(rule.id for rule in book.in_force.rules)


def _names(found: Reload) -> dict[str, Any]:
    return {name: what for name, what in found.changed.items() if name != "diff"}


def test_rules_are_read_at_the_start_and_what_changed_is_told_at_each_reload(tmp_path: Path) -> None:
    config = _config(tmp_path)
    _write(tmp_path, "a", ONE)
    book = _book(config)
    assert (_ids(book), book.quarantined, list(book.problems)) == (["one"], 0, [])
    _write(tmp_path, "b", TWO)
    _write(tmp_path, "a", ONE.replace("armed", "shadow"))
    found = book.load(config)
    assert found.accepted
    assert _names(found) == {"added": ["two"], "removed": [], "changed": ["one"]}
    _write(tmp_path, "b", TWO.replace("    mode:", "    within: 5m\n    mode:"))
    assert _names(book.load(config)) == {"added": [], "removed": [], "changed": ["two"]}
    (tmp_path / "rules" / "a.rules.yaml").unlink()
    assert _names(book.load(config)) == {"added": [], "removed": ["one"], "changed": []}


def test_a_rule_that_breaks_stays_as_it_was_and_its_neighbours_change(tmp_path: Path) -> None:
    config = _config(tmp_path)
    _write(tmp_path, "a", ONE)
    book = _book(config)
    before = book.in_force.rules.get("one")
    _write(tmp_path, "a", ONE.replace("instance.failed", "instance.fialed"))
    _write(tmp_path, "b", TWO)
    found = book.load(config)
    assert not found.accepted
    assert found.problems
    assert found.problems == book.problems
    assert (_ids(book), book.quarantined) == (["one", "two"], 1)
    assert book.in_force.rules.get("one") is before


def test_a_broken_rule_is_one_event_a_tenant_and_the_same_mistake_the_same_event(tmp_path: Path) -> None:
    config = _config(tmp_path)
    _write(tmp_path, "a", ONE.replace("instance.failed", "instance.fialed"))
    book = _book(config)
    first = book.quarantine_events(("t1", "t2"), MORNING)
    assert [(event.tenant, event.type) for event in first] == [(name, "rule.quarantined") for name in ("t1", "t2")]
    assert first[0].rule
    assert (first[0].rule.id, "fialed" in first[0].rule.reason) == ("one", True)
    book.load(config)
    assert [event.id for event in book.quarantine_events(("t1", "t2"), MORNING)] == [event.id for event in first]
    _write(tmp_path, "a", ONE)
    book.load(config)
    assert book.quarantine_events(("t1",), MORNING) == []


@pytest.mark.parametrize(
    ("more", "shadow", "mode"),
    [("", False, "armed"), ("", True, "shadow"), ('[rules]\nat_most = "shadow"\n', False, "shadow")],
)
def test_no_rule_does_more_than_the_config_or_the_command_allow(
    tmp_path: Path, more: str, shadow: bool, mode: str
) -> None:
    config = _config(tmp_path, more)
    _write(tmp_path, "a", ONE)
    book = _book(config, shadow=shadow)
    rule = book.in_force.rules.get("one")
    assert rule
    assert book.in_force.mode_of(rule) == mode
    assert book.in_force.mode_of(rule) == mode


def test_a_reload_tells_which_rules_may_act_from_now_on(tmp_path: Path) -> None:
    held = _config(tmp_path, '[rules]\nat_most = "shadow"\n')
    _write(tmp_path, "a", ONE)
    _write(tmp_path, "b", TWO.replace("armed", "shadow"))
    book = _book(held)
    assert [str(each) for each in book.load(_config(tmp_path)).diff] == ["one: mode: shadow -> armed"]
    assert [str(each) for each in book.load(held).diff] == ["one: mode: armed -> shadow"]
    assert book.load(held).diff == []


def test_a_rule_is_checked_against_the_edition_when_all_tenants_have_the_same(tmp_path: Path) -> None:
    assert setting_of(_config(tmp_path, editions=("basic", "basic"))).edition == "basic"
    assert setting_of(_config(tmp_path, editions=("basic", "agile"))).edition is None
