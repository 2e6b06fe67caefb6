"""How the daemon tells what it does: JSON lines for machines, coloured lines for a person at a terminal."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import structlog

# What these say at info is either said better by us or of no use to an operator.
_CHATTY = ("apscheduler", "asyncio", "httpcore", "httpx", "uvicorn")


def is_machine_read(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the journal or a pipe reads `stream`, rather than a person."""
    return bool(environ.get("JOURNAL_STREAM")) or not stream.isatty()


def configure(level: str = "info", form: str = "auto", stream: TextIO | None = None) -> None:
    """Sets up structlog and the standard library's logging to write to `stream`, stderr unless told.

    `level` is debug, info, warning or error; `form` is json, text or auto: JSON where a machine reads.
    """
    out = stream or sys.stderr
    as_json = form == "json" or (form == "auto" and is_machine_read(out))
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso" if as_json else "%H:%M:%S", utc=as_json),
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(as_json, out)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def _rendering(as_json: bool, out: TextIO) -> list[Any]:
    # Never structlog's or rich's pretty tracebacks: they print local variables, and among those are secrets.
    if as_json:
        return [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ]
    return [
        structlog.dev.ConsoleRenderer(
            colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=24
        )
    ]
