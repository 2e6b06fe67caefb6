"""`phinops` and `python -m phinops`."""

from __future__ import annotations

import sys

from phinops.surface.early import obey_early


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    if sys.argv[1:2] == ["run"]:
        obey_early()  # what a service is told while its libraries load must not kill it
    from phinops.surface.cli import phinops

    phinops(prog_name="phinops")


if __name__ == "__main__":
    main()
