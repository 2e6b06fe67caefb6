from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from phinops.surface import logs


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)
    structlog.reset_defaults()


def test_machines_get_one_json_object_a_line() -> None:
    out = io.StringIO()
    logs.configure("info", "auto", out)
    structlog.get_logger("phinops.act").info("action.refused", rule="a", reason="«über»")
    structlog.get_logger("phinops.act").debug("action.seen")
    (line,) = out.getvalue().splitlines()
    document = json.loads(line)
    assert document.pop("timestamp").endswith("Z")
    assert document == {
        "event": "action.refused",
        "level": "info",
        "logger": "phinops.act",
        "rule": "a",
        "reason": "«über»",
    }


def test_people_get_coloured_lines() -> None:
    out = Terminal()
    logs.configure("info", "text", out)
    structlog.get_logger("phinops.act").info("action.refused", rule="a")
    assert "action.refused" in out.getvalue()
    assert "\x1b[" in out.getvalue()
    assert not out.getvalue().startswith("{")


def test_the_journal_and_pipes_are_machines_and_a_terminal_is_not() -> None:
    assert logs.is_machine_read(io.StringIO(), {})
    assert logs.is_machine_read(Terminal(), {"JOURNAL_STREAM": "8:1"})
    assert not logs.is_machine_read(Terminal(), {})


def test_the_level_is_the_least_that_is_shown() -> None:
    out = io.StringIO()
    logs.configure("error", "json", out)
    structlog.get_logger("phinops").warning("quota.low")
    logging.getLogger("other").error("%s broke", "it")
    assert [json.loads(line)["event"] for line in out.getvalue().splitlines()] == ["it broke"]


def test_libraries_are_heard_from_warnings_on() -> None:
    out = io.StringIO()
    logs.configure("debug", "json", out)
    logging.getLogger("httpx").info("HTTP Request")
    logging.getLogger("uvicorn.error").warning("odd")
    assert [json.loads(line)["event"] for line in out.getvalue().splitlines()] == ["odd"]


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_traceback_shows_no_values(form: str) -> None:
    out = Terminal()
    logs.configure("info", form, out)
    hidden = "-".join(["s3cret", "value"])
    try:
        int(hidden[:0])
    except ValueError:
        structlog.get_logger("phinops").exception("loop.failed")
    assert "invalid literal for int" in out.getvalue()
    assert hidden not in out.getvalue()
