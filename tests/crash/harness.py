"""Plays the runs of a file, one JSON object a line, and prints what came of each, a line as well.

A program of its own, with one thread, because it forks for each life: what is imported once need not be again. To see a
run again, with its log:

    echo '{"case": "rerun", "behaviour": "applies", "seed": 1, "deaths": [["intended: committed", 1]]}' > /tmp/runs
    PYTHONPATH=tests .venv/bin/python tests/crash/harness.py /tmp/runs INFO
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
from pathlib import Path

import structlog

from crash.cases import Run
from crash.runs import play


def main(runs: str, level: str = "CRITICAL") -> None:
    logging.basicConfig(level=level)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, structlog.processors.KeyValueRenderer(key_order=["event"])],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    for line in Path(runs).read_text(encoding="utf-8").splitlines():
        with tempfile.TemporaryDirectory(prefix="phinops-crash-") as folder:
            found = play(Run(**json.loads(line)), Path(folder))
        print(json.dumps(found.to_json()), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
