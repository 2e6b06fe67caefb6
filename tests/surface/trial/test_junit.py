"""JUnit XML as CI systems read it."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as xml

from phinops.problem import Problem
from phinops.surface.trial.junit import junit, write_junit
from trials import RERUN, session

FAILING = "steps: [ { event: { type: instance.failed } }, { expect: { actions: [ { rerun_instance: {} } ] } } ]"
PASSING = "steps: [ { event: { type: instance.failed } }, { expect: { actions: [] } } ]"


def test_tests_and_failures_are_told(tmp_path: Path) -> None:
    found = session(tmp_path, RERUN, 'name: "a <b> & c \\x07"\n' + PASSING, FAILING)
    write_junit(tmp_path / "report.xml", found.results, ())
    root = xml.parse(tmp_path / "report.xml").getroot()
    assert root.tag == "testsuites"
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("2", "1", "0")
    suite = root[0]
    file = str(tmp_path / "some.test.yaml")
    assert (suite.tag, suite.get("name"), suite.get("tests"), suite.get("failures")) == ("testsuite", file, "2", "1")
    good, bad = suite
    assert good.attrib["name"] == "a <b> & c \N{REPLACEMENT CHARACTER}"
    assert good.attrib["classname"] == good.attrib["file"] == file
    assert float(good.attrib["time"]) >= 0
    assert len(good) == 0
    failure = bad[0]
    assert failure.tag == "failure"
    assert failure.get("message") == "actions: rerun_instance {} did not happen"
    assert failure.text is not None
    assert failure.text.startswith(f"{file}:7:")
    assert "did not fire: rerun" in failure.text


def test_a_file_with_mistakes_is_an_error() -> None:
    problems = [
        Problem("b.test.yaml", 3, 1, "unknown-key", "no such key"),
        Problem("b.test.yaml", 4, 1, "bad-value", "no such value"),
        Problem("b.test.yaml", 1, 1, "yaml-comment", "only a warning", "warning"),
    ]
    root = xml.fromstring(junit((), problems))
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("1", "0", "1")
    error = root[0][0][0]
    assert error.get("type") == "unknown-key"
    assert error.text == "b.test.yaml:3:1: unknown-key no such key\nb.test.yaml:4:1: bad-value no such value"
