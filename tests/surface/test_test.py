"""`phinops test`, as it is called."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as xml

import pytest
from click.testing import CliRunner, Result

from fakedaemon import write_config
from phinops.surface.cli import phinops
from trials import RERUN

ROOT = Path(__file__).parents[2]

TESTS = """\
tests:
  - name: it is rerun
    rules: some.rules.yaml
    steps:
      - event: { type: instance.failed, node: { name: dws_a } }
      - expect: { actions: [ { rerun_instance: {} } ] }
  - name: it is left alone
    rules: some.rules.yaml
    steps:
      - event: { type: instance.failed, node: { name: ods_a } }
      - expect:
          actions: [ { rerun_instance: {} } ]
"""

OWN = """\
[notifiers.oncall]
type = "webhook"
url = { env = "NOT_SET_ANYWHERE" }
secret = { env = "NOT_SET_ANYWHERE" }
[safety]
max_writes_per_hour = 1
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PHINOPS_CONFIG", raising=False)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "some.rules.yaml").write_text(RERUN, encoding="utf-8")
    (tmp_path / "rules" / "some.test.yaml").write_text(TESTS, encoding="utf-8")
    return tmp_path


def run(*words: str | Path) -> Result:
    arguments: Sequence[str] = ["test", *map(str, words)]
    return CliRunner().invoke(phinops, arguments)


def test_failures_are_told_with_their_place_and_the_reason(folder: Path) -> None:
    result = run()
    assert result.exit_code == 1
    assert result.stdout.splitlines()[:9] == [
        "rules/some.test.yaml: 1 passed, 1 failed",
        "",
        "FAILED it is left alone",
        "  rules/some.test.yaml:12:22: actions: rerun_instance {} did not happen",
        "      expected  rerun_instance {}",
        "      happened  nothing",
        "      this is what happened at 2026-01-05T00:00:00",
        '      did not fire: rerun on instance.failed: if is false: event.node.name.startsWith("dws_") '
        "(event.node.name is ods_a)",
        result.stdout.splitlines()[-1],
    ]
    assert result.stdout.splitlines()[-1].startswith("1 passed, 1 failed in ")


def test_the_shipped_rules_are_covered_whole() -> None:
    result = run(ROOT / "rules", "--coverage", "--fail-under", "100")
    assert result.exit_code == 0, result.output
    assert "100 %" in result.stdout


def test_coverage_alone_fails_nothing(folder: Path) -> None:
    passing = TESTS.partition("  - name: it is left")[0]
    (folder / "rules" / "some.test.yaml").write_text(passing, encoding="utf-8")
    result = run("rules", "--coverage")
    assert result.exit_code == 0
    assert "rules/some.rules.yaml:11:9: rerun: step notify-2 (notify) was never carried out" in result.stdout
    assert "rules/some.rules.yaml  1/1    2/6      1/2    44 %" in result.stdout
    less = run("rules", "--fail-under", "44.5")
    assert less.exit_code == 1
    assert "44.4 % is covered, 44.5 % are wanted" in less.stderr
    assert "COVERED" not in less.stdout
    assert run("rules", "--fail-under", "44").exit_code == 0


def test_results_as_json(folder: Path) -> None:
    result = run("--json")
    assert result.exit_code == 1
    good, bad = json.loads(result.stdout)
    assert (good["name"], good["passed"], good["failures"]) == ("it is rerun", True, [])
    assert (bad["file"], bad["line"], bad["passed"]) == ("rules/some.test.yaml", 7, False)
    assert bad["failures"][0]["message"] == "actions: rerun_instance {} did not happen"
    assert "1 passed, 1 failed" in result.stderr
    both = json.loads(run("--json", "--coverage").stdout)
    assert both["tests"][0]["name"] == "it is rerun"
    assert both["coverage"][0]["file"] == "rules/some.rules.yaml"


def test_results_as_junit(folder: Path) -> None:
    assert run("--junit", "report.xml").exit_code == 1
    assert xml.parse(folder / "report.xml").getroot().get("failures") == "1"
    assert run("--junit", folder / "not-there" / "report.xml").exit_code == 2


def test_a_file_with_mistakes_is_reported_and_not_run(folder: Path) -> None:
    (folder / "rules" / "some.test.yaml").write_text(TESTS.replace("steps:", "stepps:", 1), encoding="utf-8")
    result = run("rules")
    assert result.exit_code == 1
    assert "rules/some.test.yaml:4:5: unknown-key «stepps» is not a key: did you mean «steps»?" in result.stdout
    assert "0 passed, 0 failed, 1 mistake in files" in result.stdout
    assert "unknown-key" in run("rules", "--json").stderr


def test_nothing_found_is_no_success(folder: Path) -> None:
    (folder / "rules" / "some.test.yaml").unlink()
    result = run()
    assert result.exit_code == 1
    assert "no test was found" in result.stderr
    assert run("not-there").exit_code == 1


def test_the_config_holds_and_its_secrets_are_not_read(folder: Path) -> None:
    write_config(folder, 1, OWN, before='timezone = "Europe/Berlin"\n')
    (folder / "rules" / "some.test.yaml").write_text(
        """\
tests:
  - name: the ceiling is the config's
    rules: some.rules.yaml
    steps:
      - event: { type: instance.failed, node: { name: dws_a } }
      - event: { type: instance.failed, node: { name: dws_a }, instance: { id: t_2 } }
      - expect:
          actions: [ { rerun_instance: { instance_id: t_1 } } ]
          notifications: [ { message: { contains: safety.max_writes_per_hour } } ]
          pending: [ { rule: rerun, until: "2026-01-05T00:30:00+01:00" } ]
""",
        encoding="utf-8",
    )
    result = run()
    assert result.exit_code == 0, result.output
    (folder / "rules" / "some.rules.yaml").write_text(RERUN.replace("to: oncall", "to: nobody"), encoding="utf-8")
    assert "step-parameter there is no notifier «nobody»: the config has oncall" in run().stdout


def test_a_config_that_is_broken_or_missing_is_said_so(folder: Path) -> None:
    assert run("--config", "not-there.toml").exit_code == 2
    (folder / "phinops.toml").write_text("tenants = 1\n", encoding="utf-8")
    assert run().exit_code == 2
