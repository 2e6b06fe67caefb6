"""Results as JUnit XML, which most CI systems read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as xml

from phinops.problem import Problem
from phinops.surface.trial.run import Result

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML document may hold."""


def junit(results: Sequence[Result], problems: Sequence[Problem]) -> bytes:
    """One suite a file, one case a test; what `check` found wrong with a file is a case of its own."""
    root = xml.Element("testsuites", name="phinops")
    files = list(dict.fromkeys([*(str(each.script.place.file) for each in results), *(each.file for each in problems)]))
    for file in files:
        mine = [each for each in results if str(each.script.place.file) == file]
        wrong = [each for each in problems if each.file == file and each.severity == "error"]
        suite = xml.SubElement(root, "testsuite", name=_clean(file))
        for result in mine:
            _case(suite, file, result)
        if wrong:
            case = xml.SubElement(suite, "testcase", classname=_clean(file), name="check", time="0.000")
            error = xml.SubElement(case, "error", message=_clean(str(wrong[0])), type=wrong[0].code)
            error.text = _clean("\n".join(map(str, wrong)))
        failed = sum(not each.passed for each in mine)
        _sums(suite, len(mine) + bool(wrong), failed, int(bool(wrong)), sum(each.seconds for each in mine))
    suites = list(root)
    _sums(
        root,
        sum(int(each.get("tests", "0")) for each in suites),
        sum(int(each.get("failures", "0")) for each in suites),
        sum(int(each.get("errors", "0")) for each in suites),
        sum(each.seconds for each in results),
    )
    xml.indent(root)
    document: bytes = xml.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def write_junit(file: Path, results: Sequence[Result], problems: Sequence[Problem]) -> None:
    """Write them into the file. Raises OSError."""
    file.write_bytes(junit(results, problems))


def _sums(element: xml.Element, tests: int, failures: int, errors: int, seconds: float) -> None:
    element.set("tests", str(tests))
    element.set("failures", str(failures))
    element.set("errors", str(errors))
    element.set("time", f"{seconds:.3f}")


def _case(suite: xml.Element, file: str, result: Result) -> None:
    script = result.script
    case = xml.SubElement(suite, "testcase", classname=_clean(file), name=_clean(script.name))
    case.set("time", f"{result.seconds:.3f}")
    case.set("file", _clean(file))
    case.set("line", str(script.place.line))
    for failure in result.failures:
        text = "\n".join((f"{failure.place}: {failure.message}", *failure.notes))
        xml.SubElement(case, "failure", message=_clean(failure.message), type="expectation").text = _clean(text)


def _clean(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
