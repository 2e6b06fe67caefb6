"""Tries tests that are written down here, with their rules, in a folder of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import dedent, indent

from phinops.config import Config
from phinops.surface.trial.run import Result
from phinops.surface.trial.session import Session, run_tests

RERUN = """\
rules:
  - id: rerun
    on: instance.failed
    if: event.instance.attempts < 3 && event.node.name.startsWith("dws_")
    mode: armed
    do:
      - id: again
        rerun_instance: {}
        verify: { within: 30m }
        on_error: continue
      - if: steps.again.outcome != "verified"
        notify:
          to: oncall
          title: "{{ event.instance.id }}"
          message: "{{ steps.again.outcome }}: {{ steps.again.reason }}"
"""


def session(
    folder: Path, rules: str, *tests: str, own: Config | None = None, others: Mapping[str, str] | None = None
) -> Session:
    """The session of the tests, each written as its keys but `rules`; `others` are more rule files by name."""
    for name, text in {"some": rules, **(others or {})}.items():
        (folder / f"{name}.rules.yaml").write_text(dedent(text), encoding="utf-8")
    items = []
    for number, test in enumerate(tests):
        body = dedent(test).strip()
        head = "" if "name:" in body.split("steps:")[0] else f"name: test {number}\n"
        named = "" if "rules:" in body.split("steps:")[0] else "rules: some.rules.yaml\n"
        items.append("  - " + indent(head + named + body, "    ").lstrip())
    (folder / "some.test.yaml").write_text("tests:\n" + "\n".join(items) + "\n", encoding="utf-8")
    hidden = folder / "hidden"
    hidden.mkdir(exist_ok=True)
    return run_tests([folder / "some.test.yaml"], own, hidden)


def result(folder: Path, rules: str, test: str, **others: str) -> Result:
    """What came of one test; its form has no mistake."""
    found = session(folder, rules, test, others=others)
    assert not found.mistakes, found.mistakes
    return found.results[0]


def failures(folder: Path, rules: str, test: str, **others: str) -> list[str]:
    """What was not as expected, as `LINE: MESSAGE`."""
    return told(result(folder, rules, test, **others))


def told(result: Result) -> list[str]:
    """The failures of a result as `LINE: MESSAGE`."""
    return [f"{each.place.line}: {each.message}" for each in result.failures]


def notes(result: Result) -> Sequence[str]:
    """All that is said of the failures beside their messages."""
    return [note for failure in result.failures for note in failure.notes]
