"""What holds for every test: logs go to the standard library's loggers, never to the standard output of a command."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _quiet_logs() -> Iterator[None]:
    """Each test begins with the same set-up of logs, whatever the one before has configured."""
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    structlog.configure(
        processors=[structlog.stdlib.add_log_level, structlog.processors.KeyValueRenderer(key_order=["event"])],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    yield
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)
